"""What every write leaves beside its change: history rows, and the record that makes repeating it harmless.

History is only ever inserted here; no statement anywhere updates or deletes it, unless a person removes old rows.
Each row says which columns were set on what it is about, and is chained behind the row before it about the same thing
(see ``model.chains``). The writer puts the chain's new end on the row that it writes anyway.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, insert, select, update

from tailrace.metastore.db.columns import from_json, to_json
from tailrace.metastore.db.tables import chain, history, outbox, write_record
from tailrace.metastore.db.transaction import Transaction
from tailrace.model.callbacks import EventState
from tailrace.model.chains import (
    CHANGED,
    COVERED,
    METASTORE,
    Chain,
    Subject,
    chain_of,
    encoded,
    link,
    moment_cell,
    subject_of,
)
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.transitions import Actor, Cause

#: What a history row is about.
TASK_INSTANCE = "task_instance"
DAG_RUN = "dag_run"
BACKFILL = "backfill"
POOL = "pool"  # ``before`` and ``after`` are slots as text; a pool that goes away ends in DELETED_POOL
SCHEMA = "schema"  # ``after`` is the revision of the schema by which the rows behind it were written
CLEANED = "cleaned"  # old rows were removed by a person's command; ``evidence`` counts them

DELETED_POOL = "deleted"

_INSERT_HISTORY = insert(history)
_INSERT_EVENT = insert(outbox)

#: What an event has of the row of history that it is of.
_OF_EVENT = (
    *("at", "kind", "dag_id", "run_id", "task_id", "map_index", "try_number", "task_instance_id", "dag_run_id"),
    *("backfill_id", "after", "reason"),
)
_INSERT_RECORD = insert(write_record)
_FIND_RECORD = select(write_record.c.result).where(write_record.c.write_id == bindparam("write_id"))
_END_CLEANED = (
    update(history)
    .where(history.c.write_id == bindparam("of_write"))
    .values(evidence=bindparam("counts"), sets=bindparam("gone"), digest=bindparam("link"))
)
_OF_METASTORE = (
    select(chain.c.chain_head, chain.c.chain_length).where(chain.c.name == METASTORE).with_for_update(key_share=True)
)
_BEGIN_METASTORE = insert(chain)
_GO_ON_METASTORE = (
    update(chain)
    .where(chain.c.name == METASTORE)
    .values(chain_head=bindparam("head"), chain_length=bindparam("length"))
)


class Author(Struct, frozen=True):
    """Who makes the changes of one transaction, and when: the part its history rows share."""

    at: datetime
    write_id: str
    actor: Actor
    job_id: int | None = None
    structure: int | None = None  # the row of the DAG version that a planner decided by
    person: str | None = None  # user@host, where somebody's command makes them

    @classmethod
    def of_command(cls, tx: Transaction, write_id: str) -> "Author":
        """Whoever typed the command that this transaction carries out."""
        return cls(tx.moment.wall, write_id, Actor.PERSON, person=tx.person)


class History:
    """The history rows of one transaction, in order, each chained behind the one before it about the same thing."""

    __slots__ = ("_ends", "events", "rows")

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []  # of which callbacks are to be called
        self._ends: dict[Subject, Chain] = {}

    def add(self, row: dict[str, Any], before: Chain, sets: Mapping[str, Any] | None = None) -> Chain:
        """Append the row behind ``before``, or behind what this transaction has put there since; the chain's new end.

        ``sets`` are the columns that are set on what it is about.
        """
        if sets is not None:
            row["sets"] = sets_text(sets)
        cells = [row[name] for name in COVERED]
        cells[0] = moment_cell(cells[0])
        about = chain_of(subject_of(cells))
        before = self._ends.get(about, before)
        row["digest"] = digest = link(before.head, cells)
        self._ends[about] = after = Chain(digest, before.length + 1)
        self.rows.append(row)
        return after

    def call(self, callback: str, **otherwise: str) -> None:
        """The row that was added last is an event of which this callback is to be called; what it has otherwise."""
        row = self.rows[-1]
        event = {**{name: row[name] for name in _OF_EVENT}, **otherwise}
        self.events.append({**event, "event_id": row["digest"], "callback": callback, "status": EventState.WAITING})

    def take(self, other: "History") -> None:
        """Append what another one has, of things that this one says nothing about."""
        self.rows += other.rows
        self.events += other.events
        self._ends |= other._ends


def sets_text(sets: Mapping[str, Any]) -> str:
    """The columns that were set, as they are kept in a history row."""
    cells = {name: moment_cell(cell) if isinstance(cell, datetime) else cell for name, cell in sets.items()}
    return encoded(cells).decode()


def task_instance_row(
    author: Author,
    key: TaskInstanceKey,
    id: int | None,
    before: str | None,
    after: str,
    cause: Cause,
    reason: str,
    *,
    try_number: int = 0,
    token: int | None = None,
    kind: str = TASK_INSTANCE,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One history row about a task instance; ``before`` is None for its creation."""
    return _row(
        author,
        kind,
        key.dag_id,
        before,
        after,
        cause,
        reason,
        evidence,
        run_id=key.run_id,
        task_id=key.task_id,
        map_index=key.map_index,
        task_instance_id=id,
        try_number=try_number,
        token=token,
        dag_version_id=author.structure,
    )


def run_row(
    author: Author,
    dag_id: str,
    run_id: str,
    before: str | None,
    after: str,
    cause: Cause,
    reason: str,
    *,
    id: int | None = None,
    backfill_id: int | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One history row about a run."""
    of_run = {"run_id": run_id, "backfill_id": backfill_id, "dag_version_id": author.structure, "dag_run_id": id}
    return _row(author, DAG_RUN, dag_id, before, after, cause, reason, evidence, **of_run)


def backfill_row(
    author: Author,
    dag_id: str,
    backfill_id: int,
    before: str | None,
    after: str,
    cause: Cause,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One history row about a backfill."""
    return _row(author, BACKFILL, dag_id, before, after, cause, reason, evidence, backfill_id=backfill_id)


def changed_row(
    author: Author, table: str, cause: Cause, dag_id: str = "", reason: str = "", **key: Any
) -> dict[str, Any]:
    """One history row about a row of this table, of which no state was set; ``key`` are the columns that name it."""
    return _row(author, CHANGED, dag_id, None, table, cause, reason, **key)


def pool_row(author: Author, name: str, before: int | None, after: int | None, cause: Cause) -> dict[str, Any]:
    """One history row about a pool's slots; None is a pool that is not there."""
    was = None if before is None else str(before)
    return _row(author, POOL, "", was, DELETED_POOL if after is None else str(after), cause, "", pool=name)


def cleaned_row(author: Author, dag_id: str, reason: str, removed: Mapping[str, int]) -> dict[str, Any]:
    """One history row about rows that were removed; ``dag_id`` is empty for those of all DAGs."""
    return _row(author, CLEANED, dag_id, None, CLEANED, Cause.CLEANED, reason, removed)


def schema_row(author: Author, before: str | None, after: str) -> dict[str, Any]:
    """One history row that says which schema wrote what follows; ``before`` is None for a new metastore."""
    return _row(author, SCHEMA, "", before, after, Cause.CREATED if before is None else Cause.RECORDED, "")


_BLANK: dict[str, Any] = {column.name: None for column in history.columns if column.name != "id"}


def _row(
    author: Author,
    kind: str,
    dag_id: str,
    before: str | None,
    after: str,
    cause: Cause,
    reason: str,
    evidence: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A whole row; ``more`` are the columns that name what it is about."""
    return {
        **_BLANK,
        "at": author.at,
        "write_id": author.write_id,
        "kind": kind,
        "dag_id": dag_id,
        "before": before,
        "after": after,
        "actor": author.actor,
        "cause": cause,
        "reason": reason,
        "job_id": author.job_id,
        "person": author.person,
        "evidence": None if evidence is None else to_json(dict(evidence)),
        **more,
    }


def insert_history(tx: Transaction, history: History) -> None:
    """Append the rows, in order, and with them the events of which callbacks are to be called."""
    tx.change_many(_INSERT_HISTORY, history.rows)
    if history.events:
        tx.change_many(_INSERT_EVENT, history.events)


def insert_metastore_history(
    tx: Transaction, *rows: tuple[dict[str, Any], Mapping[str, Any] | None], begins: bool = False
) -> None:
    """Append rows, each with what it sets, of the chain that is of the metastore itself.

    Its lock is the last of all, but where a pool is resized: there the guards of all DAGs that it opens runs of are
    held already. ``begins``: there is no chain yet.
    """
    if begins:
        tx.change(_BEGIN_METASTORE, {"name": METASTORE})
    history, end = History(), metastore_chain(tx)
    for row, sets in rows:
        end = history.add(row, end, sets)
    insert_history(tx, history)
    tx.change(_GO_ON_METASTORE, {"head": end.head, "length": end.length})


def begin_cleaned_row(tx: Transaction, row: Mapping[str, Any]) -> None:
    """Append a row that counts what is about to be removed, before it is: what was counted is not known yet."""
    tx.change(_INSERT_HISTORY, row)


def end_cleaned_row(tx: Transaction, row: dict[str, Any], sets: Mapping[str, Any]) -> None:
    """Say in it what was removed, and chain it."""
    history = History()
    end = history.add(row, metastore_chain(tx), sets)
    said = {"of_write": row["write_id"], "counts": row["evidence"], "gone": row["sets"], "link": row["digest"]}
    tx.change(_END_CLEANED, said)
    tx.change(_GO_ON_METASTORE, {"head": end.head, "length": end.length})


def metastore_chain(tx: Transaction) -> Chain:
    """How far the chain of the metastore itself has come; nobody else goes on with it before this transaction ends."""
    found = tx.row(_OF_METASTORE)
    return Chain() if found is None else Chain(*found)


def record(tx: Transaction, write_id: str, result: Any) -> None:
    """Store the result of this write under its id; a second insert of the same id violates the key."""
    tx.change(_INSERT_RECORD, {"write_id": write_id, "at": tx.moment.wall, "result": to_json(result)})


def recorded(tx: Transaction, write_id: str) -> tuple[Any] | None:
    """The result stored under this id, in a tuple of one; None when no such write has landed."""
    row = tx.row(_FIND_RECORD, {"write_id": write_id})
    return None if row is None else (from_json(row.result),)
