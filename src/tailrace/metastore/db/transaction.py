"""An open transaction: runs statements and knows the time. Whoever holds one knows no connection and no driver."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import Executable

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.prepared import Prepared, Statements

T = TypeVar("T")

#: How many values one IN list carries, well under every database's limit.
BATCH = 500


def in_batches(values: Sequence[T], size: int = BATCH) -> Iterator[list[T]]:
    """The values in lists of at most ``size``."""
    for start in range(0, len(values), size):
        yield list(values[start : start + size])


class Transaction:
    """One open transaction: runs statements and knows the time. Valid only inside the callable it was given to."""

    __slots__ = ("_connection", "_moment", "_read_moment", "person", "postgres")

    def __init__(
        self,
        connection: Connection,
        postgres: bool,
        read_moment: Callable[[Connection], TransactionTime],
        person: str | None,
    ) -> None:
        self._connection = connection
        self._read_moment = read_moment
        self._moment: TransactionTime | None = None
        self.postgres = postgres
        self.person = person  # user@host of who opened the metastore; None: nobody said

    @property
    def moment(self) -> TransactionTime:
        """The time of this transaction: one reading, taken at its first use."""
        if self._moment is None:
            self._moment = self._read_moment(self._connection)
        return self._moment

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Every row the statement returns."""
        return self._connection.execute(statement, values).all()

    def row(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first row, or None."""
        return self._connection.execute(statement, values).first()

    def value(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row; None where there is no row."""
        row = self.row(statement, values)
        return None if row is None else row[0]

    def column(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Any]:
        """The only column of every row."""
        return [value for (value,) in self.rows(statement, values)]

    def change(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        """How many rows the statement changed."""
        return self._connection.execute(statement, values).rowcount

    def change_many(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> int:
        """The same statement once for each mapping; how many rows they changed together."""
        return self._connection.execute(statement, values).rowcount if values else 0

    @property
    def connection(self) -> Connection:
        """The connection, for schema work only."""
        return self._connection


class SQLiteTransaction(Transaction):
    """A transaction whose statements the driver executes as they were prepared, without SQLAlchemy's work at each."""

    __slots__ = ("_driver", "_statements")

    def __init__(
        self,
        connection: Connection,
        read_moment: Callable[[Connection], TransactionTime],
        person: str | None,
        statements: Statements,
    ) -> None:
        super().__init__(connection, False, read_moment, person)
        self._driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        self._statements = statements

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Sequence[Any]:
        """Every row the statement returns."""
        prepared = self._prepared(statement, values)
        if prepared is None:
            return super().rows(statement, values)
        return prepared.rows(self._fetched(prepared, values, -1))

    def row(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first row, or None."""
        prepared = self._prepared(statement, values)
        if prepared is None:
            return super().row(statement, values)
        return next(iter(prepared.rows(self._fetched(prepared, values, 1))), None)

    def change(self, statement: Executable, values: Mapping[str, Any] | None = None) -> int:
        """How many rows the statement changed."""
        prepared = self._prepared(statement, values)
        return super().change(statement, values) if prepared is None else self._execute(prepared, values).rowcount

    def change_many(self, statement: Executable, values: Sequence[Mapping[str, Any]]) -> int:
        """The same statement once for each mapping; how many rows they changed together."""
        prepared = self._prepared(statement, values[0]) if values else None
        if prepared is None:
            return super().change_many(statement, values)
        try:
            return self._driver.executemany(prepared.sql, [prepared.parameters(each) for each in values]).rowcount
        except sqlite3.Error as error:
            raise DBAPIError.instance(prepared.sql, None, error, sqlite3.Error) from error

    def _prepared(self, statement: Executable, values: Mapping[str, Any] | None) -> Prepared | None:
        return self._statements.of(self._connection.dialect, statement, values)

    def _fetched(self, prepared: Prepared, values: Mapping[str, Any] | None, most: int) -> list[Any]:
        """So many rows at most (-1: all). No cursor stays open: a half-read one would keep its lock."""
        cursor = self._execute(prepared, values)
        try:
            return cursor.fetchall() if most < 0 else cursor.fetchmany(most)
        except sqlite3.Error as error:
            raise DBAPIError.instance(prepared.sql, None, error, sqlite3.Error) from error
        finally:
            cursor.close()

    def _execute(self, prepared: Prepared, values: Mapping[str, Any] | None) -> sqlite3.Cursor:
        parameters = prepared.parameters(values or {})
        try:
            return self._driver.execute(prepared.sql, parameters)
        except sqlite3.Error as error:
            raise DBAPIError.instance(prepared.sql, parameters, error, sqlite3.Error) from error
