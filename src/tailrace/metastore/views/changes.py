"""What has changed, as rows of history: those behind an id, of which each is read once it can be seen.

On PostgreSQL an id that is seen does not mean that all below it are: who took a lower one may commit later. So a reader
names the ranges that it still lacks, and learns from the ``Horizon`` whether anybody may yet fill them.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import bindparam, func, or_, select, text

from tailrace.metastore.db.tables import history
from tailrace.metastore.db.transaction import Transaction

_COLUMNS = select(
    history.c.id,
    history.c.at,
    history.c.kind,
    history.c.dag_id,
    history.c.run_id,
    history.c.task_id,
    history.c.map_index,
    history.c.backfill_id,
    history.c.job_id,
    history.c.pool,
    history.c.before,
    history.c.after,
    history.c.cause,
    history.c.try_number,
    history.c.reason,
    history.c.person,
).order_by(history.c.id)
_BEHIND = _COLUMNS.where(history.c.id > bindparam("after_id")).limit(bindparam("most"))
_NEWEST = select(func.max(history.c.id))
_TRANSACTIONS = text("SELECT txid_snapshot_xmin(txid_current_snapshot()), txid_snapshot_xmax(txid_current_snapshot())")


class Change(Struct, frozen=True):
    """One step of something: fields are the JSON's. ``change_id`` grows; ``pool`` may name a Variable or Connection."""

    change_id: int
    at: datetime
    kind: str
    dag_id: str
    run_id: str | None
    task_id: str | None
    map_index: int | None
    backfill_id: int | None
    job_id: int | None
    pool: str | None
    before: str | None
    after: str
    cause: str
    try_number: int | None
    reason: str
    by: str | None


class Horizon(Struct, frozen=True):
    """Which transactions may yet show rows: none older than ``oldest`` is under way, the next one is ``next``."""

    oldest: int = 0
    next: int = 0


class ChangesRead(Struct, frozen=True):
    """Changes of one moment, in the order of their ids; ``newest`` is the greatest id of all."""

    changes: tuple[Change, ...]
    horizon: Horizon
    newest: int


def newest_change(tx: Transaction) -> int:
    """The greatest id that is seen; 0 where nothing has changed yet."""
    return int(tx.value(_NEWEST) or 0)


def read_changes(tx: Transaction, after: int, lacking: Sequence[tuple[int, int]], limit: int) -> ChangesRead:
    """The first changes behind an id, or within ranges of ids (both ends included) that were lacking."""
    if lacking:
        within = [history.c.id.between(first, last) for first, last in lacking]
        rows = tx.rows(_COLUMNS.where(or_(history.c.id > after, *within)).limit(limit))
    else:
        rows = tx.rows(_BEHIND, {"after_id": after, "most": limit})
    horizon = Horizon(*tx.row(_TRANSACTIONS)) if tx.postgres else Horizon()
    return ChangesRead(tuple(Change(*row) for row in rows), horizon, newest_change(tx))
