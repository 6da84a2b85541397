"""Tailrace runs DAGs of tasks over ranges of dates, and never lies about what happened.

What a DAG author imports; nothing heavy is loaded by it.
"""

from tailrace.authoring.dag import DAG, dag
from tailrace.authoring.operator import BaseOperator
from tailrace.authoring.operators import (
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
)
from tailrace.authoring.relations import chain, cross_downstream
from tailrace.authoring.taskflow import task
from tailrace.model.rules import TriggerRule

__version__ = "0.1.0"

__all__ = [
    "DAG",
    "BaseOperator",
    "BashOperator",
    "BranchPythonOperator",
    "EmptyOperator",
    "PythonOperator",
    "ShortCircuitOperator",
    "TriggerRule",
    "__version__",
    "chain",
    "cross_downstream",
    "dag",
    "task",
]
