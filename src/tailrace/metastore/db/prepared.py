"""Statements made ready once: what SQLAlchemy compiles for SQLite, executed by the driver itself.

A try is a dozen small statements, and SQLAlchemy's contexts and results cost more processor time than SQLite does. The
SQL and the types stay its own. What this cannot execute itself is left to SQLAlchemy (see ``Statements.of``).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import Executable

#: So many statements are kept; the product has some dozens, those made on the fly must not pile up.
_MOST_KEPT = 1000

#: How a compiled statement shows the place of a list.
_LIST = re.compile(r"__\[POSTCOMPILE_(\w+)\]")

_Processor = Callable[[Any], Any]
_Key = tuple[Any, ...]
_NONE: Mapping[str, Any] = {}


class Prepared:
    """One statement, compiled for parameters of these names and lists of these lengths."""

    __slots__ = ("_columns", "_names", "_row", "_template", "sql")

    def __init__(self, compiled: SQLCompiler, sql: str, values: Mapping[str, Any], dialect: Dialect) -> None:
        self.sql = sql
        self._template: list[Any] = []
        self._names: list[tuple[int, str, int | None, _Processor | None]] = []
        lists = {compiled.bind_names[each] for each in compiled.post_compile_params}
        constants = compiled.construct_params(values, escape_names=False)
        for name in compiled.positiontup or ():
            processor = compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect)
            for at in range(len(constants[name])) if name in lists else (None,):
                if name in values:
                    self._names.append((len(self._template), name, at, processor))
                    self._template.append(None)
                else:
                    value = constants[name] if at is None else constants[name][at]
                    self._template.append(processor(value) if processor else value)
        columns = list(compiled.statement.exported_columns)  # type: ignore[union-attr]
        processors = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
        self._columns = [(place, each) for place, each in enumerate(processors) if each is not None]
        self._row = _row_class([each.key for each in columns])

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the statement's marks, as the driver takes them."""
        found = self._template.copy()
        for place, name, at, processor in self._names:
            value = values[name] if at is None else values[name][at]
            found[place] = value if processor is None else processor(value)
        return found

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Any]:
        """The driver's rows as SQLAlchemy gives them: by place and by name, in the types of their columns."""
        if not self._columns:
            return list(map(self._row, found))
        rows = []
        for raw in found:
            cells = list(raw)
            for place, processor in self._columns:
                cells[place] = processor(cells[place])
            rows.append(self._row(cells))
        return rows


class Statements:
    """What one connection's process has prepared, by statement, names of parameters and lengths of the lists."""

    def __init__(self) -> None:
        self._lists: dict[Executable, tuple[str, ...]] = {}
        self._compiled: dict[_Key, SQLCompiler | None] = {}  # by statement and names: lists of all lengths share it
        self._kept: dict[_Key, Prepared | None] = {}

    def of(self, dialect: Dialect, statement: Executable, values: Mapping[str, Any] | None) -> Prepared | None:
        """The statement made ready, or None for one that SQLAlchemy itself must execute.

        That is text, a list without members, and whatever needs values that SQLAlchemy computes at each execution.
        """
        given = values or _NONE
        lists = self._lists.get(statement)
        if lists is None:
            lists = tuple(
                name for name, each in given.items() if hasattr(each, "__len__") and not isinstance(each, str)
            )
            self._lists[statement] = lists
        key: _Key = (statement, *given)
        if lists:
            key += tuple([len(given[name]) for name in lists])
        kept = self._kept
        if key not in kept:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
                self._lists.clear()
                self._compiled.clear()
            kept[key] = self._prepare(dialect, statement, given)
        return kept[key]

    def _prepare(self, dialect: Dialect, statement: Executable, values: Mapping[str, Any]) -> Prepared | None:
        key: _Key = (statement, *values)
        if key not in self._compiled:
            self._compiled[key] = _compile(dialect, statement, values)
        compiled = self._compiled[key]
        if compiled is None:
            return None
        constants = compiled.construct_params(values, escape_names=False)
        if not all(constants[compiled.bind_names[each]] for each in compiled.post_compile_params):
            return None
        sql = _LIST.sub(lambda mark: ", ".join("?" * len(constants[mark[1]])), compiled.string)
        return None if "POSTCOMPILE" in sql else Prepared(compiled, sql, values, dialect)


def _compile(dialect: Dialect, statement: Executable, values: Mapping[str, Any]) -> SQLCompiler | None:
    """The statement as SQL, unless SQLAlchemy has work to do at each execution."""
    compiled = statement.compile(dialect=dialect, column_keys=sorted(values) or None)  # type: ignore[attr-defined]
    if not isinstance(compiled, SQLCompiler) or compiled.isplaintext or compiled.literal_execute_params:
        return None
    return None if compiled.insert_prefetch or compiled.update_prefetch else compiled


def _row_class(names: Sequence[str | None]) -> Callable[[Sequence[Any]], Any]:
    """A tuple whose members have the columns' names as well; a column without one is found by its place only."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        if name is not None and name.isidentifier():
            places.setdefault(name, place)  # of two with one name the first, as SQLAlchemy has it
    mapping = property(lambda row: {name: row[place] for name, place in places.items()})
    named = {name: property(itemgetter(place)) for name, place in places.items()}
    return type("Row", (tuple,), {"__slots__": (), **named, "_mapping": mapping})
