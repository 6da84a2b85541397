"""A sensor of other DAGs: waits until tasks, a group or whole runs of given dates are in given states."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from tailrace.authoring.arguments.datetimes import datetime_in
from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.external_task_arguments import EXTERNAL_DAG_ID, ExternalTaskArguments
from tailrace.authoring.context.calling import accepted_by
from tailrace.authoring.context.recorded import get_dag_runs, get_task_instances
from tailrace.authoring.sensors.poking import BaseSensorOperator
from tailrace.errors import RecordNotFound, TaskFailed, TaskSkipped
from tailrace.model.keys import index_suffix
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import shown
from tailrace.model.states import DagRunState, TaskInstanceState

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import ExternalTaskSensorArguments

#: So many of what it waits for are named in a line.
_MOST_NAMED = 5
#: A run that can never go on has failed, and so has one that was cancelled: Airflow knows neither.
_FAILED_TOO = (DagRunState.DEADLOCKED, DagRunState.CANCELLED)


class ExternalTaskSensor(BaseSensorOperator):
    """Waits for another DAG: for a task, several, a task group, or its whole run, of the same logical date.

    ``execution_delta`` is how much earlier that date is; ``execution_date_fn(logical_date)`` returns it, or several.
    Each look is one consistent read.
    """

    template_fields: ClassVar[Sequence[str]] = (
        "external_dag_id",
        "external_task_id",
        "external_task_ids",
        "external_task_group_id",
    )
    _declared = {
        **BaseSensorOperator._declared,
        **arguments_of(ExternalTaskArguments),
        "external_dag_id": EXTERNAL_DAG_ID,
    }
    external_dag_id: Any
    external_task_id: Any
    external_task_ids: Any
    external_task_group_id: Any
    allowed_states: tuple[str, ...]
    failed_states: tuple[str, ...]
    skipped_states: tuple[str, ...]
    execution_delta: timedelta | None
    execution_date_fn: Callable[..., Any] | None
    check_existence: bool

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[ExternalTaskSensorArguments]) -> None: ...

    def look_for_mistakes(self) -> None:
        """Note what cannot be waited for."""
        super().look_for_mistakes()
        whats = ("external_task_id", "external_task_ids", "external_task_group_id")
        given = [name for name in whats if getattr(self, name)]
        if len(given) > 1:
            self.mistake(f"{' and '.join(given)}: say one of them")
        if self.execution_delta is not None and self.execution_date_fn is not None:
            self.mistake("execution_delta and execution_date_fn: say one of them")
        known = frozenset(map(str, TaskInstanceState if given else DagRunState))
        for name in ("allowed_states", "failed_states", "skipped_states"):
            if unknown := sorted(set(getattr(self, name)) - known):
                of = "tasks" if given else "runs"
                self.mistake(f"{name}: {', '.join(unknown)} is no state; those of {of} are {', '.join(sorted(known))}")
        twice = sorted(
            {*self.allowed_states} & {*self.failed_states, *self.skipped_states}
            | {*self.failed_states} & {*self.skipped_states}
        )
        if twice:
            self.mistake(f"{', '.join(twice)} is in two of allowed_states, failed_states and skipped_states")

    def poke(self, context: Mapping[str, Any]) -> bool:
        """Whether all that it waits for is in one of the allowed states, in all of the runs."""
        dates = self._dates(context)
        try:
            found = self._found(dates)
        except RecordNotFound as missing:
            if self.check_existence:
                raise TaskFailed(str(missing)) from None
            print(f"not there yet: {missing}", flush=True)
            return False
        self._raise_for(found)
        return self._is_done(dates, found)

    def _raise_for(self, found: "list[_Seen]") -> None:
        failed = [each for each in found if each.state in self.failed_states or each.has_failed(self.failed_states)]
        if failed and self.soft_fail:
            raise TaskSkipped(f"{_named(failed)}, and soft_fail is set")
        if failed:
            raise ExternalTaskFailed(_named(failed))
        skipped = [each for each in found if each.state in self.skipped_states]
        if skipped:
            raise TaskSkipped(_named(skipped))

    def _is_done(self, dates: Sequence[datetime], found: "list[_Seen]") -> bool:
        """Every one of them is there and is as it should be."""
        missing = [
            _Seen(f"{self.external_dag_id}{'.' if name else ''}{name}", date, "not there")
            for date in dates
            for name in self._names() or ("",)
            if not any(each.date == date and name in ("", each.task_id) for each in found)
        ]
        waits = [each for each in found if each.state not in self.allowed_states] + missing
        if waits:
            print(_named(waits), flush=True)
        return not waits

    def _names(self) -> tuple[str, ...]:
        """The tasks; none where it waits for a group or for whole runs."""
        given = [self.external_task_id] if self.external_task_id else self.external_task_ids or ()
        return tuple(dict.fromkeys([given] if isinstance(given, str) else given))

    def _found(self, dates: Sequence[datetime]) -> "list[_Seen]":
        dag_id, names, group = self.external_dag_id, self._names(), self.external_task_group_id
        if not names and not group:
            runs = get_dag_runs(dag_id, logical_dates=dates)
            return [_Seen(dag_id, run.logical_date, run.state, is_run=True) for run in runs]
        conditions = {"task_ids": names} if names else {"task_group_id": group}
        return [
            _Seen(f"{dag_id}.{ti.task_id}{index_suffix(ti.map_index)}", ti.logical_date, ti.state or "none", ti.task_id)
            for ti in get_task_instances(dag_id, logical_dates=dates, **conditions)
            if ti.state != TaskInstanceState.REMOVED
        ]

    def _dates(self, context: Mapping[str, Any]) -> tuple[datetime, ...]:
        logical: datetime = context["logical_date"]
        if self.execution_date_fn is None:
            try:
                return (logical - (self.execution_delta or timedelta(0)),)
            except OverflowError:
                raise TaskFailed(f"{self.execution_delta} before {moment_text(logical)} is no date") from None
        given = self.execution_date_fn(logical, **accepted_by(self.execution_date_fn, [logical], context))
        dates = [given] if isinstance(given, datetime) else given
        if isinstance(dates, str) or not isinstance(dates, Iterable):
            raise TaskFailed(f"execution_date_fn must return a datetime, or several, not {shown(given)}")
        try:
            found = [datetime_in(self.dag.timezone, each).moment.astimezone(UTC) for each in dates]
        except ValueError as wrong:
            raise TaskFailed(f"execution_date_fn returned a date that {wrong}") from None
        if not found:
            raise TaskFailed("execution_date_fn returned no date")
        return tuple(dict.fromkeys(found))


class ExternalTaskFailed(Exception):
    """What a sensor waits for is in one of its ``failed_states``."""


class _Seen:
    """A task instance of another DAG, or a whole run, as it was found."""

    def __init__(self, name: str, date: datetime, state: str, task_id: str = "", *, is_run: bool = False) -> None:
        self.name, self.date, self.state, self.task_id, self._is_run = name, date, state, task_id, is_run

    def has_failed(self, failed_states: Sequence[str]) -> bool:
        """Whether it is a run that is worse than failed, where a failed one is looked for."""
        return self._is_run and DagRunState.FAILED in failed_states and self.state in _FAILED_TOO


def _named(several: "Sequence[_Seen]") -> str:
    names = [f"{each.name} of {moment_text(each.date)} is {each.state}" for each in several[:_MOST_NAMED]]
    more = f" and {len(several) - _MOST_NAMED:,} more" if len(several) > _MOST_NAMED else ""
    return ", ".join(names) + more
