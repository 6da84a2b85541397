"""Which fields of a task are templates, and what they come to for one run."""
