"""Reads what a person's command is about: the runs it names, who wants and drives them, what is deadlocked."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, select

from tailrace.metastore.db.clock import Moment
from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import (
    UNFINISHED_BACKFILL,
    backfill,
    backfill_run,
    dag,
    dag_run,
    dag_version,
    job,
    task_instance,
)
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.lookback import read_previous
from tailrace.metastore.plans.rows import RUN_STATES, STATES, job_alive
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, BackfillState, DagRunState, JobState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import (
    CommandFacts,
    CommandScope,
    DeadlockedRun,
    KnownBackfill,
    KnownRun,
    KnownTaskInstance,
)
from tailrace.planning.plan import Dependency

#: What a scheduler's row in ``job`` is called.
SCHEDULER = "scheduler"

_PAST, POOL = Dependency.PREVIOUS_RUN, Dependency.POOL_SLOTS
_OPEN = [state.value for state in DagRunState if state not in CLOSED]

_DAG = (
    select(dag.c.paused, dag.c.dag_version_id, dag_version.c.spec)
    .select_from(dag.outerjoin(dag_version, dag_version.c.id == dag.c.dag_version_id))
    .where(dag.c.dag_id == bindparam("dag_id"))
)
_RUN_COLUMNS = (
    dag_run.c.id,
    dag_run.c.run_id,
    dag_run.c.logical_date,
    dag_run.c.run_type,
    dag_run.c.state,
    dag_run.c.version,
    dag_run.c.live,
    dag_run.c.conf,
    dag_run.c.pool,
    dag_run.c.disable_retry,
    dag_run.c.mark_success,
    dag_run.c.blocked,
    job.c.state.label("owner_state"),
    job.c.lease_until,
    job.c.lease_epoch,
    job.c.lease_seconds,
)
_RUNS = select(*_RUN_COLUMNS).select_from(dag_run.outerjoin(job, job.c.id == dag_run.c.owner_job_id))
_OF_DAG = _RUNS.where(dag_run.c.dag_id == bindparam("dag_id"))
_BY_NAME = _OF_DAG.where(dag_run.c.run_id.in_(bindparam("names", expanding=True)))
_BY_DATE = _OF_DAG.where(dag_run.c.logical_date.in_(bindparam("dates", expanding=True)))
_DEADLOCKED = _OF_DAG.where(dag_run.c.state == DagRunState.DEADLOCKED).order_by(dag_run.c.logical_date)
_WANTED_OPEN = (
    _RUNS.join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"), backfill_run.c.run_state.in_(_OPEN))
    .order_by(backfill_run.c.ordinal)
)
_TASK_INSTANCES = (
    select(
        task_instance.c.dag_run_id,
        task_instance.c.id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.state,
        task_instance.c.try_number,
        task_instance.c.max_tries,
        task_instance.c.cause,
        task_instance.c.stopping_to,
    )
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(task_instance.c.dag_run_id, task_instance.c.id)
)
_WANTING = (
    select(backfill_run.c.dag_run_id, backfill.c.id, backfill.c.state)
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .where(backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(backfill_run.c.dag_run_id, backfill.c.id)
)
_BACKFILLS = select(
    backfill.c.id,
    backfill.c.dag_id,
    backfill.c.state,
    backfill.c.version,
    backfill.c.paused,
    backfill.c.detached,
    backfill.c.command,
).where(backfill.c.id.in_(bindparam("ids", expanding=True)))
_JOBS = select(
    job.c.kind, job.c.backfill_id, job.c.state, job.c.lease_until, job.c.lease_epoch, job.c.lease_seconds
).where(job.c.state == JobState.RUNNING)


def read_command_facts(tx: Transaction, scope: CommandScope) -> CommandFacts:
    """What the command's scope holds, of one moment."""
    now = tx.moment
    named = _backfills(tx, [scope.backfill_id] if scope.backfill_id is not None else [], now)
    own = named.get(scope.backfill_id) if scope.backfill_id is not None else None
    dag_id = scope.dag_id if own is None else own.dag_id
    row = tx.row(_DAG, {"dag_id": dag_id})
    spec = None if row is None or row.spec is None else spec_from(row.spec)
    rows, not_found = _scope_rows(tx, scope, dag_id)
    deadlocked = [] if scope.backfill_id is not None else tx.rows(_DEADLOCKED, {"dag_id": dag_id})
    wanted_by, judged_by = _wanting(tx, {each.id for each in (*rows, *deadlocked)})
    instances = _task_instances(tx, [each.id for each in rows])

    def known(each: Any, task_instances: tuple[KnownTaskInstance, ...] = ()) -> KnownRun:
        return _run(each, wanted_by.get(each.id, ()), judged_by.get(each.id), task_instances, now)

    return CommandFacts(
        now=now.wall,
        dag_id=dag_id,
        dag=spec,
        structure=0 if row is None else row.dag_version_id,
        dag_paused=row is not None and bool(row.paused),
        runs=tuple(known(each, instances.get(each.id, ())) for each in rows),
        not_found=not_found,
        deadlocked=tuple(_deadlocked(tx, spec, deadlocked, known)),
        backfills=_backfills(tx, sorted({id for ids in wanted_by.values() for id in ids}), now),
        backfill=own,
    )


def unfinished_wanting(tx: Transaction, runs: Iterable[int]) -> dict[int, tuple[int, ...]]:
    """The unfinished backfills that want each of these runs; none: left out."""
    return _wanting(tx, runs)[0]


def deadlocked_versions(tx: Transaction, dag_id: str) -> dict[int, int]:
    """The version of every deadlocked run of the DAG, by row."""
    return {row.id: row.version for row in tx.rows(_DEADLOCKED, {"dag_id": dag_id})}


def _scope_rows(tx: Transaction, scope: CommandScope, dag_id: str) -> tuple[Sequence[Any], tuple[str | datetime, ...]]:
    """The runs that the scope means, in the order of their logical dates, and those it names that are not there."""
    if scope.backfill_id is not None:
        return tx.rows(_WANTED_OPEN, {"backfill_id": scope.backfill_id}), ()
    found: dict[int, Any] = {}
    names = [run for run in scope.runs if isinstance(run, str)]
    dates = [run for run in scope.runs if isinstance(run, datetime)]
    for batch in in_batches(names):
        found.update((row.id, row) for row in tx.rows(_BY_NAME, {"dag_id": dag_id, "names": batch}))
    for moments in in_batches(dates):
        found.update((row.id, row) for row in tx.rows(_BY_DATE, {"dag_id": dag_id, "dates": moments}))
    there = {row.run_id for row in found.values()} | {row.logical_date for row in found.values()}
    not_found = tuple(run for run in scope.runs if run not in there)
    if scope.first is not None or scope.last is not None:
        found.update((row.id, row) for row in tx.rows(_in_range(scope), {"dag_id": dag_id}))
    return sorted(found.values(), key=lambda row: (row.logical_date, row.id)), not_found


def _in_range(scope: CommandScope) -> Select[Any]:
    bounds = []
    if scope.first is not None:
        bounds.append(dag_run.c.logical_date >= scope.first)
    if scope.last is not None:
        bounds.append(dag_run.c.logical_date <= scope.last)
    return _OF_DAG.where(and_(*bounds))


def _run(
    row: Any, wanted_by: tuple[int, ...], judged_by: int | None, instances: tuple[KnownTaskInstance, ...], now: Moment
) -> KnownRun:
    return KnownRun(
        id=row.id,
        run_id=row.run_id,
        logical_date=row.logical_date,
        run_type=RunType(row.run_type),
        state=RUN_STATES[row.state],
        version=row.version,
        owner_alive=job_alive(row.owner_state, row.lease_until, row.lease_epoch, row.lease_seconds, now),
        live=bool(row.live),
        conf=row.conf,
        pool=row.pool,
        disable_retry=bool(row.disable_retry),
        mark_success=bool(row.mark_success),
        wanted_by=wanted_by,
        judged_by=judged_by,
        task_instances=instances,
    )


def _task_instances(tx: Transaction, runs: Sequence[int]) -> dict[int, tuple[KnownTaskInstance, ...]]:
    found: dict[int, list[KnownTaskInstance]] = {}
    for batch in in_batches(runs):
        for run, id, task_id, index, state, number, most, cause, stopping_to in tx.rows(
            _TASK_INSTANCES, {"runs": batch}
        ):
            ends = None if stopping_to is None else STATES[stopping_to]
            known = KnownTaskInstance(id, task_id, index, STATES[state], number, most, Cause(cause), ends)
            found.setdefault(run, []).append(known)
    return {run: tuple(known) for run, known in found.items()}


def _wanting(tx: Transaction, runs: Iterable[int]) -> tuple[dict[int, tuple[int, ...]], dict[int, int]]:
    """By run: the unfinished backfills that want it, and the newest of the judged ones."""
    wanted_by: dict[int, tuple[int, ...]] = {}
    judged_by: dict[int, int] = {}
    for batch in in_batches(sorted(runs)):
        for run, id, state in tx.rows(_WANTING, {"runs": batch}):
            if state in UNFINISHED_BACKFILL:
                wanted_by[run] = (*wanted_by.get(run, ()), id)
            else:
                judged_by[run] = id
    return wanted_by, judged_by


def _backfills(tx: Transaction, ids: Sequence[int], now: Moment) -> dict[int, KnownBackfill]:
    if not ids:
        return {}
    driven: set[int] = set()
    scheduler = False
    for kind, backfill_id, state, *lease in tx.rows(_JOBS):
        if not job_alive(state, lease[0], lease[1], lease[2], now):
            continue
        scheduler = scheduler or kind == SCHEDULER
        if backfill_id is not None:
            driven.add(backfill_id)
    return {
        row.id: KnownBackfill(
            id=row.id,
            dag_id=row.dag_id,
            state=BackfillState(row.state),
            version=row.version,
            paused=row.paused,
            detached=row.detached,
            driven=row.id in driven or (row.detached and scheduler),
            command=row.command,
        )
        for batch in in_batches(ids)
        for row in tx.rows(_BACKFILLS, {"ids": batch})
    }


def _deadlocked(
    tx: Transaction, dag: DagSpec | None, rows: Sequence[Any], known: Callable[[Any], KnownRun]
) -> Iterator[DeadlockedRun]:
    """The deadlocked runs, with the tasks that their verdicts name, and what those look at now."""
    looks_at = {} if dag is None else read_previous(tx, dag, [row.id for row in rows]).looks_at
    for row in rows:
        named: dict[str, set[str]] = {}
        for each in from_json(row.blocked) if row.blocked is not None else ():
            found = named.setdefault(each["task_instance"]["task_id"], set())
            found.update(status["dependency"] for status in each["reasons"])
        previous = looks_at.get(row.id, {})
        waiting = {task_id: previous[task_id] for task_id, by in named.items() if _PAST in by and task_id in previous}
        by_pool = tuple(task_id for task_id, by in named.items() if POOL in by)
        yield DeadlockedRun(known(row), tuple(named), waiting, by_pool)
