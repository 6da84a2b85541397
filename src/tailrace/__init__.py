"""Tailrace runs DAGs of tasks over ranges of dates, and never lies about what happened.

What a DAG author imports; nothing heavy is loaded by it.
"""

from tailrace.authoring.context import get_current_context
from tailrace.authoring.dag import DAG, BaseOperator, TaskArguments
from tailrace.authoring.operators import (
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
)
from tailrace.authoring.params import Param
from tailrace.authoring.relations import Label, chain, cross_downstream
from tailrace.authoring.task_arguments import DefaultArguments
from tailrace.authoring.task_groups import TaskGroup, task_group
from tailrace.authoring.taskflow import dag, task
from tailrace.authoring.xcom_args import XComArg
from tailrace.model.rules import TriggerRule

__version__ = "0.1.0"

__all__ = [
    "DAG",
    "BaseOperator",
    "BashOperator",
    "BranchPythonOperator",
    "DefaultArguments",
    "EmptyOperator",
    "Label",
    "Param",
    "PythonOperator",
    "ShortCircuitOperator",
    "TaskArguments",
    "TaskGroup",
    "TriggerRule",
    "XComArg",
    "__version__",
    "chain",
    "cross_downstream",
    "dag",
    "get_current_context",
    "task",
    "task_group",
]
