"""Writes of rows that have no state of their own to step through: DAGs, their structures and files, and jobs.

Each says in history which columns were set. None of it happens in a try: what it needs is read here, under lock.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Table, bindparam, insert, select, update

from tailrace.metastore.db.tables import dag, dag_version, job, loaded_dag
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.accounted import unsaid
from tailrace.metastore.writes.records import Author, History, changed_row, insert_history
from tailrace.model.chains import Chain
from tailrace.model.transitions import Cause

#: By table, the column of its key, and the column of history that names it.
_KEYS: Mapping[str, tuple[str, str]] = {
    dag.name: ("dag_id", "dag_id"),
    dag_version.name: ("id", "dag_version_id"),
    loaded_dag.name: ("dag_id", "dag_id"),
    job.name: ("id", "job_id"),
}
_UNSAID = {table.name: unsaid(table) for table in (dag, dag_version, loaded_dag, job)}


def insert_row(tx: Transaction, author: Author, table: Table, values: Mapping[str, Any]) -> Any:
    """Create a row; returns its key."""
    key = tx.rows(_insert(table), values)[0][0]
    said = {name: value for name, value in values.items() if value is not None and name not in _UNSAID[table.name]}
    _say(tx, author, table, key, values.get("dag_id"), Cause.CREATED, Chain(), said, {})
    return key


def locked_row(tx: Transaction, table: Table, key: Any) -> Any:
    """The row of this key, under lock; None where there is none."""
    return tx.row(_lock(table), {"key": key})


def set_row(tx: Transaction, author: Author, table: Table, found: Any, columns: Mapping[str, Any]) -> None:
    """Set these columns of a row that is locked. Nothing is said in history of what is renewed all the time."""
    key = getattr(found, _KEYS[table.name][0])
    said = {name: value for name, value in columns.items() if name not in _UNSAID[table.name]}
    if said:
        before = Chain(found.chain_head, found.chain_length)
        _say(tx, author, table, key, found.dag_id, Cause.RECORDED, before, said, columns)
    else:
        tx.change(_set(table, tuple(columns)), {"key": key, **_bound(columns)})


def renew_dag(tx: Transaction, author: Author, dag_id: str, **columns: Any) -> None:
    """Make the version of the DAG, which is locked, grow: what leaned on the past of its runs is decided again.

    ``columns`` are set as well: its newest structure, or how far its schedule was looked at.
    """
    found = locked_row(tx, dag, dag_id)
    if found is not None:
        set_row(tx, author, dag, found, {"version": found.version + 1, **columns})


def _say(
    tx: Transaction,
    author: Author,
    table: Table,
    key: Any,
    dag_id: str | None,
    cause: Cause,
    before: Chain,
    said: Mapping[str, Any],
    columns: Mapping[str, Any],
) -> None:
    history, named = History(), _KEYS[table.name][1]
    more = {} if named == "dag_id" else {named: key}
    end = history.add(changed_row(author, table.name, cause, dag_id or "", **more), before, said)
    insert_history(tx, history)
    all_columns = {**columns, "chain_head": end.head, "chain_length": end.length}
    tx.change(_set(table, tuple(all_columns)), {"key": key, **_bound(all_columns)})


def _bound(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {f"to_{name}": value for name, value in columns.items()}


@cache
def _insert(table: Table) -> Any:
    return insert(table).returning(_key(table))


@cache
def _lock(table: Table) -> Any:
    return select(table).where(_key(table) == bindparam("key")).with_for_update(key_share=True)


@cache
def _set(table: Table, names: tuple[str, ...]) -> Any:
    found = update(table).where(_key(table) == bindparam("key"))
    return found.values({name: bindparam(f"to_{name}") for name in names})


def _key(table: Table) -> Any:
    return table.c[_KEYS[table.name][0]]
