"""What comes before what: relations between tasks, groups and outputs."""
