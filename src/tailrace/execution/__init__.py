"""Processes: the executor port and its adapters, the worker loop, the zygote, and the task's own process.

Knows no metastore: what a worker asks of it is an effect, performed by the runtime.
"""
