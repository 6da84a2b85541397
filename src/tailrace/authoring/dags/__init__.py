"""``DAG``, ``BaseOperator`` and ``TaskGroup``: what an author writes tasks in."""
