"""The words between loops and drivers: the small closed set of things a loop may ask for.

A loop (a generator in ``jobs`` or ``execution``) yields an effect and receives its answer. The runtime's driver
performs effects for real; the simulator's driver performs them with anyone else going first. Values only.
"""
