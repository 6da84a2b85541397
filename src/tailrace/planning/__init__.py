"""BranchKind: pure functions of one snapshot. No clock, no randomness, no I/O, no logging, no mutable argument."""
