"""Lists page by page: each goes on behind the last row of the page before it, whatever was written meanwhile.

No row is counted away, so that the last page of ten million rows costs what the first one does.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, or_

from tailrace.metastore.db.transaction import Transaction

T = TypeVar("T")

#: The cells of a row by which its list is ordered.
Key = tuple[Any, ...]


class Place(Struct, frozen=True):
    """Where a list goes on: behind the row of this key, or from its beginning; ``reverse``: the other way round."""

    limit: int
    after: Key | None = None
    reverse: bool = False


class Page(Struct, Generic[T], frozen=True):
    """Some of a list; ``last`` is the key behind which it goes on, None where there is no more."""

    items: tuple[T, ...] = ()
    last: Key | None = None


class Order:
    """The columns that a list is ordered by, each with whether it descends; together they are unique."""

    def __init__(self, *columns: tuple[ColumnElement[Any], bool]) -> None:
        self._columns = columns

    def rows(self, tx: Transaction, wanted: Select[Any], place: Place) -> tuple[Sequence[Any], Key | None]:
        """The rows of a page, and the key behind which there are more."""
        columns = self._directed(place)
        ordered = _ordered(wanted, columns)
        if place.after is not None:
            ordered = ordered.where(_behind(columns, place.after))
        rows = tx.rows(ordered.limit(place.limit + 1))
        if len(rows) <= place.limit:
            return rows, None
        last = rows[place.limit - 1]
        return rows[: place.limit], tuple(getattr(last, str(column.key)) for column, _ in columns)

    def first(self, wanted: Select[Any], most: int, place: Place) -> Select[Any]:
        """The first ``most``, from the row on whose cells a key begins with: that of what belongs to these rows."""
        columns = self._directed(place)
        if place.after is not None:
            key = place.after[: len(columns)]
            same = and_(*(column == cell for (column, _), cell in zip(columns, key, strict=True)))
            wanted = wanted.where(or_(same, _behind(columns, key)))
        return _ordered(wanted, columns).limit(most)

    def _directed(self, place: Place) -> Sequence[tuple[ColumnElement[Any], bool]]:
        return [(column, descends != place.reverse) for column, descends in self._columns]


def _ordered(wanted: Select[Any], columns: Sequence[tuple[ColumnElement[Any], bool]]) -> Select[Any]:
    return wanted.order_by(*(column.desc() if descends else column.asc() for column, descends in columns))


def _behind(columns: Sequence[tuple[ColumnElement[Any], bool]], after: Key) -> ColumnElement[bool]:
    """Later by the first column in which they differ. Written out: rows of mixed directions cannot be compared."""
    ways = []
    for at, ((column, descends), value) in enumerate(zip(columns, after, strict=True)):
        same = [other == cell for (other, _), cell in zip(columns[:at], after, strict=False)]
        ways.append(and_(*same, column < value if descends else column > value))
    return or_(*ways)
