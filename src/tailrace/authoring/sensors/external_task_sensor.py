"""A sensor of other DAGs: waits until tasks, a group or whole runs of given dates are in given states."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from tailrace.authoring.arguments.datetimes import datetime_in
from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.external_task_arguments import EXTERNAL_DAG_ID, ExternalTaskArguments
from tailrace.authoring.context.calling import accepted_by
from tailrace.authoring.context.recorded import get_dag_runs, get_task_instances
from tailrace.authoring.context.recorded_conditions import dates_in
from tailrace.authoring.sensors.poking import BaseSensorOperator
from tailrace.errors import RecordNotFound, TaskFailed, TaskSkipped
from tailrace.model.awaited import MOST_AWAITED, Awaited, Looked, Seen, look, named
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import shown
from tailrace.model.states import DagRunState, TaskInstanceState

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import ExternalTaskSensorArguments


class ExternalTaskSensor(BaseSensorOperator):
    """Waits for another DAG: for a task, several, a task group, or its whole run, of the same logical date.

    ``execution_delta`` is how much earlier that date is; ``execution_date_fn(logical_date)`` returns it, or several.
    Each look is one consistent read. In mode reschedule it is woken for the next one by what it waits for.
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
    _awaited: Awaited | None = None  # by its last look, which found nothing decided

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
        self._awaited = None
        awaited = self._waits_for(context)
        try:
            found = self._found(awaited)
        except RecordNotFound as missing:
            if self.check_existence:
                raise TaskFailed(str(missing)) from None
            print(f"not there yet: {missing}", flush=True)
            return False
        looked = look(awaited, found)
        self._raise_for(looked)
        if looked.waits:
            print(named(awaited.dag_id, looked.waits), flush=True)
            self._awaited = awaited
        return looked.is_decided

    def awaits(self) -> Awaited | None:
        """What it is woken by, where its last look has found all of it named, and nobody's code is asked instead."""
        own = type(self).poke is ExternalTaskSensor.poke and type(self)._found is ExternalTaskSensor._found
        awaited = self._awaited if own else None
        if awaited is None or max(len(awaited.logical_dates), len(awaited.task_ids)) > MOST_AWAITED:
            return None
        return awaited

    def _raise_for(self, looked: Looked) -> None:
        if looked.failed and self.soft_fail:
            raise TaskSkipped(f"{named(self.external_dag_id, looked.failed)}, and soft_fail is set")
        if looked.failed:
            raise ExternalTaskFailed(named(self.external_dag_id, looked.failed))
        if looked.skipped:
            raise TaskSkipped(named(self.external_dag_id, looked.skipped))

    def _waits_for(self, context: Mapping[str, Any]) -> Awaited:
        return Awaited(
            dag_id=self.external_dag_id,
            logical_dates=dates_in("logical_dates", self._dates(context)) or (),
            task_ids=self._names(),
            task_group_id=self.external_task_group_id or None,
            allowed_states=self.allowed_states,
            failed_states=self.failed_states,
            skipped_states=self.skipped_states,
            goes_on=self.soft_fail or self.never_fail or self.execution_date_fn is not None,
        )

    def _names(self) -> tuple[str, ...]:
        """The tasks; none where it waits for a group or for whole runs."""
        given = [self.external_task_id] if self.external_task_id else self.external_task_ids or ()
        return tuple(dict.fromkeys([given] if isinstance(given, str) else given))

    def _found(self, awaited: Awaited) -> list[Seen]:
        dag_id, dates, group = awaited.dag_id, awaited.logical_dates, awaited.task_group_id
        if awaited.is_of_runs:
            runs = get_dag_runs(dag_id, logical_dates=dates)
            return [Seen(run.logical_date, run.state, run_id=run.run_id) for run in runs]
        conditions = {"task_ids": awaited.task_ids} if group is None else {"task_group_id": group}
        return [
            Seen(ti.logical_date, ti.state or TaskInstanceState.NONE, ti.task_id, ti.map_index, ti.run_id)
            for ti in get_task_instances(dag_id, logical_dates=dates, **conditions)
            if ti.state != TaskInstanceState.REMOVED
        ]

    def _dates(self, context: Mapping[str, Any]) -> Sequence[datetime]:
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
