"""Column types and the checks that enums imply. No table and no statement lives here.

Moments are aware UTC datetimes in Python; PostgreSQL keeps them as timestamptz, SQLite as UTC text. JSON is canonical
text on both, so that the same value is the same bytes everywhere.
"""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, DateTime, Dialect
from sqlalchemy.types import TypeDecorator

from tailrace.model.json_values import json_text


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; binding a naive one is a bug of ours and raises."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Aware in, UTC out; SQLite's driver gets it without its zone, which would be written as text."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without time zone reached the metastore: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Always aware, always UTC. One function instead of the decorator's three: snapshots are full of NULLs."""
        return _from_text if dialect.name == "sqlite" else _from_driver


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


def _from_driver(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def sql_list(states: Iterable[StrEnum]) -> str:
    """``'a', 'b'`` in the enum's order: literals, because a partial index is used only where they are literal."""
    return ", ".join(f"'{state.value}'" for state in sorted(states, key=_place))


def _place(state: StrEnum) -> int:
    return list(type(state)).index(state)


def one_of(column: str, states: Iterable[StrEnum]) -> str:
    """The SQL condition that ``column`` is one of these states."""
    return f"{column} IN ({sql_list(states)})"


def state_check(column: str, states: type[StrEnum]) -> CheckConstraint:
    """The check that the column holds a member of the enum, generated from it."""
    return CheckConstraint(one_of(column, states), name=f"{column}_is_known")


def to_json(value: Any) -> str:
    """Canonical JSON text: sorted keys, no spaces, no NaN; whatever is in its texts, every store takes it."""
    return json_text(value, sort_keys=True)


def from_json(text: str) -> Any:
    """What ``to_json`` wrote."""
    return json.loads(text)
