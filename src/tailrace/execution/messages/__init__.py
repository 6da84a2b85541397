"""What the processes of an executor send each other, as JSON lines over a socket."""
