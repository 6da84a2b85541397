"""The task's own process: runs user code, and makes an outcome of how it ended."""
