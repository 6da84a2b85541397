"""How the runs that a backfill wants stand: a verdict is decided by this, and written only if it is still so."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam, func, literal_column, select

from tailrace.metastore.db.tables import backfill, backfill_run
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.rows import backfill_part_from
from tailrace.model.states import DagRunState
from tailrace.planning.backfills import DateAction

COUNTS_BY_STATE = (
    select(backfill_run.c.run_state, func.count())
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"))
    .group_by(backfill_run.c.run_state)
)
_COUNTS = (
    select(backfill_run.c.backfill_id, backfill_run.c.run_state, func.count())
    .where(backfill_run.c.backfill_id.in_(bindparam("backfills", expanding=True)))
    .group_by(backfill_run.c.backfill_id, backfill_run.c.run_state)
)
#: A run that failed although it was to be done: old failures that are left alone stop nothing.
ANY_FAILED: Select[Any] = (
    select(literal_column("1"))
    .where(
        backfill_run.c.backfill_id == bindparam("backfill_id"),
        backfill_run.c.run_state.in_([DagRunState.FAILED.value, DagRunState.DEADLOCKED.value]),
        backfill_run.c.action != DateAction.LEAVE,
    )
    .limit(1)
)


_PARTS = select(backfill.c.id, backfill.c.part).where(
    backfill.c.id.in_(bindparam("backfills", expanding=True)), backfill.c.part.is_not(None)
)


def part_tasks(tx: Transaction, backfills: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """Of those of these backfills that are a part of their DAG, the tasks."""
    return {id: backfill_part_from(part).tasks for id, part in tx.rows(_PARTS, {"backfills": list(backfills)})}


def run_counts(tx: Transaction, backfills: Sequence[int]) -> dict[int, dict[str, int]]:
    """The runs that each of these backfills wants, counted by state."""
    found: dict[int, dict[str, int]] = {id: {} for id in backfills}
    for batch in in_batches(backfills):
        for id, state, count in tx.rows(_COUNTS, {"backfills": batch}):
            found[id][state] = count
    return found
