"""What every write leaves beside its change: history rows, and the record that makes repeating it harmless.

History is only ever inserted here; no statement anywhere updates or deletes it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, insert, select

from tailrace.metastore.db.columns import from_json, to_json
from tailrace.metastore.db.tables import history, write_record
from tailrace.metastore.db.transaction import Transaction
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.transitions import Actor, Cause

#: What a history row is about.
TASK_INSTANCE = "task_instance"
DAG_RUN = "dag_run"
BACKFILL = "backfill"
REFUSED = "refused"  # a worker's late outcome: nothing changed, ``after`` is what it would have become
POOL = "pool"  # ``before`` and ``after`` are slots as text; a pool that goes away ends in DELETED_POOL
SCHEMA = "schema"  # ``after`` is the revision of the schema by which the rows behind it were written
CLEANED = "cleaned"  # old rows were removed by a person's command; ``evidence`` counts them

DELETED_POOL = "deleted"

_INSERT_HISTORY = insert(history)
_INSERT_RECORD = insert(write_record)
_FIND_RECORD = select(write_record.c.result).where(write_record.c.write_id == bindparam("write_id"))


class Author(Struct, frozen=True):
    """Who makes the changes of one transaction, and when: the part its history rows share."""

    at: datetime
    write_id: str
    actor: Actor
    job_id: int | None = None
    structure: int | None = None  # the row of the DAG version that a planner decided by


def task_instance_row(
    author: Author,
    key: TaskInstanceKey,
    id: int,
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
    backfill_id: int | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One history row about a run."""
    of_run = {"run_id": run_id, "backfill_id": backfill_id, "dag_version_id": author.structure}
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
        "evidence": None if evidence is None else to_json(dict(evidence)),
        **more,
    }


def insert_history(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append the rows, in order."""
    tx.change_many(_INSERT_HISTORY, rows)


def record(tx: Transaction, write_id: str, result: Any) -> None:
    """Store the result of this write under its id; a second insert of the same id violates the key."""
    tx.change(_INSERT_RECORD, {"write_id": write_id, "at": tx.moment.wall, "result": to_json(result)})


def recorded(tx: Transaction, write_id: str) -> tuple[Any] | None:
    """The result stored under this id, in a tuple of one; None when no such write has landed."""
    row = tx.row(_FIND_RECORD, {"write_id": write_id})
    return None if row is None else (from_json(row.result),)
