"""``@dag`` and ``@task``: a function becomes a DAG, or a task when it is called inside one.

A call of a task's function returns its output. The function may leave to Tailrace what is named like a template
variable, and take outputs for values; so type checkers refuse what is given by position and is of a wrong type, or too
much, and the rest is looked at as the file loads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    Unpack,
    overload,
)

from tailrace.authoring.context.results import never_run
from tailrace.authoring.dags.dag import DAG, group_for
from tailrace.authoring.operators.shipped import (
    BashOperator,
    BranchPythonOperator,
    PythonOperator,
    RunsBash,
    ShortCircuitOperator,
)
from tailrace.authoring.relations.groups import Group, free_id
from tailrace.authoring.relations.partial import Expandable, Partial
from tailrace.authoring.relations.xcom_args import NoPlainFunction
from tailrace.authoring.sensors.poking import PythonSensor
from tailrace.authoring.templates.rendering import rendered

if TYPE_CHECKING:
    from tailrace.authoring.arguments.dag_arguments import DagArguments
    from tailrace.authoring.arguments.task_arguments import Chosen
    from tailrace.authoring.operators.operator_arguments import (
        BashFunctionArguments,
        FunctionArguments,
        SensorFunctionArguments,
        ShortCircuitFunctionArguments,
    )
    from tailrace.authoring.relations.xcom_args import XComArg

P = ParamSpec("P")
R = TypeVar("R")
V1 = TypeVar("V1")
V2 = TypeVar("V2")
V3 = TypeVar("V3")
F = TypeVar("F", covariant=True, bound=Callable[..., Any])

if TYPE_CHECKING:
    #: A value, or an output that will be one; in a list or dict anything may be an output.
    ValueOf: TypeAlias = V1 | XComArg[V1] | list[Any] | tuple[Any, ...] | dict[str, Any]


class FunctionPartial(Expandable):
    """A function with what is the same for all instances of a mapped task; ``expand`` makes the task."""

    def __init__(self, name: str, partial: Callable[[], Partial]) -> None:
        super().__init__(name)
        self._partial = partial  # made for each task: the second has another id

    def expand(self, **over: Any) -> XComArg[Any]:
        """The task, with an instance for each combination of the items of these; the output is the list of theirs."""
        self.is_expanded = True
        output: XComArg[Any] = self._partial().expand(**over).output
        return output

    def expand_kwargs(self, kwargs: Any) -> XComArg[Any]:
        """The task, with an instance for each of these dicts of arguments."""
        self.is_expanded = True
        output: XComArg[Any] = self._partial().expand_kwargs(kwargs).output
        return output


class TaskFunction(NoPlainFunction, Generic[F]):
    """A decorated function. Each call makes one task; a second call gets ``__1`` after its id, and so on."""

    def __init__(self, function: Callable[..., Any], operator: type[PythonOperator], arguments: Mapping[str, Any]):
        functools.update_wrapper(self, function)  # first: it takes over what a decorated function has of its own
        self.function = function
        self._operator = operator
        self._arguments = dict(arguments)

    @overload
    def __call__(self: TaskFunction[Callable[P, R]], /, *args: P.args, **kwargs: P.kwargs) -> XComArg[R]: ...
    @overload
    def __call__(
        self: TaskFunction[Callable[Concatenate[V1, ...], R]], v1: ValueOf[V1], /, **kwargs: Any
    ) -> XComArg[R]: ...
    @overload
    def __call__(
        self: TaskFunction[Callable[Concatenate[V1, V2, ...], R]], v1: ValueOf[V1], v2: ValueOf[V2], /, **kwargs: Any
    ) -> XComArg[R]: ...
    @overload
    def __call__(
        self: TaskFunction[Callable[Concatenate[V1, V2, V3, ...], R]],
        v1: ValueOf[V1],
        v2: ValueOf[V2],
        v3: ValueOf[V3],
        /,
        *more: Any,
        **kwargs: Any,
    ) -> XComArg[R]: ...
    @overload
    def __call__(  # type: ignore[overload-cannot-match]  # it is, by a call that leaves out what has a variable's name
        self: TaskFunction[Callable[..., R]], /, **kwargs: Any
    ) -> XComArg[R]: ...
    def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A task that calls the function with these arguments; its output."""
        return self._operator(**self._of_task(), op_args=args, op_kwargs=kwargs).output

    def _of_task(self) -> dict[str, Any]:
        """What makes a further task of the function, but for what the function is called with."""
        wanted = self._arguments.get("task_id") or self.function.__name__
        group = group_for(self._arguments.get("dag"), self._arguments.get("task_group"))
        given = {**self._arguments, "task_id": _free_id(wanted, group), "python_callable": self.function}
        return given if given.get("doc_md") else {**given, "doc_md": self.function.__doc__}

    def partial(self, **arguments: Any) -> FunctionPartial:
        """The arguments of the function that are the same for all instances of a mapped task."""
        return FunctionPartial(
            getattr(self.function, "__name__", "function"),
            lambda: Partial(self._operator, {**self._of_task(), "op_kwargs": arguments}, inner="op_kwargs"),
        )

    def expand(self, **over: Any) -> XComArg[Any]:
        """A task with an instance for each combination of the items of these; the output is the list of theirs."""
        return self.partial().expand(**over)

    def expand_kwargs(self, kwargs: Any) -> XComArg[Any]:
        """A task with an instance for each of these dicts, which hold its function's arguments."""
        return self.partial().expand_kwargs(kwargs)

    def override(self, **arguments: Unpack[FunctionArguments]) -> Self:
        """The same function with other task arguments, such as ``task_id`` or ``retries``."""
        return type(self)(self.function, self._operator, {**self._arguments, **arguments})


class ShortCircuitFunction(TaskFunction[F]):
    """What ``@task.short_circuit`` makes of a function."""

    if TYPE_CHECKING:

        def override(self, **arguments: Unpack[ShortCircuitFunctionArguments]) -> Self: ...


class SensorFunction(TaskFunction[F]):
    """What ``@task.sensor`` makes of a function."""

    if TYPE_CHECKING:

        def override(self, **arguments: Unpack[SensorFunctionArguments]) -> Self: ...


class BashFunction(TaskFunction[F]):
    """What ``@task.bash`` makes of a function."""

    if TYPE_CHECKING:

        def override(self, **arguments: Unpack[BashFunctionArguments]) -> Self: ...


class _BashTask(PythonOperator, RunsBash):
    """Calls its function for a bash command, renders that as a template and runs it."""

    template_fields: ClassVar[Sequence[str]] = (*PythonOperator.template_fields, "env", "cwd")
    template_ext: ClassVar[Sequence[str]] = BashOperator.template_ext
    file_fields: ClassVar[Sequence[str] | None] = BashOperator.file_fields
    _declared = {**RunsBash._declared, **PythonOperator._declared}

    def execute(self, context: Mapping[str, Any]) -> Any:
        return self.run_in_bash(rendered(self, "bash_command", self.call(context), context))


if TYPE_CHECKING:

    class _Decorate(Protocol):
        """What ``@task(…)`` returns."""

        @overload
        def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> TaskFunction[Callable[P, R]]: ...
        @overload
        def __call__(self, function: Callable[P, R], /) -> TaskFunction[Callable[P, R]]: ...

    _Branch: TypeAlias = Callable[P, Chosen | Coroutine[Any, Any, Chosen]]
    _Bash: TypeAlias = Callable[P, str | Coroutine[Any, Any, str]]


class _TaskDecorator:
    """``@task`` and its kinds, each with or without arguments of the task."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> TaskFunction[Callable[P, R]]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskFunction[Callable[P, R]]: ...
    @overload
    def __call__(self, /, **arguments: Unpack[FunctionArguments]) -> _Decorate: ...
    def __call__(self, function: Any = None, /, **arguments: Any) -> Any:
        """The function does the task's work; what it returns is the task's XCom."""
        return _decorated(TaskFunction, PythonOperator, function, arguments)

    @overload
    def branch(self, function: _Branch[P], /) -> TaskFunction[Callable[P, Any]]: ...
    @overload
    def branch(
        self, /, **arguments: Unpack[FunctionArguments]
    ) -> Callable[[_Branch[P]], TaskFunction[Callable[P, Any]]]: ...
    def branch(self, function: Any = None, /, **arguments: Any) -> Any:
        """The function returns the task ids to follow."""
        return _decorated(TaskFunction, BranchPythonOperator, function, arguments)

    @overload
    def short_circuit(self, function: Callable[P, Any], /) -> ShortCircuitFunction[Callable[P, Any]]: ...
    @overload
    def short_circuit(
        self, /, **arguments: Unpack[ShortCircuitFunctionArguments]
    ) -> Callable[[Callable[P, Any]], ShortCircuitFunction[Callable[P, Any]]]: ...
    def short_circuit(self, function: Any = None, /, **arguments: Any) -> Any:
        """The function returns whether to go on."""
        return _decorated(ShortCircuitFunction, ShortCircuitOperator, function, arguments)

    @overload
    def sensor(self, function: Callable[P, Any], /) -> SensorFunction[Callable[P, Any]]: ...
    @overload
    def sensor(
        self, /, **arguments: Unpack[SensorFunctionArguments]
    ) -> Callable[[Callable[P, Any]], SensorFunction[Callable[P, Any]]]: ...
    def sensor(self, function: Any = None, /, **arguments: Any) -> Any:
        """The function looks once: something true, or a PokeReturnValue that is done, ends the waiting."""
        return _decorated(SensorFunction, PythonSensor, function, arguments)

    @overload
    def bash(self, function: _Bash[P], /) -> BashFunction[Callable[P, str]]: ...
    @overload
    def bash(
        self, /, **arguments: Unpack[BashFunctionArguments]
    ) -> Callable[[_Bash[P]], BashFunction[Callable[P, str]]]: ...
    def bash(self, function: Any = None, /, **arguments: Any) -> Any:
        """The function returns a bash command."""
        return _decorated(BashFunction, _BashTask, function, arguments)


task = _TaskDecorator()


def _decorated(
    kind: type[TaskFunction[Any]], operator: type[PythonOperator], function: Any, arguments: Mapping[str, Any]
) -> Any:
    if function is not None:
        return kind(function, operator, arguments)
    return lambda decorated: kind(decorated, operator, arguments)


def _free_id(wanted: Any, group: Group | None) -> Any:
    """The id that a further call of a function gets in this group, as it is called in there."""
    if not isinstance(wanted, str) or group is None:
        return wanted  # the task itself says what is wrong with it
    in_dag = group.child_id(wanted)
    return wanted + free_id(in_dag, group.dag.task_dict)[len(in_dag) :]


@overload
def dag(dag_id: Callable[P, object]) -> Callable[P, DAG]: ...
@overload
def dag(
    dag_id: str | None = None, **arguments: Unpack[DagArguments]
) -> Callable[[Callable[P, object]], Callable[P, DAG]]: ...
def dag(dag_id: str | Callable[..., Any] | None = None, **arguments: Any) -> Any:
    """Make a function into a DAG factory: its body is the ``with`` block; calling it makes the DAG.

    Usable as ``@dag`` or ``@dag("name", schedule=…)``; the id defaults to the function's name. Unlike in Airflow a
    decorated function that is never called makes no DAG either.
    """
    if callable(dag_id):
        return dag()(dag_id)
    named = dag_id

    def decorate(function: Callable[P, object]) -> Callable[P, DAG]:
        @functools.wraps(function)
        def make(*args: P.args, **kwargs: P.kwargs) -> DAG:
            described: Any = {"description": (function.__doc__ or "").strip().partition("\n")[0], **arguments}
            with DAG(function.__name__ if named is None else named, **described) as made:
                if unrun := never_run(function(*args, **kwargs)):
                    made.mistake(unrun)
            return made

        return make

    return decorate
