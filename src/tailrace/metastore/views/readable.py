"""Finds the cells that nobody can read, in every table: no value of the column's type, of no enum, no JSON.

The database itself is asked, so that nothing large is read for it: SQLite keeps in a column whatever it is given,
PostgreSQL sees to the types. What an index or a check would have refused is looked at all the same: whoever changes
rows by hand need not have them on.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from msgspec import Struct, convert
from sqlalchemy import Boolean, Column, Double, Integer, Table, Text, text
from sqlalchemy.exc import DBAPIError

from tailrace.audit.records import Unreadable
from tailrace.errors import InternalError
from tailrace.metastore.db.columns import UtcDateTime, from_json
from tailrace.metastore.db.tables import metadata
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.evidence import StoredBlocker, StoredStop
from tailrace.model.callbacks import EventState
from tailrace.model.keys import RunType
from tailrace.model.parts import BackfillPart, RunPart
from tailrace.model.states import BackfillState, DagRunState, JobKind, JobState, TaskInstanceState
from tailrace.model.tagged_values import MARK, without_mark
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import DateAction, Reprocess

#: Columns that hold a value of an enum. Those of history depend on one another: the audit reads them.
_ENUMS: Mapping[str, Iterable[str]] = {
    "backfill.state": BackfillState,
    "backfill.reprocess": Reprocess,
    "backfill_run.run_state": DagRunState,
    "backfill_run.action": DateAction,
    "dag_run.state": DagRunState,
    "dag_run.run_type": RunType,
    "job.kind": JobKind,
    "outbox.status": EventState,
    "job.state": JobState,
    "task_instance.state": TaskInstanceState,
    "task_instance.stopping_to": TaskInstanceState,
    "task_instance.cause": Cause,
}


_Process = list[str | int]
#: Columns that hold JSON of one shape. The evidence of history is read row by row by the audit.
_SHAPES: Mapping[str, Any] = {
    "backfill.conf": dict[str, Any],
    "backfill.part": BackfillPart,
    "backfill_run.clear": list[str],
    "dag_run.conf": dict[str, Any],
    "dag_run.clear_on_activation": list[str],
    "dag_run.blocked": list[StoredBlocker],
    "dag_run.failed_before": list[tuple[int, int]],
    "dag_run.stopped_by": StoredStop,
    "dag_run.part": RunPart,
    "task_instance.followed": list[str],
    "task_instance.holder": tuple[_Process, _Process | None],
}
#: Columns that hold any JSON, in many or large rows: only the database looks at them.
_JSON = ("write_record.result", "xcom.value")

_DIGIT = "[0-9]"
_MOMENT = (
    "typeof({0}) = 'text' AND substr({0}, 1, 19) IS datetime(substr({0}, 1, 19), '+0 days') "
    f"AND (length({{0}}) = 19 OR substr({{0}}, 20) GLOB '.{_DIGIT * 6}')"
)
#: How SQLite, which keeps whatever it is given, is asked whether a cell is of its column's type; the first that fits.
_TYPES: Sequence[tuple[type[Any], str, str]] = (
    (Boolean, "typeof({0}) = 'integer' AND {0} IN (0, 1)", "0 or 1"),
    (UtcDateTime, _MOMENT, "a moment"),
    (Double, "typeof({0}) IN ('real', 'integer')", "a number"),
    (Integer, "typeof({0}) = 'integer'", "a whole number"),
    (Text, "typeof({0}) = 'text'", "text"),
)
_POSTGRES_WITH_JSON = 160_000


class _Test(Struct, frozen=True):
    """What the database is asked about a column: where a cell that is not NULL can be read, and what is expected."""

    column: str
    condition: str
    expected: str
    nullable: bool

    @property
    def whole(self) -> str:
        """The condition, for any cell."""
        if self.nullable:
            return f'("{self.column}" IS NULL OR {self.condition})'
        return f'("{self.column}" IS NOT NULL AND {self.condition})'


def unreadable_cells(tx: Transaction) -> Iterator[Unreadable]:
    """Every cell that cannot be read, by table and row."""
    json = _no_json(tx)
    for table in metadata.sorted_tables:
        yield from _by_type(tx, table)
        for column in table.columns:
            name = f"{table.name}.{column.name}"
            if name in _SHAPES:
                yield from _by_shape(tx, table, column.name, f'"{column.name}" IS NOT NULL', _SHAPES[name])
            elif name in _JSON and json is not None:
                yield from _by_shape(tx, table, column.name, json.format(column.name), Any)
    if not tx.postgres:
        yield from _referring_to_nothing(tx)


def _no_json(tx: Transaction) -> str | None:
    """How the database is asked for what is no JSON; PostgreSQL knows from version 16 on.

    It is looked at here once more: NaN is JSON to us, and it may be deeper than the database goes. Before tagged JSON
    there is a mark.
    """
    tagged, rest = f"substr(\"{{0}}\", 1, {len(MARK)}) = '{MARK}'", f'substr("{{0}}", {len(MARK) + 1})'
    json = f'CASE WHEN {tagged} THEN {rest} ELSE "{{0}}" END'
    if not tx.postgres:
        return f"typeof(\"{{0}}\") = 'text' AND NOT json_valid({json})"
    knows = int(tx.value(text("SHOW server_version_num"))) >= _POSTGRES_WITH_JSON
    return f"({json}) IS NOT JSON" if knows else None


def _by_type(tx: Transaction, table: Table) -> Iterator[Unreadable]:
    tests = [test for column in table.columns if (test := _test(tx.postgres, table, column)) is not None]
    if not tests:
        return
    wrong = " OR ".join(f"NOT {test.whole}" for test in tests)
    for key, cells in _rows(tx, table, [test.whole for test in tests], wrong):
        for test, readable in zip(tests, cells, strict=True):
            if not readable:
                yield Unreadable(table.name, _named(key), test.column, test.expected)


def _test(postgres: bool, table: Table, column: Column[Any]) -> _Test | None:
    """What is asked about a column, if anything: PostgreSQL has seen to the types."""
    name, quoted, nullable = f"{table.name}.{column.name}", f'"{column.name}"', bool(column.nullable)
    if name in _ENUMS:
        values = [str(value) for value in _ENUMS[name]]
        known = ", ".join(f"'{value}'" for value in values)
        return _Test(column.name, f"{quoted} IN ({known})", f"one of {', '.join(values)}", nullable)
    if postgres:
        return None
    for kind, condition, expected in _TYPES:
        if isinstance(column.type, kind):
            return _Test(column.name, condition.format(quoted), expected, nullable)
    raise InternalError(f"{name}: nobody has said how a {column.type} is read")


def _by_shape(tx: Transaction, table: Table, name: str, where: str, shape: Any) -> Iterator[Unreadable]:
    wanted = f'"{name}"' if tx.postgres else f'CAST("{name}" AS BLOB)'  # whatever the driver takes for text
    for key, [cell] in _rows(tx, table, [wanted], where):
        if not _has_shape(cell, shape):
            yield Unreadable(table.name, _named(key), name, "JSON" if shape is Any else "JSON of its shape")


def _has_shape(cell: str | bytes, shape: Any) -> bool:
    try:
        written = cell if isinstance(cell, str) else cell.decode()
        convert(from_json(without_mark(written) if shape is Any else written), shape)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _referring_to_nothing(tx: Transaction) -> Iterator[Unreadable]:
    """Rows that belong to a row which is not there: PostgreSQL lets nobody make them."""
    for table, row, parent, _ in tx.rows(text("PRAGMA foreign_key_check")):
        yield Unreadable(table, str(row), "", f"a row of {parent} to belong to")


# --- bytes that are no text ---------------------------------------------------------------------------------


def is_undecodable(tx: Transaction) -> bool:
    """Whether some text is none, which ends whatever reads it: the driver is let read it all (SQLite)."""
    try:
        for table in metadata.sorted_tables:
            for _ in _rows(tx, table, _texts(table), "1"):
                pass
    except DBAPIError as error:
        if "Could not decode to UTF-8" not in str(error):
            raise
        return True
    return False


def _texts(table: Table) -> list[str]:
    """The columns of text; not those of large JSON, which nobody reads here."""
    texts = [column.name for column in table.columns if isinstance(column.type, (Text, UtcDateTime))]
    return [f'"{name}"' for name in texts if f"{table.name}.{name}" not in _JSON]


@contextmanager
def raw_text(tx: Transaction) -> Iterator[None]:
    """Let text that is none come as bytes meanwhile, instead of ending whatever reads it (SQLite)."""
    driver = cast(sqlite3.Connection, tx.connection.connection.dbapi_connection)
    driver.text_factory = _text_or_bytes
    try:
        yield
    finally:
        driver.text_factory = str


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def undecodable_cells(tx: Transaction) -> Iterator[Unreadable]:
    """Every text cell whose bytes are no text: to be asked within ``raw_text``. It reads all there is."""
    for table in metadata.sorted_tables:
        names = _texts(table)
        for key, cells in _rows(tx, table, names, "1"):
            for name, cell in zip(names, cells, strict=True):
                if isinstance(cell, bytes):
                    yield Unreadable(table.name, _named(key), name.strip('"'), "text")


# --- rows ---------------------------------------------------------------------------------------------------


def _rows(
    tx: Transaction, table: Table, wanted: Sequence[str], where: str
) -> Iterator[tuple[tuple[object, ...], Sequence[Any]]]:
    """The keys of the rows for which a condition holds, with what is wanted of each, as the driver gives it."""
    keys = [f'"{column.name}"' for column in table.primary_key.columns]
    statement = f'SELECT {", ".join([*keys, *wanted])} FROM "{table.name}" WHERE {where} ORDER BY {", ".join(keys)}'
    with tx.connection.exec_driver_sql(statement) as found:  # one after the other: never a whole table in memory
        for row in found:
            yield tuple(row[: len(keys)]), row[len(keys) :]


def _named(key: tuple[object, ...]) -> str:
    return " / ".join(str(part) for part in key)
