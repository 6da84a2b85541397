"""Every write of a backfill's state: the columns each state sets, the transition table's leave, the history row.

Nothing outside this file assigns a backfill's state; a test reads the sources for it. Whoever calls holds the row under
lock, or starts it.
"""

from typing import Any

from sqlalchemy import bindparam, insert, update

from tailrace.errors import InternalError
from tailrace.metastore.db.tables import backfill
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import Author, backfill_row
from tailrace.model.states import BackfillState
from tailrace.model.transitions import Cause, backfill_may
from tailrace.planning.backfills import BackfillRequest

_State = BackfillState

_OF_BACKFILL = update(backfill).where(backfill.c.id == bindparam("backfill"))
_START = _OF_BACKFILL.where(backfill.c.state == _State.QUEUED).values(state=_State.RUNNING, started_at=bindparam("at"))
_JUDGE = _OF_BACKFILL.values(state=bindparam("after"), ended_at=bindparam("at"), reason=bindparam("why"))
_CANCEL = _JUDGE.values(version=backfill.c.version + 1)
_INSERT_BACKFILL = insert(backfill).returning(backfill.c.id)


def insert_backfill(
    tx: Transaction,
    author: Author,
    dag_id: str,
    structure: int,
    request: BackfillRequest,
    command: str,
    history: list[dict[str, Any]],
) -> int:
    """Create it, queued; returns its row. ``command`` is what was typed."""
    values = {
        "dag_id": dag_id,
        "dag_version_id": structure,
        "fingerprint": request.fingerprint,
        "state": _State.QUEUED,
        "version": 1,
        "paused": False,
        "range_start": request.start,
        "range_end": request.end,
        "reprocess": request.reprocess,
        "conf": request.conf,
        "disable_retry": request.disable_retry,
        "mark_success": request.mark_success,
        "ignore_first_depends_on_past": request.ignore_first_depends_on_past,
        "pool": request.pool,
        "max_active_runs": request.max_active_runs,
        "backwards": request.backwards,
        "stop_on_failure": request.stop_on_failure,
        "command": command,
        "detached": request.detached,
        "reason": "",
        "created_at": author.at,
    }
    id = int(tx.value(_INSERT_BACKFILL, values))
    history.append(backfill_row(author, dag_id, id, None, _State.QUEUED, Cause.CREATED, command))
    return id


def start_backfill(tx: Transaction, author: Author, dag_id: str, id: int, history: list[dict[str, Any]]) -> None:
    """queued → running, once; one already started is left as it is."""
    if tx.change(_START, {"backfill": id, "at": author.at}):
        step = (_State.QUEUED, _State.RUNNING, Cause.ACTIVATED)
        history.append(backfill_row(author, dag_id, id, *step, "a job drives it"))


def close_backfill(
    tx: Transaction,
    author: Author,
    dag_id: str,
    id: int,
    before: BackfillState,
    after: BackfillState,
    reason: str,
    history: list[dict[str, Any]],
) -> None:
    """Into a closed state: by a verdict, or cancelled by a person. Raises InternalError for any other step."""
    cancels = after is _State.CANCELLED
    cause = Cause.CANCELLED if cancels else Cause.JUDGED
    if not backfill_may(before, after, author.actor, cause):
        raise InternalError(f"backfill {id}: a {author.actor} may not step {before} → {after}")
    tx.change(_CANCEL if cancels else _JUDGE, {"backfill": id, "after": after, "at": author.at, "why": reason})
    history.append(backfill_row(author, dag_id, id, before, after, cause, reason))
