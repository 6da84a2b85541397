"""Vocabulary: states, transition tables, keys, intervals and the compiled DAG. Standard library only, no I/O."""
