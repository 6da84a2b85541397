"""What is shown to people and to the audit. No planning step reads any of it."""
