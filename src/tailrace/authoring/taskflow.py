"""``@task``: a function becomes a task when it is called inside a DAG; the call answers the task's output."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from tailrace.authoring.dag import DAG
from tailrace.authoring.operators import BranchPythonOperator, PythonOperator, RunsBash, ShortCircuitOperator
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
            **_without(self._arguments, "task_id"),
        )
        task.doc_md = task.doc_md or self.function.__doc__ or ""
        return task.output

    def override(self, **arguments: Any) -> "TaskFunction":
        """The same function with other task arguments, such as ``task_id`` or ``retries``."""
        return TaskFunction(self.function, self._operator, {**self._arguments, **arguments})


class _BashTask(PythonOperator, RunsBash):
    """Calls its function for a bash command and runs that."""

    template_fields: ClassVar[Sequence[str]] = (*PythonOperator.template_fields, "env", "cwd")

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        append_env: bool = False,
        cwd: str | None = None,
        skip_on_exit_code: int | Sequence[int] | None = 99,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.read_surroundings(env, append_env, cwd, skip_on_exit_code)

    def execute(self, context: Mapping[str, Any]) -> Any:
        return self.run_in_bash(self.call(context))


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
        return self._decorate(_BashTask, function, arguments)

    def _decorate(
        self,
        operator: type[PythonOperator],
        function: Callable[..., Any] | None,
        arguments: Mapping[str, Any],
    ) -> Any:
        if function is not None:
            return TaskFunction(function, operator, arguments)
        return lambda decorated: TaskFunction(decorated, operator, arguments)


task = _TaskDecorator()


def _free_id(wanted: Any) -> Any:
    current = DAG.current()
    if not isinstance(wanted, str):
        return wanted  # the task itself says what is wrong with it
    taken = current.task_dict if current is not None else {}
    if wanted not in taken:
        return wanted
    number = 1
    while f"{wanted}__{number}" in taken:
        number += 1
    return f"{wanted}__{number}"


def _without(arguments: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != name}
