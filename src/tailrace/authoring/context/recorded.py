"""What the code of a task asks about recorded runs and task instances: read-only, each question one consistent read.

The task's process has no connection to the metastore: it asks its worker, as for Variables.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from tailrace.authoring.context.moments import Moment, moment_of
from tailrace.authoring.context.recorded_conditions import (
    dag_id_in,
    date_in,
    dates_in,
    group_id_in,
    limit_in,
    map_index_in,
    states_in,
    texts_in,
)
from tailrace.errors import RecordNotFound, RecordsUnreadable
from tailrace.model.keys import UNMAPPED, RunType
from tailrace.model.recorded import (
    Counted,
    RecordedRun,
    RecordedTaskInstance,
    RecordsQuery,
    RecordsRefused,
    RecordsReply,
    RunsFound,
    TaskInstancesFound,
    Wanted,
)
from tailrace.model.states import DagRunState, TaskInstanceState

Ask = Callable[[RecordsQuery], RecordsReply]


class _Source:
    """Whom this process asks; None outside a task."""

    ask: Ask | None = None


def ask_by(ask: Ask | None) -> None:
    """Ask so from now on; None: there is nobody to ask."""
    _Source.ask = ask


class DagRun(RecordedRun, frozen=True, kw_only=True):
    """A run of a DAG: what is recorded of it, and what may be asked about it."""

    logical_date: Moment
    data_interval_start: Moment
    data_interval_end: Moment
    start_date: Moment | None = None
    end_date: Moment | None = None

    @property
    def execution_date(self) -> Moment:
        """The logical date, as Airflow called it."""
        return self.logical_date

    @property
    def external_trigger(self) -> bool:
        """Whether somebody triggered it by hand."""
        return self.run_type == RunType.MANUAL

    @property
    def is_backfill(self) -> bool:
        """Whether a backfill asked for it first."""
        return self.run_type == RunType.BACKFILL

    def get_state(self) -> str:
        """Its state when it was read: of the run that a task is of, ``running``."""
        return self.state

    def get_task_instances(self, state: Any = None) -> list["TaskInstanceRecord"]:
        """Its task instances, in topological order; with ``state`` those in this one, or in one of these."""
        states = None if state is None else [state] if isinstance(state, str) else state
        return get_task_instances(self.dag_id, run_ids=[self.run_id], states=states)

    def get_task_instance(self, task_id: str, map_index: int = UNMAPPED) -> "TaskInstanceRecord | None":
        """One of its task instances; None where it has none of this id and map index."""
        found = get_task_instances(self.dag_id, run_ids=[self.run_id], task_ids=[task_id], map_index=map_index)
        return found[0] if found else None

    def get_previous_dagrun(self, state: Any = None) -> "DagRun | None":
        """The run of the latest earlier logical date; with ``state``, of those in this state."""
        return previous_run(self.dag_id, self.logical_date, state)

    def get_previous_scheduled_dagrun(self) -> "DagRun | None":
        """The same of the runs that the schedule asked for: what was triggered by hand does not count."""
        return previous_run(self.dag_id, self.logical_date, run_types=(RunType.SCHEDULED, RunType.BACKFILL))

    @staticmethod
    def find(
        dag_id: str,
        run_id: str | Iterable[str] | None = None,
        execution_date: datetime | Iterable[datetime] | None = None,
        state: Any = None,
        *,
        run_type: Any = None,
        execution_start_date: datetime | None = None,
        execution_end_date: datetime | None = None,
    ) -> list["DagRun"]:
        """Runs of a DAG, as ``get_dag_runs`` returns them, under the names of Airflow 2."""
        return get_dag_runs(
            dag_id,
            run_ids=run_id,
            logical_dates=execution_date,
            states=state,
            run_type=run_type,
            first=execution_start_date,
            last=execution_end_date,
        )


class TaskInstanceRecord(RecordedTaskInstance, frozen=True, kw_only=True):
    """A task instance of a run, as it is recorded."""

    logical_date: Moment
    start_date: Moment | None = None
    end_date: Moment | None = None

    @property
    def execution_date(self) -> Moment:
        """The logical date, as Airflow called it."""
        return self.logical_date

    @property
    def duration(self) -> float | None:
        """The seconds from the beginning of its newest try to its end; None where it has not ended."""
        if self.start_date is None or self.end_date is None:
            return None
        return (self.end_date - self.start_date).total_seconds()

    def current_state(self) -> str | None:
        """Its state when it was read."""
        return self.state


def get_dag_runs(
    dag_id: str,
    *,
    run_ids: str | Iterable[str] | None = None,
    logical_dates: datetime | Iterable[datetime] | None = None,
    states: Any = None,
    run_type: Any = None,
    first: datetime | None = None,
    last: datetime | None = None,
    limit: int | None = None,
) -> list[DagRun]:
    """The runs of a DAG, the oldest logical date first.

    Each argument is one more condition: ``first`` and ``last`` are logical dates, both inclusive. With ``limit`` the
    newest so many of them. Raises RecordNotFound, a LookupError, for a DAG that there is not.
    """
    query = RecordsQuery(
        Wanted.RUNS,
        dag_id_in(dag_id),
        run_ids=texts_in("run_ids", run_ids),
        logical_dates=dates_in("logical_dates", logical_dates),
        states=states_in(states, DagRunState),
        run_types=texts_in("run_type", run_type),
        first=date_in("first", first),
        last=date_in("last", last),
        newest=limit_in(limit),
    )
    found = _found_runs(query)
    return found if limit is None else found[::-1]


def get_task_instances(
    dag_id: str,
    *,
    map_index: int | None = None,
    task_ids: str | Iterable[str] | None = None,
    task_group_id: str | None = None,
    logical_dates: datetime | Iterable[datetime] | None = None,
    run_ids: str | Iterable[str] | None = None,
    states: Any = None,
) -> list[TaskInstanceRecord]:
    """The task instances of a DAG that fulfil all these conditions, by logical date, then in topological order.

    They are those of ``get_ti_count``.
    """
    query = _task_query(
        Wanted.TASK_INSTANCES, dag_id, map_index, task_ids, task_group_id, logical_dates, run_ids, states
    )
    reply = _reply(query)
    assert isinstance(reply, TaskInstancesFound)
    return [_as(TaskInstanceRecord, each) for each in reply.task_instances]


def get_task_states(
    dag_id: str,
    map_index: int | None = None,
    task_ids: str | Iterable[str] | None = None,
    task_group_id: str | None = None,
    logical_dates: datetime | Iterable[datetime] | None = None,
    run_ids: str | Iterable[str] | None = None,
) -> dict[str, dict[str, str | None]]:
    """By run id, then by task id, the state of each task instance; None where nothing is decided.

    An instance of a mapped task stands there as ``TASK_INDEX``, as in Airflow.
    """
    states: dict[str, dict[str, str | None]] = {}
    query = _task_query(Wanted.TASK_INSTANCES, dag_id, map_index, task_ids, task_group_id, logical_dates, run_ids, None)
    reply = _reply(query)
    assert isinstance(reply, TaskInstancesFound)
    for each in reply.task_instances:
        name = each.task_id if each.map_index == UNMAPPED else f"{each.task_id}_{each.map_index}"
        states.setdefault(each.run_id, {})[name] = each.state
    return states


def get_ti_count(
    dag_id: str,
    map_index: int | None = None,
    task_ids: str | Iterable[str] | None = None,
    task_group_id: str | None = None,
    logical_dates: datetime | Iterable[datetime] | None = None,
    run_ids: str | Iterable[str] | None = None,
    states: Any = None,
) -> int:
    """How many task instances of a DAG fulfil all these conditions.

    ``states`` may hold None, for those of which nothing is decided. Raises RecordNotFound, a LookupError, for a DAG, a
    task or a group that there never was.
    """
    query = _task_query(
        Wanted.TASK_INSTANCE_COUNT, dag_id, map_index, task_ids, task_group_id, logical_dates, run_ids, states
    )
    return _count(query)


get_task_instance_count = get_ti_count


def get_dr_count(
    dag_id: str,
    logical_dates: datetime | Iterable[datetime] | None = None,
    run_ids: str | Iterable[str] | None = None,
    states: Any = None,
) -> int:
    """How many runs of a DAG fulfil all these conditions."""
    return _count(
        RecordsQuery(
            Wanted.RUN_COUNT,
            dag_id_in(dag_id),
            run_ids=texts_in("run_ids", run_ids),
            logical_dates=dates_in("logical_dates", logical_dates),
            states=states_in(states, DagRunState),
        )
    )


def get_dagrun_state(dag_id: str, run_id: str) -> str:
    """The state of a run. Raises RecordNotFound, a LookupError, where there is none of this id."""
    found = _found_runs(RecordsQuery(Wanted.RUNS, dag_id_in(dag_id), run_ids=texts_in("run_id", [run_id])))
    if not found:
        raise RecordNotFound(f"{dag_id} has no run {run_id}")
    return found[0].state


def previous_run(
    dag_id: str, before: datetime, state: Any = None, run_types: Sequence[str] | None = None
) -> DagRun | None:
    """The run of the latest logical date before this one; with ``state``, of those in this state."""
    query = RecordsQuery(
        Wanted.RUNS,
        dag_id,
        states=states_in(state, DagRunState),
        run_types=None if run_types is None else tuple(run_types),
        before=date_in("before", before),
        newest=1,
    )
    return next(iter(_found_runs(query)), None)


def previous_task_instance(
    dag_id: str, task_id: str, map_index: int, before: datetime, state: Any = None
) -> TaskInstanceRecord | None:
    """The task instance of the latest logical date before this one; with ``state``, of those in this state."""
    query = RecordsQuery(
        Wanted.TASK_INSTANCES,
        dag_id,
        states=states_in(state, TaskInstanceState),
        before=date_in("logical_date", before),
        task_ids=(task_id,),
        map_index=map_index_in(map_index),
        newest=1,
    )
    reply = _reply(query)
    assert isinstance(reply, TaskInstancesFound)
    return next((_as(TaskInstanceRecord, each) for each in reply.task_instances), None)


# --- what is asked ------------------------------------------------------------------------------------------------


def _task_query(
    wanted: Wanted, dag_id: Any, map_index: Any, task_ids: Any, group_id: Any, dates: Any, run_ids: Any, states: Any
) -> RecordsQuery:
    return RecordsQuery(
        wanted,
        dag_id_in(dag_id),
        run_ids=texts_in("run_ids", run_ids),
        logical_dates=dates_in("logical_dates", dates),
        states=states_in(states, TaskInstanceState),
        task_ids=texts_in("task_ids", task_ids),
        task_group_id=group_id_in(group_id),
        map_index=map_index_in(map_index),
    )


# --- the reply ----------------------------------------------------------------------------------------------------


def _reply(query: RecordsQuery) -> RecordsReply:
    if _Source.ask is None:
        raise RecordsUnreadable("what runs have done can be asked only in a task that runs, in its own process")
    reply = _Source.ask(query)
    if isinstance(reply, RecordsRefused):
        raise RecordNotFound(reply.why) if reply.unknown else RecordsUnreadable(reply.why)
    return reply


def _found_runs(query: RecordsQuery) -> list[DagRun]:
    reply = _reply(query)
    assert isinstance(reply, RunsFound)
    return [_as(DagRun, each) for each in reply.runs]


def _count(query: RecordsQuery) -> int:
    reply = _reply(query)
    assert isinstance(reply, Counted)
    return reply.count


def _as(kind: type[Any], each: RecordedRun | RecordedTaskInstance) -> Any:
    """The record with its moments as a task gets them."""
    fields = {name: getattr(each, name) for name in each.__struct_fields__}
    return kind(**{name: moment_of(value) if isinstance(value, datetime) else value for name, value in fields.items()})
