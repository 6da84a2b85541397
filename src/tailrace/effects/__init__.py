"""The interface between loops and drivers: the small closed set of effects that a loop may yield.

A loop (a generator in ``jobs`` or ``execution``) yields an effect and receives its result. The runtime's driver
performs effects for real; the simulator's driver performs them with anyone else going first. Values only.
"""
