"""What people are shown: lists and summaries, each read in one transaction. Nothing here is read by a planning step."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, func, select

from tailrace.metastore.db.tables import (
    UNFINISHED_BACKFILL,
    backfill,
    backfill_run,
    dag,
    dag_run,
    dag_version,
    task_instance,
)
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.failed_inside import Failures, failures_of_backfills
from tailrace.metastore.plans.rows import backfill_part_from
from tailrace.metastore.plans.wanted import run_counts
from tailrace.metastore.tries.job_rows import LiveJobs, live_jobs
from tailrace.metastore.views.callbacks import callbacks_of
from tailrace.metastore.views.grid import Grid, grid
from tailrace.metastore.views.jobs import Job, list_jobs
from tailrace.metastore.views.loaded import LoadedDag, loaded_dags
from tailrace.metastore.views.persons import creation_and_last, of_backfills, of_dags
from tailrace.metastore.views.recorded import recorded
from tailrace.metastore.views.recorded_xcoms import RecordedXCom, recorded_xcoms
from tailrace.metastore.views.run_names import RunName, newest_runs
from tailrace.metastore.views.runs import ALL_RUNS, Run, RunFilter, run_lines
from tailrace.metastore.views.summaries import (
    BackfillSummary,
    summarize,
    task_instance_counts,
    wanted_by,
)
from tailrace.metastore.views.task_instances import (
    TaskInstanceFilter,
    TaskInstanceLine,
    TaskInstanceOfRun,
    list_task_instances,
    task_instances_of,
)
from tailrace.metastore.views.task_names import TaskNames, task_names
from tailrace.metastore.views.versions import DagVersion, VersionOfRun, dag_versions, version_of_run
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.recorded import RecordsQuery, RecordsReply
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.explain_facts import CallbackFacts, PersonsCommand
from tailrace.planning.failed_tasks import FailedTasks

R = TypeVar("R")

_MOST_RUNNING_SHOWN = 5


class BackfillProgress(Struct, frozen=True):
    """Counts of one backfill at one moment; ``running`` names a few running task instances."""

    runs: Mapping[DagRunState, int]
    task_instances: Mapping[TaskInstanceState, int]
    running: tuple[str, ...]


class Backfill(Struct, frozen=True):
    """One backfill, as it is shown: fields are the JSON's. ``runs`` counts its wanted runs by state.

    ``state`` is paused while it is paused and unfinished, and interrupted where it was begun, or was not left to
    schedulers, and no job that is believed alive drives it; ``driven_by`` are those that do.
    """

    backfill_id: int
    dag_id: str
    state: str
    start: datetime
    end: datetime
    reprocess: str
    runs: Mapping[str, int]
    failed_tasks: Mapping[str, int]
    upstream_failed_tasks: Mapping[str, int]
    created: datetime
    started: datetime | None
    ended: datetime | None
    command: str
    reason: str
    failed_inside: FailedTasks  # in its runs that succeeded
    detached: bool = False  # left to schedulers
    driven_by: tuple[int, ...] = ()
    created_by: PersonsCommand | None = None
    last_command: PersonsCommand | None = None
    part: tuple[str, ...] | None = None  # the tasks that it does; None: all


class RunFound(Struct, frozen=True):
    """A run that was looked for by name or date: its row and its id."""

    id: int
    run_id: str


class DagStats(Struct, frozen=True):
    """What the metastore holds of one DAG, counted by state."""

    dag_id: str
    paused: bool
    runs: Mapping[str, int]
    task_instances: Mapping[str, int]
    last_pause: PersonsCommand | None = None  # or end of a pause, by a person
    paused_reason: str | None = None  # where a job has paused it


class Views:
    """The reading part of the metastore's face. ``read`` does some work over one snapshot."""

    def read(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work`` in one read transaction; the metastore itself defines it."""
        raise TypeError(f"{type(self).__name__} does not read anything")

    def backfill_progress(self, backfill_id: int) -> BackfillProgress:
        """The counts of one backfill, for a display."""

        def work(tx: Transaction) -> BackfillProgress:
            runs = {DagRunState(state): count for state, count in run_counts(tx, [backfill_id])[backfill_id].items()}
            counted = {
                TaskInstanceState(state): count for state, count in task_instance_counts(tx, backfill_id).items()
            }
            return BackfillProgress(runs, counted, _some_running(tx, backfill_id))

        return self.read(work)

    def list_backfills(self, dag_id: str | None = None, limit: int = 50) -> tuple[Backfill, ...]:
        """Backfills, newest first."""
        wanted = select(backfill).order_by(backfill.c.id.desc()).limit(limit)
        if dag_id is not None:
            wanted = wanted.where(backfill.c.dag_id == dag_id)
        return self.read(lambda tx: _backfill_lines(tx, wanted))

    def show_backfill(self, backfill_id: int | None) -> Backfill | None:
        """One backfill, the newest by default; None when there is none."""
        wanted = select(backfill).order_by(backfill.c.id.desc()).limit(1)
        if backfill_id is not None:
            wanted = wanted.where(backfill.c.id == backfill_id)

        return self.read(lambda tx: next(iter(_backfill_lines(tx, wanted)), None))

    def backfill_summary(self, backfill_id: int) -> BackfillSummary:
        """How a backfill stands. Raises KeyError for one that does not exist."""
        return self.read(lambda tx: summarize(tx, backfill_id))

    def runs_of_backfill(self, backfill_id: int, limit: int = 1000) -> tuple[Run, ...]:
        """The runs a backfill wants, in its order."""
        wanted = (
            select(dag_run)
            .join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
            .where(backfill_run.c.backfill_id == backfill_id)
            .order_by(backfill_run.c.ordinal)
            .limit(limit)
        )
        return self.read(lambda tx: run_lines(tx, wanted))

    def list_runs(self, asked: RunFilter = ALL_RUNS, limit: int = 100) -> tuple[Run, ...]:
        """The runs that are asked for, newest logical date first."""
        wanted = select(dag_run).where(*asked.conditions())
        newest = wanted.order_by(dag_run.c.logical_date.desc(), dag_run.c.id.desc()).limit(limit)
        return self.read(lambda tx: run_lines(tx, newest))

    def grid(self, dag: DagSpec, asked: RunFilter, limit: int, only: Collection[str] = ()) -> Grid:
        """The tasks of a DAG, or only these of them, over the newest of its runs that are asked for."""
        return self.read(lambda tx: grid(tx, dag, asked, limit, only))

    def show_run(self, run: int) -> Run:
        """One run (its row). Raises KeyError for one that does not exist."""
        found = self.read(lambda tx: run_lines(tx, select(dag_run).where(dag_run.c.id == run)))
        if not found:
            raise KeyError(run)
        return found[0]

    def version_of_run(self, run: int) -> VersionOfRun | None:
        """Which version of its DAG a run (its row) was last begun with; None for one that has not begun yet."""
        return self.read(lambda tx: version_of_run(tx, run))

    def dag_versions(self, dag_id: str) -> tuple[DagVersion, ...]:
        """Every structure that the DAG has had, the first of them first."""
        return self.read(lambda tx: dag_versions(tx, dag_id))

    def callbacks_of(self, dag_id: str, run_id: str) -> tuple[CallbackFacts, ...]:
        """How the callbacks of a run's events stand."""
        return self.read(lambda tx: callbacks_of(tx, dag_id, run_id))

    def newest_runs(self, dag_id: str, limit: int) -> tuple[RunName, ...]:
        """How the newest runs of the DAG are named."""
        return self.read(lambda tx: newest_runs(tx, dag_id, limit))

    def find_runs(self, dag_id: str, run_id: str) -> tuple[RunFound, ...]:
        """The run of this id, if there is one."""
        return self._find_runs(dag_id, dag_run.c.run_id == run_id, 1)

    def runs_between(self, dag_id: str, first: datetime, last: datetime, limit: int) -> tuple[RunFound, ...]:
        """The runs whose logical date is between these, both inclusive, oldest first."""
        return self._find_runs(dag_id, dag_run.c.logical_date.between(first, last), limit)

    def _find_runs(self, dag_id: str, meant: ColumnElement[bool], limit: int) -> tuple[RunFound, ...]:
        wanted = select(dag_run.c.id, dag_run.c.run_id).where(dag_run.c.dag_id == dag_id, meant)
        rows = self.read(lambda tx: tx.rows(wanted.order_by(dag_run.c.logical_date).limit(limit)))
        return tuple(RunFound(row.id, row.run_id) for row in rows)

    def task_instances_of(self, run: int) -> tuple[TaskInstanceLine, ...]:
        """The task instances of a run (its row), in topological order."""
        return self.read(lambda tx: task_instances_of(tx, run))

    def list_task_instances(self, wanted: TaskInstanceFilter, limit: int) -> tuple[TaskInstanceOfRun, ...]:
        """The task instances that are wanted, newest logical date first."""
        return self.read(lambda tx: list_task_instances(tx, wanted, limit))

    def task_names(self, dag_id: str | None) -> TaskNames:
        """The tasks and groups that the DAG, or any DAG, has ever had."""
        return self.read(lambda tx: task_names(tx, dag_id))

    def recorded_xcoms(self, run: int) -> tuple[RecordedXCom, ...]:
        """The XComs of a run (its row)."""
        return self.read(lambda tx: recorded_xcoms(tx, run))

    def recorded(self, query: RecordsQuery) -> RecordsReply:
        """The runs or task instances that a task asks about, or how many there are; or why that is not said."""
        return self.read(lambda tx: recorded(tx, query))

    def list_jobs(self, limit: int) -> tuple[Job, ...]:
        """Jobs, newest first."""
        return self.read(lambda tx: list_jobs(tx, limit))

    def dag_stats(self, dag_id: str | None = None) -> tuple[DagStats, ...]:
        """Per DAG, runs and task instances by state (the thread's per-DAG statistics)."""

        def work(tx: Transaction) -> tuple[DagStats, ...]:
            runs = _by_dag(tx, select(dag_run.c.dag_id, dag_run.c.state, func.count()).group_by("dag_id", "state"))
            counted = select(task_instance.c.dag_id, task_instance.c.state, func.count()).group_by("dag_id", "state")
            task_instances = _by_dag(tx, counted)
            known = tx.rows(select(dag.c.dag_id, dag.c.paused, dag.c.paused_reason).order_by(dag.c.dag_id))
            pauses = of_dags(tx, [name for name, *_ in known])
            return tuple(
                DagStats(name, paused, runs.get(name, {}), task_instances.get(name, {}), pauses.get(name), reason)
                for name, paused, reason in known
                if dag_id is None or name == dag_id
            )

        return self.read(work)

    def stored_dag(self, dag_id: str) -> DagSpec | None:
        """The DAG's newest structure that any job has used; None for a DAG no job has ever run."""
        wanted = (
            select(dag_version.c.spec).join(dag, dag.c.dag_version_id == dag_version.c.id).where(dag.c.dag_id == dag_id)
        )

        def work(tx: Transaction) -> DagSpec | None:
            spec = tx.value(wanted)
            return None if spec is None else spec_from(spec)

        return self.read(work)

    def known_dags(self) -> tuple[str, ...]:
        """The ids of the DAGs that any job has run, or a person has paused."""
        return self.read(lambda tx: tuple(tx.column(select(dag.c.dag_id).order_by(dag.c.dag_id))))

    def loaded_dags(self) -> tuple[LoadedDag, ...]:
        """Every DAG as it was loaded last."""
        return self.read(loaded_dags)


def _by_dag(tx: Transaction, counted: Select[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, state, count in tx.rows(counted):
        found.setdefault(name, {})[state] = count
    return found


def _some_running(tx: Transaction, backfill_id: int) -> tuple[str, ...]:
    wanted = (
        select(task_instance.c.task_id, dag_run.c.logical_date)
        .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
        .join(backfill_run, wanted_by(tx, backfill_id))
        .where(task_instance.c.state == TaskInstanceState.RUNNING.value)
        .order_by(task_instance.c.started_at)
        .limit(_MOST_RUNNING_SHOWN)
    )
    return tuple(f"{task_id} @ {date.isoformat()}" for task_id, date in tx.rows(wanted))


def _backfill_lines(tx: Transaction, wanted: Select[Any]) -> tuple[Backfill, ...]:
    rows = tx.rows(wanted)
    ids = [row.id for row in rows]
    runs, failures, jobs = run_counts(tx, ids), failures_of_backfills(tx, ids), live_jobs(tx)
    commands = of_backfills(tx, [row.dag_id for row in rows])
    return tuple(
        _backfill(row, runs[row.id], failures.get(row.id, Failures()), jobs, commands.get(row.id, ())) for row in rows
    )


def _backfill(
    row: Any, runs: Mapping[str, int], failures: Failures, jobs: LiveJobs, commands: Sequence[PersonsCommand]
) -> Backfill:
    open_ = row.state in UNFINISHED_BACKFILL
    driven_by = jobs.driving(row.id, detached=row.detached) if open_ else ()
    state = row.state
    if open_ and row.paused:
        state = "paused"
    elif jobs.interrupted(row):
        state = "interrupted"
    created_by, last_command = creation_and_last(row, commands)
    return Backfill(
        backfill_id=row.id,
        dag_id=row.dag_id,
        state=state,
        start=row.range_start,
        end=row.range_end,
        reprocess=row.reprocess,
        runs=runs,
        failed_tasks=failures.everywhere.failed,
        upstream_failed_tasks=failures.everywhere.upstream_failed,
        created=row.created_at,
        started=row.started_at,
        ended=row.ended_at,
        command=row.command,
        reason=row.reason,
        failed_inside=failures.inside,
        detached=row.detached,
        driven_by=driven_by,
        created_by=created_by,
        last_command=last_command,
        part=None if row.part is None else backfill_part_from(row.part).tasks,
    )
