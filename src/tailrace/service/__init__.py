"""What people and programs ask of Tailrace: one set of functions for the command line and for every other interface.

They return structs, which ``encoding`` makes JSON of. Nothing here reads a terminal or prints. What must be imported
before the zygote is forked (``launch``, ``dates``, ``confs``, ``dag_names``, ``backfill_report``) loads no database
library.
"""
