"""``@task``: a function becomes a task when it is called inside a DAG; the call answers the task's output."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from tailrace.authoring.dag import DAG
from tailrace.authoring.operators import BashOperator, BranchPythonOperator, PythonOperator, ShortCircuitOperator
from tailrace.authoring.xcom_args import XComArg


class TaskFunction:
    """A decorated function. Each call makes one task; a second call gets ``__1`` after its id, and so on."""

    def __init__(self, function: Callable[..., Any], operator: type[PythonOperator], arguments: Mapping[str, Any]):
        self.function = function
        self._operator = operator
        self._arguments = dict(arguments)
        functools.update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        task = self._operator(
            task_id=_free_id(self._arguments.get("task_id") or self.function.__name__),
            python_callable=self.function,
            op_args=args,
            op_kwargs=kwargs,
            **{"doc_md": self.function.__doc__ or "", **_without(self._arguments, "task_id")},
        )
        return task.output

    def override(self, **arguments: Any) -> "TaskFunction":
        """The same function with other task arguments, such as ``task_id`` or ``retries``."""
        return TaskFunction(self.function, self._operator, {**self._arguments, **arguments})


class _BashFunction(TaskFunction):
    """A decorated function that answers a bash command, which is then run."""

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        task = _BashTask(
            task_id=_free_id(self._arguments.get("task_id") or self.function.__name__),
            python_callable=self.function,
            op_args=args,
            op_kwargs=kwargs,
            **_without(self._arguments, "task_id"),
        )
        return task.output


class _BashTask(PythonOperator):
    """Calls its function for a bash command and runs that."""

    def execute(self, context: Mapping[str, Any]) -> Any:
        command = self.call(context)
        bash = BashOperator.__new__(BashOperator)  # a plain runner: it is no task of any DAG
        bash.bash_command = str(command)
        bash.env, bash.append_env, bash.cwd, bash.skip_on_exit_code = None, False, None, (99,)
        return bash.execute(context)


class _TaskDecorator:
    """``@task`` and its kinds: ``@task.branch``, ``@task.short_circuit``, ``@task.bash``."""

    def __call__(self, function: Callable[..., Any] | None = None, **arguments: Any) -> Any:
        """Decorate a function, with or without task arguments."""
        return self._decorate(PythonOperator, function, arguments)

    def branch(self, function: Callable[..., Any] | None = None, **arguments: Any) -> Any:
        """The function answers the task ids to follow."""
        return self._decorate(BranchPythonOperator, function, arguments)

    def short_circuit(self, function: Callable[..., Any] | None = None, **arguments: Any) -> Any:
        """The function answers whether to go on."""
        return self._decorate(ShortCircuitOperator, function, arguments)

    def bash(self, function: Callable[..., Any] | None = None, **arguments: Any) -> Any:
        """The function answers a bash command."""
        return self._decorate(PythonOperator, function, arguments, _BashFunction)

    def _decorate(
        self,
        operator: type[PythonOperator],
        function: Callable[..., Any] | None,
        arguments: Mapping[str, Any],
        kind: type[TaskFunction] = TaskFunction,
    ) -> Any:
        if function is not None:
            return kind(function, operator, arguments)
        return lambda decorated: kind(decorated, operator, arguments)


task = _TaskDecorator()


def _free_id(wanted: str) -> str:
    current = DAG.current()
    taken = current.task_dict if current is not None else {}
    if wanted not in taken:
        return wanted
    number = 1
    while f"{wanted}__{number}" in taken:
        number += 1
    return f"{wanted}__{number}"


def _without(arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != name}
