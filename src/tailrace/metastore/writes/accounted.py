"""Which cells of the metastore history accounts for, column by column, and the few that it does not, each with why.

What is accounted for cannot be changed behind the product's back without the audit naming it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Column, ColumnElement, Table, type_coerce
from sqlalchemy.types import NullType

from tailrace.metastore.db.tables import (
    backfill,
    capacity_wait,
    connection,
    dag,
    dag_run,
    dag_version,
    job,
    loaded_dag,
    metadata,
    pool,
    task_instance,
    variable,
    write_record,
)
from tailrace.model.chains import moment_cell

_LEASE = "a lease that is renewed"
_WAIT = "who waits for room, which changes at every step"
_REPEATED = "what makes repeating a write harmless; it is removed after a week"
_EVENT = "whether an event's callbacks were called, and who calls them; that it is there, history says"
_OF_CALLS = (*("id", "status", "error", "token", "holder", "lease_until", "lease_epoch", "lease_seconds", "ended_at"),)

#: Cells that change without a word in history: no check can say what should stand there.
VOLATILE: Mapping[str, str] = {
    "task_instance.lease_until": _LEASE,
    "task_instance.lease_epoch": _LEASE,
    "task_instance.lease_seconds": _LEASE,
    "job.lease_until": _LEASE,
    "job.lease_epoch": _LEASE,
    "job.lease_seconds": _LEASE,
    "job.heartbeat_at": "a heartbeat",
    "job.trouble": "what hinders a job just now, told with its heartbeat",
    "loaded_dag.loaded_at": "renewed each time a file is loaded",
    "dag_run.owner_job_id": "jobs that share a run take it from one another at every step",
    "dag_run.owner_lane": "jobs that share a run take it from one another at every step",
    **{f"capacity_wait.{column.name}": _WAIT for column in capacity_wait.columns},
    **{f"write_record.{column.name}": _REPEATED for column in write_record.columns},
    **{f"outbox.{name}": _EVENT for name in _OF_CALLS},
    "history.id": "only the order in each chain counts",
}

#: The reason of a task instance is renewed with its lease while it runs: what its process still waits for.
RENEWED_WHILE_RUNNING = "task_instance.reason"

#: Where a chain has come to is checked by itself.
_CHAIN = frozenset({"chain_head", "chain_length", "refused_head", "refused_length"})

#: A structure is checked by its hash.
_BY_HASH = frozenset({"dag_version.spec"})

#: The tables of which history tells each row's columns, in the order in which they are looked at.
TABLES: tuple[Table, ...] = (
    *(dag, dag_version, loaded_dag, pool, variable, connection, job, backfill, dag_run, task_instance),
)


#: Of tables whose key names the row in history, that key.
_KEYS = frozenset({"dag_version.id", "pool.name", "variable.name", "connection.name", "job.id", "backfill.id"})

#: History knows them by the digest of their text alone.
BY_DIGEST = frozenset({"variable.value", "connection.value"})


def accounted(table: Table) -> tuple[Column[Any], ...]:
    """The columns of a table that history accounts for, one by one."""
    return tuple(column for column in table.columns if column.name not in _CHAIN and str(column) not in _LEFT_OUT)


_LEFT_OUT = VOLATILE.keys() | _BY_HASH | _KEYS


def unsaid(table: Table) -> frozenset[str]:
    """The columns of a table that no history row speaks of; structures it knows by their hash."""
    return frozenset(column.name for column in table.columns if str(column) in VOLATILE.keys() | _BY_HASH)


def as_it_is(column: Any) -> ColumnElement[Any]:
    """A cell as the driver gives it: SQLite may hold anything, and one such cell must not end the whole reading."""
    return type_coerce(column, NullType()).label(column.name)


def cell(column: Column[Any], stored: Any) -> Any:
    """A cell that was read as it is, in the form in which history says it: the same from every database."""
    if isinstance(stored, datetime):
        return moment_cell(stored)
    if isinstance(column.type, Boolean) and stored in (0, 1) and isinstance(stored, int):
        return bool(stored)
    return stored


def volatile() -> tuple[str, ...]:
    """Every cell that no check speaks of, in the order of the tables."""
    cells = [f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns]
    return tuple(cell for cell in cells if cell in VOLATILE)
