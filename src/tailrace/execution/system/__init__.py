"""What the operating system knows of processes, and does for them."""
