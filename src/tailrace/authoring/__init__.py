"""What people write: DAGs, operators, tasks. Compiles to a ``DagSpec`` and reports every mistake at once.

Loads user code, so it is imported in the zygote and by commands about DAG files, never by a worker or a loop.
"""
