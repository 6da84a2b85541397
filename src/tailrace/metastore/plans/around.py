"""Reads the runs that waits lead to from this job's, over any DAGs, where they may lead back: in the same transaction.

Asked for only where nothing of a run goes on but waits. First the waits alone are followed, from run to run; all of a
run is read where they lead in a circle, or to a run that is deadlocked. What somebody may drive by another structure
than is stored is left out, as is what nobody drives: no proof can lean on it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.tables import dag_run, dag_version, loaded_dag, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.awaited import awaiting_rows
from tailrace.metastore.plans.rows import (
    TASK_INSTANCE_COLUMNS,
    run_snapshot,
    runs_with_owner,
    task_instance_snapshot,
)
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.spec import DagSpec
from tailrace.model.states import OCCUPYING, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.snapshot import AwaitedRun, Awaiting, RunSnapshot

#: A proof over more runs than this is not looked for: their timeouts end the waits.
_MOST_RUNS = 500

_GOES_ON = OCCUPYING | {TaskInstanceState.UP_FOR_RETRY, TaskInstanceState.UP_FOR_RESCHEDULE}

_RUNS = select(dag_run.c.id, dag_run.c.dag_id, dag_run.c.logical_date, dag_run.c.state).where(
    dag_run.c.dag_id == bindparam("dag_id"),
    dag_run.c.logical_date.in_(bindparam("dates", expanding=True)),
    dag_run.c.state.in_((DagRunState.RUNNING, DagRunState.DEADLOCKED)),
)
_WAITING = select(task_instance.c.id, task_instance.c.dag_run_id).where(
    task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)),
    task_instance.c.state == TaskInstanceState.UP_FOR_RESCHEDULE,
    task_instance.c.cause == Cause.AWAITS,
)
_WHOLE = (
    runs_with_owner()
    .add_columns(dag_run.c.dag_id, dag_version.c.spec)
    .join(dag_version, dag_version.c.id == dag_run.c.dag_version_id)
    .join(dag_table, dag_table.c.dag_id == dag_run.c.dag_id)
    .outerjoin(loaded_dag, loaded_dag.c.dag_id == dag_run.c.dag_id)
    .where(
        dag_run.c.id.in_(bindparam("runs", expanding=True)),
        dag_table.c.dag_version_id == dag_run.c.dag_version_id,
        (loaded_dag.c.dag_version_id == dag_run.c.dag_version_id) | loaded_dag.c.dag_version_id.is_(None),
    )
)
_TASK_INSTANCES = select(*TASK_INSTANCE_COLUMNS).where(
    task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True))
)

Place = tuple[str, datetime]

_spec = lru_cache(64)(spec_from)


class _Node(NamedTuple):
    """A run that waits lead to: its row (None: one of this job's), and where its own waits lead."""

    row: int | None
    leads_to: frozenset[Place]
    is_deadlocked: bool = False


def read_around(
    tx: Transaction, dag: DagSpec, runs: Iterable[RunSnapshot], awaiting: Mapping[int, Awaiting], now: TransactionTime
) -> tuple[tuple[AwaitedRun, ...], Mapping[int, Awaiting]]:
    """The runs around these, and what tries of those wait for; nothing where no wait can lead back."""
    if not awaiting:
        return (), {}
    own = {(dag.dag_id, run.logical_date): run for run in runs}
    nodes = {place: _Node(None, _leads_to(run, awaiting)) for place, run in own.items()}
    quiet = {place for place, run in own.items() if nodes[place].leads_to and _is_quiet(run, awaiting)}
    if not quiet:
        return (), {}
    theirs: dict[int, Awaiting] = {}
    front = {place for node in nodes.values() for place in node.leads_to} - nodes.keys()
    while front and len(nodes) <= _MOST_RUNS:
        found = _follow(tx, front, theirs)
        nodes |= found
        front = {place for node in found.values() for place in node.leads_to} - nodes.keys() - front
    kept = _leading_back(nodes)
    if not kept & quiet:
        return (), {}
    rows = sorted(node.row for place in kept if (node := nodes[place]).row is not None)
    return tuple(_whole(tx, rows, now)), theirs


def _leads_to(run: RunSnapshot, awaiting: Mapping[int, Awaiting]) -> frozenset[Place]:
    return frozenset(place for ti in run.task_instances if ti.id in awaiting for place in _places(awaiting[ti.id]))


def _places(awaiting: Awaiting) -> Iterator[Place]:
    """Where a wait leads; one that more than this may end leads nowhere."""
    awaited = awaiting.awaited
    if not awaited.goes_on:
        yield from ((awaited.dag_id, date) for date in awaited.logical_dates)


def _is_quiet(run: RunSnapshot, awaiting: Mapping[int, Awaiting]) -> bool:
    """Whether nothing of the run goes on by itself: only then it may be judged."""
    return all(ti.state not in _GOES_ON or ti.id in awaiting for ti in run.task_instances)


def _follow(tx: Transaction, places: Set[Place], theirs: dict[int, Awaiting]) -> dict[Place, _Node]:
    """The runs of these places that are running or deadlocked, and where the waits of those lead."""
    rows: list[Any] = []
    for dag_id in sorted({dag_id for dag_id, _ in places}):
        dates = sorted(date for of_dag, date in places if of_dag == dag_id)
        for batch in in_batches(dates):
            rows += tx.rows(_RUNS, {"dag_id": dag_id, "dates": batch})
    waiting: dict[int, set[Place]] = {}
    of_run: dict[int, int] = {}
    for batch in in_batches(sorted(row.id for row in rows if row.state == DagRunState.RUNNING)):
        of_run.update(map(tuple, tx.rows(_WAITING, {"runs": batch})))
    found = awaiting_rows(tx, sorted(of_run))
    theirs |= found
    for id, awaiting in found.items():
        waiting.setdefault(of_run[id], set()).update(_places(awaiting))
    return {
        (row.dag_id, row.logical_date): _Node(
            row.id, frozenset(waiting.get(row.id, ())), row.state == DagRunState.DEADLOCKED
        )
        for row in rows
    }


def _leading_back(nodes: Mapping[Place, _Node]) -> Set[Place]:
    """Those from which waits lead into a circle, or to a run that is deadlocked."""
    kept = set(nodes)
    while True:
        ends = {place for place in kept if not nodes[place].is_deadlocked and not nodes[place].leads_to & kept}
        if not ends:
            return kept
        kept -= ends


def _whole(tx: Transaction, runs: Collection[int], now: TransactionTime) -> Iterator[AwaitedRun]:
    rows = [row for batch in in_batches(sorted(runs)) for row in tx.rows(_WHOLE, {"runs": batch})]
    tis: dict[int, list[Any]] = {}
    for batch in in_batches([row.id for row in rows if row.state == DagRunState.RUNNING]):
        for each in sorted(tx.rows(_TASK_INSTANCES, {"runs": batch}), key=lambda each: each[1]):
            tis.setdefault(each[0], []).append(task_instance_snapshot(each, now))
    for row in rows:
        run = run_snapshot(row, now, tuple(tis.get(row.id, ())))
        if run.state is DagRunState.DEADLOCKED or run.owner_alive:
            yield AwaitedRun(_spec(row.spec), run)
