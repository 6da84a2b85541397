"""Executes the metastore's statements as SQLAlchemy compiles them for SQLite, without its work at each execution.

A world lives for milliseconds and executes hundreds of statements; most of their time would go into contexts and
results that nobody looks at. The SQL, the types and the errors stay SQLAlchemy's own.
"""

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import Executable

from tailrace.metastore.clock import Moment
from tailrace.metastore.connection import Transaction

#: So many statements are kept; the product has a few dozen, those made on the fly must not pile up.
_MOST_KEPT = 1000

_Processor = Callable[[Any], Any]
_Key = tuple[Any, ...]
_NONE: Mapping[str, Any] = {}


@dataclass(slots=True)
class Cache:
    """What was prepared before, by statement, names of parameters and lengths of those that are lists."""

    lists: dict[Executable, tuple[str, ...]] = field(default_factory=dict)
    prepared: dict[_Key, "Prepared | None"] = field(default_factory=dict)


class Prepared:
    """One statement, compiled for parameters of these names and lists of these lengths."""

    __slots__ = ("_columns", "_names", "_row", "_template", "sql")

    def __init__(self, compiled: SQLCompiler, values: Mapping[str, Any], dialect: Dialect) -> None:
        template = compiled.construct_params(values, escape_names=False)
        processors: dict[str, _Processor] = dict(cast(Mapping[str, _Processor], compiled._bind_processors))
        expanded = {}
        self.sql = compiled.string
        names: Sequence[str] = compiled.positiontup or ()
        if compiled.literal_execute_params or compiled.post_compile_params:
            state = compiled._process_parameters_for_postcompile(template)
            self.sql, names = state.statement, state.positiontup or ()
            processors |= cast(Mapping[str, _Processor], state.processors)
            expanded = {
                each: (name, at) for name, parts in state.parameter_expansion.items() for at, each in enumerate(parts)
            }
            template = {**template, **state.additional_parameters}
        self._template: list[Any] = []
        self._names: list[tuple[int, str, int | None, _Processor | None]] = []
        for place, name in enumerate(names):
            source, at = expanded.get(name, (name, None))
            processor = processors.get(name)
            if source in values:
                self._names.append((place, source, at, processor))
                self._template.append(None)
            else:
                value = template[name]
                self._template.append(processor(value) if processor else value)
        self._columns = [
            (place, processor)
            for place, entry in enumerate(compiled._result_columns)
            if (processor := entry.type._cached_result_processor(dialect, None)) is not None
        ]
        self._row = _row_class(tuple(entry.keyname for entry in compiled._result_columns))._make

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the statement's marks, as the driver takes them."""
        found = self._template.copy()
        for place, name, at, processor in self._names:
            value = values[name] if at is None else values[name][at]
            found[place] = value if processor is None else processor(value)
        return found

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Any]:
        """Rows as the product reads them: by place and by name."""
        if not self._columns:
            return list(map(self._row, found))
        rows = []
        for raw in found:
            cells = list(raw)
            for place, processor in self._columns:
                cells[place] = processor(cells[place])
            rows.append(self._row(cells))
        return rows


class QuickTransaction(Transaction):
    """A transaction of the product over prepared statements."""

    __slots__ = ("_cache", "_dialect", "_driver")

    def __init__(
        self,
        connection: Connection,
        read_moment: Callable[[Connection], Moment],
        cache: Cache,
    ) -> None:
        super().__init__(connection, False, read_moment)
        self._driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        self._dialect = connection.dialect
        self._cache = cache

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Every row the statement answers."""
        prepared = self._of(statement, values)
        if prepared is None:
            return super().rows(statement, values)
        return prepared.rows(self._execute(prepared, values).fetchall())

    def row(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first row, or None."""
        prepared = self._of(statement, values)
        if prepared is None:
            return super().row(statement, values)
        cursor = self._execute(prepared, values)
        raw = cursor.fetchone()
        cursor.close()
        return None if raw is None else prepared.rows([raw])[0]

    def change(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        """How many rows the statement changed."""
        prepared = self._of(statement, values)
        return super().change(statement, values) if prepared is None else self._execute(prepared, values).rowcount

    def change_many(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> int:
        """The same statement once for each mapping; how many rows they changed together."""
        prepared = self._of(statement, values[0]) if values else None
        if prepared is None:
            return super().change_many(statement, values)
        try:
            return self._driver.executemany(prepared.sql, [prepared.parameters(each) for each in values]).rowcount
        except sqlite3.Error as error:
            raise DBAPIError.instance(prepared.sql, None, error, sqlite3.Error) from error

    def _execute(self, prepared: Prepared, values: Mapping[str, Any] | None) -> sqlite3.Cursor:
        parameters = prepared.parameters(values or {})
        try:
            return self._driver.execute(prepared.sql, parameters)
        except sqlite3.Error as error:
            raise DBAPIError.instance(prepared.sql, parameters, error, sqlite3.Error) from error

    def _of(self, statement: Executable, values: Mapping[str, Any] | None) -> Prepared | None:
        """The statement made ready, or None for one that SQLAlchemy itself must execute."""
        given = values or _NONE
        lists = self._cache.lists.get(statement)
        if lists is None:
            lists = tuple(name for name, value in given.items() if isinstance(value, list | tuple))
            self._cache.lists[statement] = lists
        key: _Key = (statement, *given)
        if lists:
            key += tuple([len(given[name]) for name in lists])
        kept = self._cache.prepared
        if key not in kept:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
                self._cache.lists.clear()
            kept[key] = self._prepare(statement, given)
        return kept[key]

    def _prepare(self, statement: Executable, values: Mapping[str, Any]) -> Prepared | None:
        compiled = statement.compile(dialect=self._dialect, column_keys=sorted(values) or None)  # type: ignore[attr-defined]
        if not isinstance(compiled, SQLCompiler) or compiled.isplaintext:
            return None
        if compiled.insert_prefetch or compiled.update_prefetch:
            return None
        return Prepared(compiled, values, self._dialect)


def _row_class(names: tuple[str, ...]) -> Any:
    plain = namedtuple("Row", names, rename=True)  # type: ignore[misc]
    return type(
        "Row", (plain,), {"__slots__": (), "_mapping": property(lambda row: dict(zip(names, row, strict=True)))}
    )
