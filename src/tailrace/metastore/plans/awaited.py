"""Reads what rescheduled tries wait for in runs of any DAG: how all of that stands, in the snapshot's own transaction.

Only a run with such a try is asked about; what several of them wait for is read once.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, func, select

from tailrace.metastore.db.tables import dag_run, dag_version, history, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.rescheduled import rescheduled_in
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.awaited import Awaited, Seen
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.snapshot import Awaiting, RunSnapshot

_WAITING = select(task_instance.c.id, task_instance.c.try_number, task_instance.c.rescheduled).where(
    task_instance.c.id.in_(bindparam("ids", expanding=True))
)
_RUNS = select(dag_run.c.id, dag_run.c.run_id, dag_run.c.logical_date, dag_run.c.state).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True))
)
_TASK_INSTANCES = (
    select(task_instance.c.dag_run_id, task_instance.c.task_id, task_instance.c.map_index, task_instance.c.state)
    .where(
        task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)),
        task_instance.c.task_id.in_(bindparam("tasks", expanding=True)),
        task_instance.c.state != TaskInstanceState.REMOVED,
    )
    .order_by(task_instance.c.dag_run_id, task_instance.c.id)
)
_STRUCTURES = select(dag_version.c.id, dag_version.c.spec_hash).where(dag_version.c.dag_id == bindparam("dag_id"))
_STRUCTURE = select(dag_version.c.spec).where(dag_version.c.id == bindparam("id"))
_NEWEST = select(func.max(history.c.id))
_CHANGED = (
    select(history.c.id)
    .where(
        history.c.id > bindparam("since"),
        history.c.dag_id.in_(bindparam("dags", expanding=True)),
        history.c.kind.in_(("task_instance", "dag_run")),
    )
    .limit(1)
)

_AWAITS = Cause.AWAITS

#: The tasks of each group of a structure, by its hash: it never changes, and is large.
_groups: dict[str, Mapping[str, Set[str]]] = {}
_MOST_KEPT = 256


def newest_change(tx: Transaction) -> int:
    """The newest row of history: what is read now may be older than what is written after it, and nothing else."""
    return int(tx.value(_NEWEST) or 0)


def has_changed(tx: Transaction, dags: Iterable[str], since: int) -> bool:
    """Whether a task instance or a run of these DAGs has had a step since then. A hint: one that is written at the same
    time as a newer one may be missed.
    """
    return tx.row(_CHANGED, {"dags": sorted(dags), "since": since}) is not None


def awaiting_of(tx: Transaction, runs: Iterable[RunSnapshot]) -> Mapping[int, Awaiting]:
    """What each task instance (its row) of these runs waits for that has named it, and how that stands."""
    return awaiting_rows(
        tx, [ti.id for run in runs for ti in run.task_instances if ti.cause is _AWAITS and ti.is_awaiting]
    )


def awaiting_rows(tx: Transaction, rows: Sequence[int]) -> Mapping[int, Awaiting]:
    """The same of these rows."""
    if not rows:
        return {}
    waiting: dict[int, Awaited] = {}
    for batch in in_batches(rows):
        for id, try_number, text in tx.rows(_WAITING, {"ids": batch}):
            awaited = _stored(text, try_number)
            if awaited is not None:
                waiting[id] = awaited
    found = {each: Awaiting(each, seen) for each, seen in _seen(tx, set(waiting.values())).items()}
    return {id: found[awaited] for id, awaited in waiting.items()}


@lru_cache(4096)
def _stored(text: str | None, try_number: int) -> Awaited | None:
    found = rescheduled_in(text, try_number)
    return None if found is None else found.awaits


def _seen(tx: Transaction, several: Set[Awaited]) -> Mapping[Awaited, tuple[Seen, ...]]:
    """How all that is waited for stands: the runs of each DAG in one reading, and the tasks of those."""
    found: dict[Awaited, tuple[Seen, ...]] = {}
    for dag_id in sorted({each.dag_id for each in several}):
        of_dag = [each for each in several if each.dag_id == dag_id]
        runs = _runs(tx, dag_id, {date for each in of_dag for date in each.logical_dates})
        tasks = {each: _tasks(tx, each) for each in of_dag if not each.is_of_runs}
        of_runs = {runs[date].id for each in tasks for date in each.logical_dates if date in runs}
        tis = _task_instances(tx, of_runs, {task_id for named in tasks.values() for task_id in named})
        for each in of_dag:
            there = [runs[date] for date in each.logical_dates if date in runs]
            if each.is_of_runs:
                found[each] = tuple(Seen(row.logical_date, row.state, run_id=row.run_id) for row in there)
                continue
            found[each] = tuple(
                Seen(row.logical_date, ti.state, ti.task_id, ti.map_index, row.run_id)
                for row in there
                for task_id in tasks[each]
                for ti in tis.get((row.id, task_id), ())
            )
    return found


def _runs(tx: Transaction, dag_id: str, dates: Set[datetime]) -> Mapping[datetime, Any]:
    rows = (row for batch in in_batches(sorted(dates)) for row in tx.rows(_RUNS, {"dag_id": dag_id, "dates": batch}))
    return {row.logical_date: row for row in rows}


def _task_instances(tx: Transaction, runs: Set[int], tasks: Set[str]) -> Mapping[tuple[int, str], list[Any]]:
    found: dict[tuple[int, str], list[Any]] = {}
    for some in in_batches(sorted(tasks)):
        for batch in in_batches(sorted(runs)):
            for row in tx.rows(_TASK_INSTANCES, {"runs": batch, "tasks": some}):
                found.setdefault((row.dag_run_id, row.task_id), []).append(row)
    return found


def _tasks(tx: Transaction, awaited: Awaited) -> tuple[str, ...]:
    """The tasks by name; of a group those which it has in any structure."""
    if awaited.task_group_id is None:
        return awaited.task_ids
    inside: set[str] = set()
    for id, digest in tx.rows(_STRUCTURES, {"dag_id": awaited.dag_id}):
        if digest not in _groups:
            if len(_groups) >= _MOST_KEPT:
                _groups.clear()
            _groups[digest] = {
                group: set(tasks) for group, tasks in spec_from(tx.value(_STRUCTURE, {"id": id})).members.items()
            }
        inside |= _groups[digest].get(awaited.task_group_id, set())
    return tuple(sorted(inside))
