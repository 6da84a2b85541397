"""Worlds in which the product's own loops run one effect at a time, over a real metastore and a false clock.

Before each effect anyone else may go first. Choices come from a seed, from an exhaustive search, or from a recorded
trace; faults are choices too. Nothing here decides what the product decides.
"""
