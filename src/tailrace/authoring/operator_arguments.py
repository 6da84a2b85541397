"""What each operator and each kind of ``@task`` takes, put together for type checkers: nothing that runs imports it."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Required

from tailrace.authoring.dag import TaskArguments
from tailrace.authoring.declarations import Argument
from tailrace.authoring.task_arguments import (
    BASH_COMMAND,
    IN_GROUP,
    PYTHON_CALLABLE,
    BashArguments,
    CallArguments,
    Chosen,
    CommonArguments,
    PythonArguments,
    ShortCircuitArguments,
)
from tailrace.authoring.xcom_args import XComArg


class BashOperatorArguments(TaskArguments, BashArguments, total=False):
    """What BashOperator takes."""

    bash_command: Annotated[Required[str | XComArg[str]], BASH_COMMAND]


class PythonOperatorArguments(TaskArguments, PythonArguments, total=False):
    """What PythonOperator takes."""

    python_callable: Annotated[Required[Callable[..., Any]], PYTHON_CALLABLE]


class BranchOperatorArguments(TaskArguments, PythonArguments, total=False):
    """What BranchPythonOperator takes."""

    python_callable: Annotated[Required[Callable[..., Chosen | Coroutine[Any, Any, Chosen]]], PYTHON_CALLABLE]


class ShortCircuitOperatorArguments(PythonOperatorArguments, ShortCircuitArguments, total=False):
    """What ShortCircuitOperator takes."""


class FunctionArguments(CommonArguments, CallArguments, total=False):
    """What ``@task(…)`` takes."""

    task_id: Annotated[str, Argument("the task's name; by default the function's")]
    task_group: IN_GROUP


class BashFunctionArguments(FunctionArguments, BashArguments, total=False):
    """What ``@task.bash(…)`` takes."""


class ShortCircuitFunctionArguments(FunctionArguments, ShortCircuitArguments, total=False):
    """What ``@task.short_circuit(…)`` takes."""
