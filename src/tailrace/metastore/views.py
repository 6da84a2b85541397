"""What people are shown: lists and summaries, each read in one transaction. Nothing here is read by a planning step."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, func, select

from tailrace.metastore.columns import from_json
from tailrace.metastore.specs import spec_from
from tailrace.metastore.tables import backfill, backfill_run, dag, dag_run, dag_version, task_instance
from tailrace.metastore.transaction import Transaction
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.backfills import DateAction
from tailrace.planning.plan import Blocker, DependencyStatus

R = TypeVar("R")

_FAILURES = (TaskInstanceState.FAILED.value, TaskInstanceState.UPSTREAM_FAILED.value)
_BAD_RUNS = (DagRunState.FAILED.value, DagRunState.DEADLOCKED.value, DagRunState.CANCELLED.value)
_MOST_RUNNING_SHOWN = 5


class BackfillProgress(Struct, frozen=True):
    """Counts of one backfill at one moment; ``running`` names a few running task instances."""

    runs: Mapping[DagRunState, int]
    task_instances: Mapping[TaskInstanceState, int]
    running: tuple[str, ...]


class BackfillLine(Struct, frozen=True):
    """One backfill in a list. ``runs`` counts its wanted runs by state."""

    id: int
    dag_id: str
    state: str
    paused: bool
    start: datetime
    end: datetime
    reprocess: str
    command: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    runs: Mapping[str, int]


class Root(Struct, frozen=True):
    """The failure that others go back to: the first failed task instance of the first bad run."""

    try_key: TryKey
    state: str
    reason: str


class BackfillSummary(Struct, frozen=True):
    """How one backfill stands. ``left_failed`` counts runs that had failed before it and were left alone."""

    id: int
    dag_id: str
    state: str
    reason: str
    runs: Mapping[str, int]
    task_instances: Mapping[str, int]
    blocked: tuple[Blocker, ...]
    root_failure: Root | None
    left_failed: int


class RunLine(Struct, frozen=True):
    """One run in a list. ``task_instances`` counts them by state."""

    id: int
    dag_id: str
    run_id: str
    logical_date: datetime
    data_interval: DataInterval
    state: str
    run_type: str
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    task_instances: Mapping[str, int]


class TaskInstanceLine(Struct, frozen=True):
    """One task instance of a run, as ``runs show`` lists it."""

    task_id: str
    map_index: int
    state: str
    try_number: int
    start: datetime | None
    end: datetime | None
    reason: str


class DagStats(Struct, frozen=True):
    """What the metastore holds of one DAG, counted by state."""

    dag_id: str
    paused: bool
    runs: Mapping[str, int]
    task_instances: Mapping[str, int]


class Views:
    """The reading part of the metastore's face. ``read`` does some work over one snapshot."""

    def read(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work`` in one read transaction; the metastore itself defines it."""
        raise TypeError(f"{type(self).__name__} does not read anything")

    def backfill_progress(self, backfill_id: int) -> BackfillProgress:
        """The counts of one backfill, for a display."""

        def work(tx: Transaction) -> BackfillProgress:
            runs = {DagRunState(state): count for state, count in _run_counts(tx, backfill_id).items()}
            counted = {TaskInstanceState(state): count for state, count in _ti_counts(tx, backfill_id).items()}
            return BackfillProgress(runs, counted, _some_running(tx, backfill_id))

        return self.read(work)

    def list_backfills(self, dag_id: str | None = None, limit: int = 50) -> tuple[BackfillLine, ...]:
        """Backfills, newest first."""
        wanted = select(backfill).order_by(backfill.c.id.desc()).limit(limit)
        if dag_id is not None:
            wanted = wanted.where(backfill.c.dag_id == dag_id)
        return self.read(lambda tx: tuple(_backfill_line(tx, row) for row in tx.rows(wanted)))

    def show_backfill(self, backfill_id: int | None) -> BackfillLine | None:
        """One backfill, the newest by default; None when there is none."""
        wanted = select(backfill).order_by(backfill.c.id.desc()).limit(1)
        if backfill_id is not None:
            wanted = wanted.where(backfill.c.id == backfill_id)

        def work(tx: Transaction) -> BackfillLine | None:
            row = tx.row(wanted)
            return None if row is None else _backfill_line(tx, row)

        return self.read(work)

    def backfill_summary(self, backfill_id: int) -> BackfillSummary:
        """How a backfill stands. Raises KeyError for one that does not exist."""
        return self.read(lambda tx: _summary(tx, backfill_id))

    def runs_of_backfill(self, backfill_id: int, limit: int = 1000) -> tuple[RunLine, ...]:
        """The runs a backfill wants, in its order."""
        wanted = (
            select(dag_run)
            .join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
            .where(backfill_run.c.backfill_id == backfill_id)
            .order_by(backfill_run.c.ordinal)
            .limit(limit)
        )
        return self.read(lambda tx: _run_lines(tx, wanted))

    def list_runs(self, dag_id: str | None = None, state: str | None = None, limit: int = 100) -> tuple[RunLine, ...]:
        """Runs, newest logical date first."""
        wanted = select(dag_run).order_by(dag_run.c.logical_date.desc(), dag_run.c.id.desc()).limit(limit)
        if dag_id is not None:
            wanted = wanted.where(dag_run.c.dag_id == dag_id)
        if state is not None:
            wanted = wanted.where(dag_run.c.state == state)
        return self.read(lambda tx: _run_lines(tx, wanted))

    def find_runs(self, dag_id: str, run_id: str) -> tuple[RunLine, ...]:
        """The run of this id, if there is one."""
        wanted = select(dag_run).where(dag_run.c.dag_id == dag_id, dag_run.c.run_id == run_id)
        return self.read(lambda tx: _run_lines(tx, wanted))

    def runs_between(self, dag_id: str, first: datetime, last: datetime, limit: int) -> tuple[RunLine, ...]:
        """The runs whose logical date is between these, both inclusive, oldest first."""
        of_dates = dag_run.c.logical_date.between(first, last)
        wanted = select(dag_run).where(dag_run.c.dag_id == dag_id, of_dates).order_by(dag_run.c.logical_date)
        return self.read(lambda tx: _run_lines(tx, wanted.limit(limit)))

    def task_instances_of(self, run: int) -> tuple[TaskInstanceLine, ...]:
        """The task instances of a run (its row), in topological order."""
        wanted = (
            select(
                task_instance.c.task_id,
                task_instance.c.map_index,
                task_instance.c.state,
                task_instance.c.try_number,
                task_instance.c.started_at,
                task_instance.c.ended_at,
                task_instance.c.reason,
            )
            .where(task_instance.c.dag_run_id == run)
            .order_by(task_instance.c.id)
        )
        return self.read(lambda tx: tuple(TaskInstanceLine(*row) for row in tx.rows(wanted)))

    def dag_stats(self, dag_id: str | None = None) -> tuple[DagStats, ...]:
        """Per DAG, runs and task instances by state (the thread's per-DAG statistics)."""

        def work(tx: Transaction) -> tuple[DagStats, ...]:
            runs = _by_dag(tx, select(dag_run.c.dag_id, dag_run.c.state, func.count()).group_by("dag_id", "state"))
            counted = select(task_instance.c.dag_id, task_instance.c.state, func.count()).group_by("dag_id", "state")
            task_instances = _by_dag(tx, counted)
            known = tx.rows(select(dag.c.dag_id, dag.c.paused).order_by(dag.c.dag_id))
            return tuple(
                DagStats(name, paused, runs.get(name, {}), task_instances.get(name, {}))
                for name, paused in known
                if dag_id is None or name == dag_id
            )

        return self.read(work)

    def stored_dag(self, dag_id: str) -> DagSpec | None:
        """The DAG's newest structure that any job has used; None for a DAG no job has ever run."""
        wanted = (
            select(dag_version.c.spec).join(dag, dag.c.dag_version_id == dag_version.c.id).where(dag.c.dag_id == dag_id)
        )

        def work(tx: Transaction) -> DagSpec | None:
            row = tx.row(wanted)
            return None if row is None else spec_from(row[0])

        return self.read(work)

    def known_dags(self) -> tuple[str, ...]:
        """The ids of the DAGs that any job has run."""
        return self.read(lambda tx: tuple(row[0] for row in tx.rows(select(dag.c.dag_id).order_by(dag.c.dag_id))))


def _by_dag(tx: Transaction, counted: Select[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, state, count in tx.rows(counted):
        found.setdefault(name, {})[state] = count
    return found


def _wanted_by(backfill_id: int) -> ColumnElement[bool]:
    """The join condition: task instances of runs that this backfill wants."""
    return and_(backfill_run.c.dag_run_id == task_instance.c.dag_run_id, backfill_run.c.backfill_id == backfill_id)


def _run_counts(tx: Transaction, backfill_id: int) -> dict[str, int]:
    counted = (
        select(backfill_run.c.run_state, func.count())
        .where(backfill_run.c.backfill_id == backfill_id)
        .group_by(backfill_run.c.run_state)
    )
    return dict(tx.rows(counted))


def _ti_counts(tx: Transaction, backfill_id: int) -> dict[str, int]:
    counted = (
        select(task_instance.c.state, func.count())
        .join(backfill_run, _wanted_by(backfill_id))
        .group_by(task_instance.c.state)
    )
    return dict(tx.rows(counted))


def _some_running(tx: Transaction, backfill_id: int) -> tuple[str, ...]:
    wanted = (
        select(task_instance.c.task_id, dag_run.c.logical_date)
        .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
        .join(backfill_run, _wanted_by(backfill_id))
        .where(task_instance.c.state == TaskInstanceState.RUNNING.value)
        .order_by(task_instance.c.started_at)
        .limit(_MOST_RUNNING_SHOWN)
    )
    return tuple(f"{task_id} @ {date.isoformat()}" for task_id, date in tx.rows(wanted))


def _backfill_line(tx: Transaction, row: Any) -> BackfillLine:
    return BackfillLine(
        id=row.id,
        dag_id=row.dag_id,
        state=row.state,
        paused=row.paused,
        start=row.range_start,
        end=row.range_end,
        reprocess=row.reprocess,
        command=row.command,
        reason=row.reason,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        runs=_run_counts(tx, row.id),
    )


def _run_lines(tx: Transaction, wanted: Select[Any]) -> tuple[RunLine, ...]:
    rows = tx.rows(wanted)
    counts: dict[int, dict[str, int]] = {}
    if rows:
        counted = (
            select(task_instance.c.dag_run_id, task_instance.c.state, func.count())
            .where(task_instance.c.dag_run_id.in_([row.id for row in rows]))
            .group_by(task_instance.c.dag_run_id, task_instance.c.state)
        )
        for run, state, count in tx.rows(counted):
            counts.setdefault(run, {})[state] = count
    return tuple(
        RunLine(
            row.id,
            row.dag_id,
            row.run_id,
            row.logical_date,
            DataInterval(row.interval_start, row.interval_end),
            row.state,
            row.run_type,
            row.started_at,
            row.ended_at,
            row.reason,
            counts.get(row.id, {}),
        )
        for row in rows
    )


def _summary(tx: Transaction, backfill_id: int) -> BackfillSummary:
    row = tx.row(select(backfill).where(backfill.c.id == backfill_id))
    if row is None:
        raise KeyError(backfill_id)
    left = select(func.count()).where(
        backfill_run.c.backfill_id == backfill_id,
        backfill_run.c.action == DateAction.LEAVE.value,
        backfill_run.c.run_state.in_(_BAD_RUNS),
    )
    return BackfillSummary(
        id=row.id,
        dag_id=row.dag_id,
        state=row.state,
        reason=row.reason,
        runs=_run_counts(tx, backfill_id),
        task_instances=_ti_counts(tx, backfill_id),
        blocked=_blocked(tx, backfill_id),
        root_failure=_root(tx, backfill_id),
        left_failed=int(tx.rows(left)[0][0]),
    )


def _blocked(tx: Transaction, backfill_id: int) -> tuple[Blocker, ...]:
    wanted = (
        select(dag_run.c.blocked)
        .join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
        .where(backfill_run.c.backfill_id == backfill_id, dag_run.c.blocked.is_not(None))
        .order_by(backfill_run.c.ordinal)
    )
    return tuple(stored_blocker(each) for row in tx.rows(wanted) for each in from_json(row[0]))


def stored_blocker(stored: dict[str, Any]) -> Blocker:
    """A blocked task instance as a verdict stored it."""
    return Blocker(
        TaskInstanceKey(**stored["task_instance"]),
        TaskInstanceState(stored["state"]),
        tuple(DependencyStatus(each["dependency"], False, each["reason"]) for each in stored["reasons"]),
    )


def _root(tx: Transaction, backfill_id: int) -> Root | None:
    """The first failure in time of the first bad run; one that failed itself goes before one that only followed."""
    wanted = (
        select(
            dag_run.c.dag_id,
            dag_run.c.run_id,
            task_instance.c.task_id,
            task_instance.c.map_index,
            task_instance.c.try_number,
            task_instance.c.state,
            task_instance.c.reason,
        )
        .select_from(task_instance)
        .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
        .join(backfill_run, _wanted_by(backfill_id))
        .where(backfill_run.c.run_state.in_(_BAD_RUNS), task_instance.c.state.in_(_FAILURES))
        .order_by(
            (task_instance.c.state == TaskInstanceState.FAILED.value).desc(),
            task_instance.c.ended_at,
            backfill_run.c.ordinal,
            task_instance.c.id,
        )
        .limit(1)
    )
    row = tx.row(wanted)
    if row is None:
        return None
    key = TaskInstanceKey(row.dag_id, row.run_id, row.task_id, row.map_index)
    return Root(TryKey(key, row.try_number), row.state, row.reason)
