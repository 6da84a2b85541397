"""What the code of a task is given as it runs, and what its calls come to."""
