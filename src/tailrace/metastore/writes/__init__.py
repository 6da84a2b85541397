"""Every write of a state, with its history row; what else is stored once and for all (structures, XComs)."""
