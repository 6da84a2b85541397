"""The operators that ship with Tailrace, and tasks that are mapped."""
