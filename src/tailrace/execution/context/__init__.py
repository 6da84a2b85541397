"""What templates and Python callables see of their try."""
