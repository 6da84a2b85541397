"""Every write of a backfill's state: the columns each state sets, the transition table's leave, the history row.

Nothing outside this file assigns a backfill's state; a test reads the sources for it. Whoever calls holds the row under
lock.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, insert, update

from tailrace.errors import InternalError
from tailrace.metastore.db.tables import backfill
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import Author, History, backfill_row, changed_row
from tailrace.model.chains import Chain
from tailrace.model.states import BackfillState
from tailrace.model.transitions import Cause, backfill_may
from tailrace.planning.backfills import BackfillRequest

_State = BackfillState

_OF_BACKFILL = update(backfill).where(backfill.c.id == bindparam("backfill"))
_CHAIN: Mapping[str, Any] = {"chain_head": bindparam("to_chain_head"), "chain_length": bindparam("to_chain_length")}
_INSERT_BACKFILL = insert(backfill).returning(backfill.c.id)


class Wanted(Struct, frozen=True):
    """A run that a backfill wants. ``clear``: JSON, task ids."""

    ordinal: int
    action: str
    reason: str
    clear: str


class LockedBackfill(Struct, frozen=True):
    """A backfill under lock: its state and version, and how far its history has come."""

    id: int
    dag_id: str
    state: str
    version: int
    chain: Chain


#: What a statement that locks backfills selects, for ``locked_backfill``.
LOCKED_COLUMNS = (
    backfill.c.id,
    backfill.c.dag_id,
    backfill.c.state,
    backfill.c.version,
    backfill.c.chain_head,
    backfill.c.chain_length,
)


def locked_backfill(row: Any) -> LockedBackfill:
    """The backfill of a row with LOCKED_COLUMNS."""
    return LockedBackfill(row.id, row.dag_id, row.state, row.version, Chain(row.chain_head, row.chain_length))


def insert_backfill(
    tx: Transaction,
    author: Author,
    dag_id: str,
    structure: int,
    request: BackfillRequest,
    command: str,
    history: History,
    part: str | None = None,
) -> LockedBackfill:
    """Create it, queued. ``command`` is what was typed, ``part`` JSON."""
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
        "part": part,
        "reason": "",
        "created_at": author.at,
    }
    id = int(tx.value(_INSERT_BACKFILL, values))
    row = backfill_row(author, dag_id, id, None, _State.QUEUED, Cause.CREATED, command)
    end = history.add(row, Chain(), {name: value for name, value in values.items() if value is not None})
    return LockedBackfill(id, dag_id, _State.QUEUED, 1, end)  # its chain goes on with what it wants


def start_backfill(tx: Transaction, author: Author, found: LockedBackfill, history: History) -> None:
    """queued → running, once; one already started is left as it is."""
    if found.state == _State.QUEUED:
        step = (_State.QUEUED, _State.RUNNING, Cause.ACTIVATED)
        row = backfill_row(author, found.dag_id, found.id, *step, "a job drives it")
        _write(tx, found, row, {"state": _State.RUNNING, "started_at": author.at}, history)


def close_backfill(
    tx: Transaction,
    author: Author,
    found: LockedBackfill,
    after: BackfillState,
    reason: str,
    history: History,
    *,
    event: str = "",
) -> None:
    """Into a closed state: by a verdict, or cancelled by a person. Raises InternalError for any other step.

    ``event``: the callback that is to be called for it.
    """
    before, cancels = BackfillState(found.state), after is _State.CANCELLED
    cause = Cause.CANCELLED if cancels else Cause.JUDGED
    if not backfill_may(before, after, author.actor, cause):
        raise InternalError(f"backfill {found.id}: a {author.actor} may not step {before} → {after}")
    columns = {"state": after, "ended_at": author.at, "reason": reason}
    evidence = {"event": event} if event else None
    row = backfill_row(author, found.dag_id, found.id, before, after, cause, reason, evidence)
    _write(tx, found, row, {**columns, "version": found.version + 1} if cancels else columns, history)
    if event:
        history.call(event)


def set_columns(
    tx: Transaction,
    author: Author,
    found: LockedBackfill,
    columns: Mapping[str, Any],
    history: History,
    wants: Mapping[int, Wanted] | None = None,
) -> None:
    """Set these columns, and say so in history, with the runs (by row) that it wants from now on, or otherwise."""
    row = changed_row(author, "backfill", Cause.RECORDED, found.dag_id, backfill_id=found.id)
    _write(tx, found, row, columns, history, {} if wants is None else {"wants": _said(wants)})


def touch_backfill(
    tx: Transaction, author: Author, found: LockedBackfill, history: History, wants: Mapping[int, Wanted] | None = None
) -> None:
    """Make its version grow: a verdict that was drawn from its runs as they were must not land."""
    set_columns(tx, author, found, {"version": found.version + 1}, history, wants)


def _write(
    tx: Transaction,
    found: LockedBackfill,
    row: dict[str, Any],
    columns: Mapping[str, Any],
    history: History,
    more: Mapping[str, Any] | None = None,
) -> None:
    end = history.add(row, found.chain, {**columns, **(more or {})})
    values = {f"to_{name}": value for name, value in columns.items()}
    ends = {"to_chain_head": end.head, "to_chain_length": end.length}
    tx.change(_set(tuple(columns)), {"backfill": found.id, **values, **ends})


@cache
def _set(names: tuple[str, ...]) -> Any:
    """The statement that sets these columns, and how far its history has come."""
    return _OF_BACKFILL.values({**{name: bindparam(f"to_{name}") for name in names}, **_CHAIN})


def _said(wants: Mapping[int, Wanted]) -> dict[str, Any]:
    return {str(run): [each.ordinal, each.action, each.reason, each.clear] for run, each in wants.items()}
