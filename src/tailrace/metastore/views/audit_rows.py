"""Reads the rows that history accounts for, every column of them as it stands, a page at a time. Checks nothing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Boolean, LargeBinary, Select, Table, bindparam, cast, select, type_coerce
from sqlalchemy.types import NullType

from tailrace.audit.events import PARTS
from tailrace.audit.records import EventRecord, RowRecord, Unreadable, WantedRecord, XComRecord
from tailrace.metastore.db.columns import UtcDateTime
from tailrace.metastore.db.tables import backfill_run, chain, dag_run, outbox, task_instance, xcom
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.accounted import BY_DIGEST, TABLES, accounted, as_it_is, cell
from tailrace.model.chains import METASTORE, Chain, text_digest
from tailrace.model.keys import UNMAPPED

#: Rows read at a time: enough that asking costs nothing beside reading. Values of XComs may be large.
PAGE = 2000
_XCOM_PAGE = 100

_WANTED = select(*map(as_it_is, backfill_run.columns)).order_by(backfill_run.c.backfill_id, backfill_run.c.dag_run_id)
_PLACE_OF_XCOM = (xcom.c.task_instance_id, xcom.c.key, as_it_is(xcom.c.at))
_XCOMS = (
    select(*_PLACE_OF_XCOM, xcom.c.value)
    .where(
        (xcom.c.task_instance_id > bindparam("after_id"))
        | ((xcom.c.task_instance_id == bindparam("after_id")) & (xcom.c.key > bindparam("after_key")))
    )
    .order_by(xcom.c.task_instance_id, xcom.c.key)
    .limit(_XCOM_PAGE)
)
#: SQLite's driver refuses to read text that is none.
_XCOMS_AS_BYTES = _XCOMS.with_only_columns(
    *_PLACE_OF_XCOM, type_coerce(cast(xcom.c.value, LargeBinary), NullType()).label("value")
)
_OF_EVENT = ("id", "event_id", *PARTS)
_EVENTS = (
    select(*(as_it_is(outbox.c[name]) for name in _OF_EVENT))
    .where(outbox.c.id > bindparam("after_id"))
    .order_by(outbox.c.id)
    .limit(PAGE)
)
_METASTORE = select(chain.c.chain_head, chain.c.chain_length).where(chain.c.name == METASTORE)


def rows_as_they_stand(tx: Transaction, unreadable: Iterable[Unreadable]) -> Iterator[RowRecord]:
    """Every row of every table that history accounts for; but not those of which a cell cannot be read."""
    bad: dict[str, set[str]] = {}
    for each in unreadable:
        bad.setdefault(each.table, set()).add(each.row)
    wanted = _wanted(tx)
    for table in TABLES:
        columns = [(place, column) for place, column in enumerate(table.columns) if column in _ACCOUNTED[table.name]]
        plain = [(column.name, place) for place, column in columns if not _has_forms(column)]
        others = [(column, place) for place, column in columns if _has_forms(column)]
        named, has_chain = _NAMED[table.name], "chain_head" in table.columns
        for row in _pages(tx, table):
            if str(row[0]) in bad.get(table.name, ()):
                continue
            subject, name = named(row)
            cells = {column: row[place] for column, place in plain}
            for column, place in others:
                stands = row[place]
                cells[column.name] = text_digest(stands) if str(column) in BY_DIGEST else cell(column, stands)
            yield RowRecord(
                (table.name, *subject),
                name,
                cells,
                Chain(row.chain_head, row.chain_length) if has_chain else None,
                Chain(row.refused_head, row.refused_length) if table is task_instance else None,
                wanted.get(row[0], {}) if table.name == "backfill" else {},
            )


def _has_forms(column: Any) -> bool:
    """Whether databases give its cells back in forms of their own."""
    return isinstance(column.type, (UtcDateTime, Boolean)) or str(column) in BY_DIGEST


_ACCOUNTED = {table.name: set(accounted(table)) for table in TABLES}


def _of_task_instance(row: Any) -> tuple[tuple[Any, ...], str]:
    mapped = "" if row.map_index == UNMAPPED else f"[{row.map_index}]"
    return (row.of_dag, row.of_run, row.task_id, row.map_index), f"{row.of_dag} / {row.of_run} / {row.task_id}{mapped}"


#: By table, what names a row in history, and for people.
_NAMED: Mapping[str, Callable[[Any], tuple[tuple[Any, ...], str]]] = {
    "dag": lambda row: ((row.dag_id,), f"dag {row.dag_id}"),
    "dag_version": lambda row: ((row.id,), f"dag_version {row.id}"),
    "loaded_dag": lambda row: ((row.dag_id,), f"loaded_dag {row.dag_id}"),
    "pool": lambda row: ((row.name,), f"pool {row.name}"),
    "variable": lambda row: ((row.name,), f"Variable {row.name}"),
    "connection": lambda row: ((row.name,), f"Connection {row.name}"),
    "job": lambda row: ((row.id,), f"job {row.id}"),
    "backfill": lambda row: ((row.id,), f"backfill {row.id}"),
    "dag_run": lambda row: ((row.dag_id, row.run_id), f"{row.dag_id} / {row.run_id}"),
    "task_instance": _of_task_instance,
}


def _pages(tx: Transaction, table: Table) -> Iterator[Any]:
    key = next(iter(table.primary_key.columns))
    wanted: Select[Any] = select(*map(as_it_is, table.columns))
    if table is task_instance:
        wanted = wanted.add_columns(dag_run.c.dag_id.label("of_dag"), dag_run.c.run_id.label("of_run"))
        wanted = wanted.select_from(task_instance.outerjoin(dag_run, dag_run.c.id == task_instance.c.dag_run_id))
    if key.name != "id":  # as many as there are DAGs, or pools
        yield from tx.rows(wanted.order_by(key))
        return
    page, last = wanted.where(key > bindparam("after_id")).order_by(key).limit(PAGE), -(2**63)
    while rows := tx.rows(page, {"after_id": last}):
        yield from rows
        last = rows[-1][0]


def _wanted(tx: Transaction) -> dict[Any, dict[str, WantedRecord]]:
    found: dict[Any, dict[str, WantedRecord]] = {}
    for row in tx.rows(_WANTED):
        parts = (row.ordinal, row.action, row.reason, row.clear)
        found.setdefault(row.backfill_id, {})[str(row.dag_run_id)] = WantedRecord(row.dag_run_id, row.run_state, parts)
    return found


def xcoms_as_they_stand(tx: Transaction) -> Iterator[XComRecord]:
    """Every value that a task instance left, by its digest."""
    values: dict[str, Any] = {"after_id": -(2**63), "after_key": ""}
    while rows := tx.rows(_XCOMS if tx.postgres else _XCOMS_AS_BYTES, values):
        for row in rows:
            yield XComRecord(row.task_instance_id, row.key, text_digest(_text(row.value)), cell(xcom.c.at, row.at))
        values = {"after_id": rows[-1].task_instance_id, "after_key": rows[-1].key}


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def events_as_they_stand(tx: Transaction, unreadable: Iterable[Unreadable]) -> Iterator[EventRecord]:
    """Every event of which callbacks are to be called, with what it has of its step."""
    bad = {each.row for each in unreadable if each.table == "outbox" and each.column in _OF_EVENT}
    last = -(2**63)
    while rows := tx.rows(_EVENTS, {"after_id": last}):
        for row in rows:
            if str(row.id) not in bad:
                name = " / ".join(str(part) for part in (row.dag_id, row.run_id, row.task_id) if part)
                yield EventRecord(row.event_id, name, (cell(outbox.c.at, row[2]), *row[3:]))
        last = rows[-1].id


def metastore_chain(tx: Transaction) -> Chain:
    """Where the chain of the metastore itself ended."""
    found = tx.row(_METASTORE)
    return Chain() if found is None else Chain(*found)
