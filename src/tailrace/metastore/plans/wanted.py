"""How the runs that a backfill wants stand: a verdict is decided by this, and written only if it is still so."""

from typing import Any

from sqlalchemy import Select, bindparam, func, literal_column, select

from tailrace.metastore.db.tables import backfill_run
from tailrace.model.states import DagRunState
from tailrace.planning.backfills import DateAction

COUNTS_BY_STATE = (
    select(backfill_run.c.run_state, func.count())
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"))
    .group_by(backfill_run.c.run_state)
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
