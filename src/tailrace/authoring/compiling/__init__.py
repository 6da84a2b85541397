"""From a DAG as written to its ``DagSpec``, and the mistakes that only the whole of it shows."""
