"""Reads what a person's command is about: the runs it names, who wants and drives them, what is deadlocked."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, select

from tailrace.metastore.commands.standing import STANDING_RUNS, stand, with_task_instances
from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import (
    backfill,
    backfill_run,
    dag,
    dag_run,
    dag_version,
)
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.lookback import read_previous
from tailrace.metastore.tries.job_rows import live_jobs
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, BackfillState, DagRunState
from tailrace.planning.commands import (
    CommandFacts,
    CommandScope,
    DeadlockedRun,
    KnownBackfill,
)
from tailrace.planning.plan import Dependency

_PAST, POOL = Dependency.PREVIOUS_RUN, Dependency.POOL_SLOTS
_OPEN = [state.value for state in DagRunState if state not in CLOSED]

_DAG = (
    select(dag.c.paused, dag.c.dag_version_id, dag_version.c.spec)
    .select_from(dag.outerjoin(dag_version, dag_version.c.id == dag.c.dag_version_id))
    .where(dag.c.dag_id == bindparam("dag_id"))
)
_RUNS = STANDING_RUNS.add_columns(dag_run.c.blocked)
_OF_DAG = _RUNS.where(dag_run.c.dag_id == bindparam("dag_id"))
_BY_NAME = _OF_DAG.where(dag_run.c.run_id.in_(bindparam("names", expanding=True)))
_BY_DATE = _OF_DAG.where(dag_run.c.logical_date.in_(bindparam("dates", expanding=True)))
_DEADLOCKED = _OF_DAG.where(dag_run.c.state == DagRunState.DEADLOCKED).order_by(dag_run.c.logical_date)
_WANTED_OPEN = (
    _RUNS.join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"), backfill_run.c.run_state.in_(_OPEN))
    .order_by(backfill_run.c.ordinal)
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


def read_command_facts(tx: Transaction, scope: CommandScope) -> CommandFacts:
    """What the command's scope holds, of one moment."""
    now = tx.moment
    named = _backfills(tx, [scope.backfill_id] if scope.backfill_id is not None else [])
    own = named.get(scope.backfill_id) if scope.backfill_id is not None else None
    dag_id = scope.dag_id if own is None else own.dag_id
    row = tx.row(_DAG, {"dag_id": dag_id})
    spec = None if row is None or row.spec is None else spec_from(row.spec)
    rows, not_found = _scope_rows(tx, scope, dag_id)
    deadlocked = [] if scope.backfill_id is not None else tx.rows(_DEADLOCKED, {"dag_id": dag_id})
    runs = with_task_instances(tx, stand(tx, rows))
    found = tuple(_deadlocked(tx, spec, deadlocked))
    wanting = {id for run in (*runs, *(each.run for each in found)) for id in run.wanted_by}
    return CommandFacts(
        now=now.wall,
        dag_id=dag_id,
        dag=spec,
        structure=0 if row is None else row.dag_version_id,
        dag_paused=row is not None and bool(row.paused),
        runs=runs,
        not_found=not_found,
        deadlocked=found,
        backfills=_backfills(tx, sorted(wanting)),
        backfill=own,
    )


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


def _backfills(tx: Transaction, ids: Sequence[int]) -> dict[int, KnownBackfill]:
    if not ids:
        return {}
    jobs = live_jobs(tx)
    return {
        row.id: KnownBackfill(
            id=row.id,
            dag_id=row.dag_id,
            state=BackfillState(row.state),
            version=row.version,
            paused=row.paused,
            detached=row.detached,
            driven=bool(jobs.driving(row.id, detached=row.detached)),
            command=row.command,
        )
        for batch in in_batches(ids)
        for row in tx.rows(_BACKFILLS, {"ids": batch})
    }


def _deadlocked(tx: Transaction, dag: DagSpec | None, rows: Sequence[Any]) -> Iterator[DeadlockedRun]:
    """The deadlocked runs, with the tasks that their verdicts name, and what those look at now."""
    looks_at = {} if dag is None else read_previous(tx, dag, [row.id for row in rows]).looks_at
    for row, run in zip(rows, stand(tx, rows), strict=True):
        named: dict[str, set[str]] = {}
        for each in from_json(row.blocked) if row.blocked is not None else ():
            found = named.setdefault(each["task_instance"]["task_id"], set())
            found.update(status["dependency"] for status in each["reasons"])
        previous = looks_at.get(row.id, {})
        waiting = {task_id: previous[task_id] for task_id, by in named.items() if _PAST in by and task_id in previous}
        by_pool = tuple(task_id for task_id, by in named.items() if POOL in by)
        yield DeadlockedRun(run, tuple(named), waiting, by_pool)
