"""The loops, as generators that yield effects. No I/O, no clock: a loop knows the time only from a snapshot."""
