"""What failed in a backfill's runs, in groups, and the failure before its range that they go back to.

A run that depends on its past may be blocked by one that this backfill does not want, and that one by an earlier one:
what a person has to mend is at the beginning of that chain.
"""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import exists, func, select, true

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.failed_inside import FAILED
from tailrace.metastore.plans.wanted import part_tasks
from tailrace.model.keys import RunType, TaskInstanceKey, TryKey
from tailrace.model.states import TaskInstanceState
from tailrace.planning.failure_groups import Failed, grouped

#: So many different errors are looked at, those of the most task instances; each may be of 1,000 characters.
_MOST_ERRORS = 5_000

#: So many runs a chain is followed back.
_MOST_RUNS = 10_000

#: The failed task instances of some runs, one that failed itself before one that only followed, the first in time.
FAILED_FIRST = (
    (task_instance.c.state == TaskInstanceState.FAILED.value).desc(),
    task_instance.c.ended_at,
)


class Root(Struct, frozen=True):
    """The failure that others go back to: the first failed task instance of the first bad run."""

    try_key: TryKey
    state: str
    reason: str


class RootBefore(Root, frozen=True):
    """One in a run that the backfill does not want.

    ``chain`` are the logical dates of such runs that block each other and at last the backfill's, that of the failure
    first; ``runs`` of the schedule there are from there to its range.
    """

    chain: tuple[datetime, ...]
    range_start: datetime
    runs: int


def failure_groups(tx: Transaction, backfill_id: int) -> tuple[Failed, ...]:
    """The failures of a backfill's runs, by task and error, the greatest group first."""
    part = part_tasks(tx, [backfill_id]).get(backfill_id)
    wanted = (
        select(
            task_instance.c.task_id,
            task_instance.c.reason,
            func.count(),
            func.min(dag_run.c.logical_date),
            func.max(dag_run.c.logical_date),
        )
        .join(backfill_run, backfill_run.c.dag_run_id == task_instance.c.dag_run_id)
        .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
        .where(backfill_run.c.backfill_id == backfill_id, FAILED, task_instance.c.state == TaskInstanceState.FAILED)
        .where(true() if part is None else task_instance.c.task_id.in_(part))
        .group_by(task_instance.c.task_id, task_instance.c.reason)
        .order_by(func.count().desc(), task_instance.c.task_id, task_instance.c.reason)
        .limit(_MOST_ERRORS)
    )
    return grouped(Failed(*row) for row in tx.rows(wanted))


def root_of(row: Any) -> Root:
    """A row of ``ROOT`` as the failure that it is."""
    key = TaskInstanceKey(row.dag_id, row.run_id, row.task_id, row.map_index)
    return Root(TryKey(key, row.try_number), row.state, row.reason)


#: What is shown of a failed task instance; the caller adds of which runs.
ROOT = (
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
)


def root_before(tx: Transaction, backfill_id: int, stored: Iterable[Any]) -> RootBefore | None:
    """The first failure that the runs which block this backfill's go back to, where those are none of its own.

    ``stored`` is what its deadlocked runs were blocked by.
    """
    of = tx.row(select(backfill.c.dag_id, backfill.c.range_start).where(backfill.c.id == backfill_id))
    named = _previous(stored)
    if of is None or not named:
        return None
    found: list[Any] = []
    for run_ids in in_batches(sorted(named)):
        wanted = exists().where(backfill_run.c.dag_run_id == dag_run.c.id, backfill_run.c.backfill_id == backfill_id)
        found += tx.rows(_RUN.where(dag_run.c.dag_id == of.dag_id, dag_run.c.run_id.in_(run_ids), ~wanted))
    waiting, seen = deque(found), {run.run_id for run in found}
    roots, dates = [], []
    while waiting and len(seen) < _MOST_RUNS:
        run = waiting.popleft()
        dates.append(run.logical_date)
        root = _failed_in(tx, run.id)
        earlier = set() if root is not None else _previous([*from_json(run.blocked or "[]")]) - seen
        if root is not None or not earlier:
            roots.append((run, root or _blocking(tx, run)))
        for run_ids in in_batches(sorted(earlier)):
            waiting += tx.rows(_RUN.where(dag_run.c.dag_id == of.dag_id, dag_run.c.run_id.in_(run_ids)))
        seen |= earlier
    known = [(run, root) for run, root in roots if root is not None]
    if not known:
        return None
    run, root = min(known, key=lambda each: each[0].logical_date)
    between = select(func.count()).where(
        dag_run.c.dag_id == of.dag_id,
        dag_run.c.run_type != RunType.MANUAL.value,
        dag_run.c.logical_date >= run.logical_date,
        dag_run.c.logical_date < of.range_start,
    )
    chain = tuple(sorted(dates))
    return RootBefore(root.try_key, root.state, root.reason, chain, of.range_start, int(tx.value(between)))


_RUN = select(dag_run.c.id, dag_run.c.run_id, dag_run.c.logical_date, dag_run.c.blocked)


def _previous(stored: Iterable[Any]) -> set[str]:
    """The runs whose outcome blocks these task instances."""
    return {each["previous_run"] for each in stored if each.get("previous_run") is not None}


def _failed_in(tx: Transaction, run: int) -> Root | None:
    row = tx.row(ROOT.where(task_instance.c.dag_run_id == run, FAILED).order_by(*FAILED_FIRST).limit(1))
    return None if row is None else root_of(row)


def _blocking(tx: Transaction, run: Any) -> Root | None:
    """Where nothing failed (it was cancelled, say): the first task instance of the run that did not succeed."""
    well = (TaskInstanceState.SUCCESS.value, TaskInstanceState.SKIPPED.value, TaskInstanceState.REMOVED.value)
    row = tx.row(
        ROOT.where(task_instance.c.dag_run_id == run.id, task_instance.c.state.not_in(well))
        .order_by(task_instance.c.id)
        .limit(1)
    )
    return None if row is None else root_of(row)
