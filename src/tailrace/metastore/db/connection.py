"""One process's connection to the metastore: opened, begun, committed, given up. No table is known here.

The driver is in autocommit and every BEGIN is explicit: a read is one snapshot that always ends in a rollback, a write
takes its lock when it begins (SQLite) and commits as a whole. One connection per process is enough: a process does
one thing at a time, and a pool would only hide a transaction left open. A connection never survives a fork.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import sqlalchemy
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tailrace.errors import CommandError, CommitUnknown, EnvironmentBroken, InternalError, TailraceError
from tailrace.metastore.db.address import Address, address_named
from tailrace.metastore.db.clock import Clock, MachineClock, TransactionTime, of_server, read
from tailrace.metastore.db.driver_errors import ConnectionLost, Unreachable, contradicted, of_driver, of_value
from tailrace.metastore.db.library_logs import keep_library_logs
from tailrace.metastore.db.prepared import Statements
from tailrace.metastore.db.reading_file import ReadingFile
from tailrace.metastore.db.soundness import Soundness
from tailrace.metastore.db.sqlite_file import SqliteFile
from tailrace.metastore.db.transaction import SQLiteTransaction, Transaction
from tailrace.metastore.db.write_lock import execute_once_free
from tailrace.model.plain_text import on_one_line

R = TypeVar("R")

_SERVER_CLOCK = "SELECT clock_timestamp(), pg_postmaster_start_time()"

_BEGIN_READ, _BEGIN_WRITE = "BEGIN", "BEGIN IMMEDIATE"

#: A file that is another one after each of so many openings is nothing to rely on.
_OPENINGS = 3

#: Connections of a parent process, kept so that collecting them cannot close what the parent still uses.
_inherited: list[Connection] = []


class Database:
    """Where the metastore lives, and this process's one connection to it (opened at first use)."""

    def __init__(
        self,
        address: Address | str,
        *,
        clock: Clock | None,
        wait_seconds: float,
        sqlite_synchronous: str = "normal",
        reads_only: bool = False,
        person: str | None = None,
    ) -> None:
        """``reads_only``: nothing is made or written, so that nobody need be allowed to. ``person``: for whom."""
        keep_library_logs()
        self.address = address if isinstance(address, Address) else address_named(address)
        self.postgres = self.address.postgres
        self.where = str(self.address) if self.address.file is None else on_one_line(self.address.file)
        self.reads_only, self._person = reads_only, person
        file_kind = ReadingFile if reads_only else SqliteFile
        self._file = None if self.address.file is None else file_kind(self.address.file)
        self._soundness = None if self._file is None else Soundness(self._file.uri, self._file.path)
        self._synchronous = sqlite_synchronous
        self._wait_seconds = wait_seconds
        self._clock = clock if clock is not None or self.postgres else MachineClock()
        self._connection: Connection | None = None
        self._pid = os.getpid()
        self._statements = Statements()
        self._sqlite_waits = True  # as the driver opens a connection
        self._engine = self._create_engine()

    @property
    def file(self) -> Path | None:
        """The SQLite file, or None."""
        return self.address.file

    def is_not_there_yet(self) -> bool:
        """Whether it is a SQLite file that nobody has made. Raises EnvironmentBroken if it was lost."""
        return self._file is not None and self._file.is_not_there_yet()

    def connect(self) -> None:
        """Open this process's connection, if it has none. Raises Unreachable."""
        self._connected()

    def read(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work`` over one consistent snapshot, then roll back. Raises EnvironmentBroken."""
        connection = self._connected()
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if self.postgres else _BEGIN_READ
        try:
            self._control(connection, begin)
            result = work(self._transaction(connection))
            self.require_same_file()
            self._control(connection, "ROLLBACK")
        except (DBAPIError, UnicodeError, OverflowError) as error:
            raise self._failed(error) from error
        except BaseException as error:
            self._given_up(error)
            raise
        return result

    def write(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work`` and commit it, or leave nothing.

        Raises CommitUnknown when the connection died while committing, ConnectionLost or Contended when nothing landed
        and it may be repeated, ValueRefused for a value that cannot be stored, EnvironmentBroken otherwise; a
        constraint's IntegrityError is let through.
        """
        connection = self._connected()
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE" if self.postgres else _BEGIN_WRITE
        committing = False
        try:
            self._control(connection, begin)
            result = work(self._transaction(connection))
            self.require_same_file()
            committing = True
            self._control(connection, "COMMIT")
        except sqlalchemy.exc.IntegrityError:
            self._roll_back()
            raise
        except (DBAPIError, UnicodeError, OverflowError) as error:
            failure = self._failed(error)
            if committing and isinstance(failure, ConnectionLost):
                raise CommitUnknown(f"{failure}; the last write may or may not have landed") from error
            raise failure from error
        except BaseException as error:
            self._given_up(error)
            raise
        return result

    def require_sound(self, *, if_touched: bool = False) -> None:
        """Raise EnvironmentBroken if the SQLite file is found to be damaged, where a look is cheap.

        ``if_touched``: look only if it was written to since: by SQLite as it moves its log there, or by anybody else.
        """
        if self._file is not None and self._soundness is not None:
            self.require_same_file()
            if not self._soundness.is_due(if_touched=if_touched):
                return
            if self._soundness.is_damaged():
                raise self._file.damaged()
            if self._connection is not None:  # what it has in memory may not be what the file holds by now
                self._connection.exec_driver_sql("PRAGMA shrink_memory")

    def require_same_file(self) -> None:
        """Raise EnvironmentBroken if the file is not the one that was opened: what is done to it counts for nothing."""
        if self._file is None:
            return
        try:
            self._file.require_same()
        except EnvironmentBroken:
            if self.reads_only:
                self.release()
            else:
                self._save_log()
            raise

    def _save_log(self) -> None:
        """Move what is in the write-ahead log to the file, wherever that is by now: nobody else may find the log."""
        self._roll_back()
        if self._connection is None or (self._file is not None and self._file.is_emptied()):
            return
        with suppress(Exception):  # somebody else reads or writes, and will do the same
            driver = cast(sqlite3.Connection, self._connection.connection.dbapi_connection)
            self._let_sqlite_wait(driver, True)
            driver.execute("PRAGMA wal_checkpoint(FULL)")

    def _transaction(self, connection: Connection) -> Transaction:
        if self.postgres:
            return Transaction(connection, True, self._moment, self._person)
        return SQLiteTransaction(connection, self._moment, self._person, self._statements)

    def _control(self, connection: Connection, statement: str) -> None:
        """Begin or end a transaction. SQLite's driver is asked directly: these are half the statements there are."""
        if self.postgres:
            connection.exec_driver_sql(statement)
            return
        driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        try:
            if statement == _BEGIN_WRITE:
                self._until_free(driver, statement)
                return
            if statement == _BEGIN_READ:
                self._let_sqlite_wait(driver, True)
            driver.execute(statement)
        except sqlite3.Error as error:
            raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error

    def _until_free(self, driver: sqlite3.Connection, statement: str) -> None:
        """Execute a statement once others let go of SQLite's one write lock."""
        self._let_sqlite_wait(driver, False)
        execute_once_free(driver, statement, self._wait_seconds)

    def _let_sqlite_wait(self, driver: sqlite3.Connection, wait: bool) -> None:
        """Whether SQLite itself waits for a lock. Said only when it changes: a worker writes and writes."""
        if self._sqlite_waits != wait:
            driver.execute(f"PRAGMA busy_timeout = {int(self._wait_seconds * 1000) if wait else 0}")
            self._sqlite_waits = wait

    def release(self) -> None:
        """Close the connection; the next use opens a new one. SQLite needs this before any fork (its locks)."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._file is not None:
            self._file.closing()
        if self._pid != os.getpid():
            _inherited.append(connection)
            return
        try:
            connection.close()
        except DBAPIError:
            connection.invalidate()
        self._engine.dispose()

    def _connected(self) -> Connection:
        if self._pid != os.getpid():
            self.release()
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        if self._connection is None:
            self._connection = self._open()
        return self._connection

    def _open(self) -> Connection:
        if self._file is None:
            return self._opened()
        for attempt in range(_OPENINGS):
            try:
                expected = self._file.before_opening()
            except OSError as error:
                raise EnvironmentBroken(
                    f"metastore {self.where}: its folder cannot be made ({error.strerror}); "
                    "make it writable or set TAILRACE_HOME to another folder"
                ) from error
            if self.reads_only:  # how the file is opened depends on what is beside it now
                self._engine = self._create_engine()
            try:
                connection = self._opened()
            except Unreachable:
                if self.reads_only and attempt + 1 < _OPENINGS:  # the logs beside it have just come or gone
                    continue
                raise
            if self._file.opened(expected):
                return connection
            connection.close()
        raise Unreachable(f"metastore {self.where}: somebody keeps putting another file in its place")

    def _opened(self) -> Connection:
        connection: Connection | None = None
        try:
            connection = self._engine.connect()
            self._sqlite_waits = True
            if self.reads_only and not self.postgres:
                connection.exec_driver_sql("PRAGMA query_only = ON")
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master").all()
            elif not self.postgres:
                self._use_wal(connection)
                connection.exec_driver_sql(f"PRAGMA synchronous = {self._synchronous.upper()}")
                connection.exec_driver_sql("PRAGMA foreign_keys = ON")
                # A checkpoint waits for the disk: every 16 MB rather than every 4.
                connection.exec_driver_sql("PRAGMA wal_autocheckpoint = 4000")
                connection.exec_driver_sql("SELECT 1 FROM sqlite_master").all()  # opens the log
        except (DBAPIError, UnicodeDecodeError) as error:
            if connection is not None:
                connection.invalidate()
                connection.close()
            if not isinstance(error, DBAPIError):
                raise self._no_text(error) from error
            raise Unreachable(str(self._failure(error))) from error
        return connection

    def _use_wal(self, connection: Connection) -> None:
        """Switch the file to its write-ahead log. SQLite does not wait by itself here: two first jobs would collide."""
        statement = "PRAGMA journal_mode = WAL"
        driver = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        try:
            self._until_free(driver, statement)
            self._let_sqlite_wait(driver, True)
        except sqlite3.Error as error:
            raise DBAPIError.instance(statement, None, error, sqlite3.Error) from error

    def _moment(self, connection: Connection) -> TransactionTime:
        if self._clock is not None:
            return read(self._clock)
        now, started = connection.exec_driver_sql(_SERVER_CLOCK).one()
        return of_server(now, started)

    def _failed(self, error: DBAPIError | UnicodeError | OverflowError) -> TailraceError:
        if isinstance(error, UnicodeDecodeError) and self._soundness is not None and self._soundness.is_damaged():
            self._roll_back()
            return self._no_text(error)  # else it is of a value that has half a character
        if (refused := of_value(error, self.where)) is not None or not isinstance(error, DBAPIError):
            self._roll_back()
            return refused or InternalError(str(error))
        failure = self._failure(error)
        self._roll_back()
        try:
            self.require_same_file()
        except EnvironmentBroken as cause:
            return cause
        return failure

    def _no_text(self, error: UnicodeDecodeError) -> TailraceError:
        """What was read is no text: SQLite's own message repeats the bytes of a damaged file."""
        if self._file is None:
            return InternalError(str(error))
        try:
            self.require_same_file()
        except EnvironmentBroken as cause:
            return cause
        return self._file.damaged()

    def _failure(self, error: DBAPIError) -> EnvironmentBroken:
        if self._file is not None and self._file.was_opened and "not a database" in str(error.orig):
            return self._file.damaged()  # it was one
        return of_driver(
            error,
            self.where,
            postgres=self.postgres,
            wait_seconds=self._wait_seconds,
            hide=self.address.hide_in,
        )

    def contradicted(self, error: sqlalchemy.exc.IntegrityError) -> EnvironmentBroken:
        """What is raised when a constraint stays in the way of rows that a snapshot says are not there."""
        if self._file is not None and self._soundness is not None and self._soundness.is_damaged():
            return self._file.damaged()
        return contradicted(error, self.where)

    def _given_up(self, error: BaseException) -> None:
        """Roll back. What nobody foresaw may come of a damaged file, whose rows are not what was written."""
        self._roll_back()
        foreseen = not isinstance(error, Exception) or isinstance(error, (TailraceError, DBAPIError))
        if self.reads_only and not foreseen:  # what was read may be of two moments
            self.require_same_file()
        if self._file is not None and self._soundness is not None and not foreseen and self._soundness.is_damaged():
            raise self._file.damaged() from error

    def _roll_back(self) -> None:
        """End a failed transaction; a connection that cannot even do that is dropped, which ends it for us."""
        connection = self._connection
        if connection is None:
            return
        try:
            if self.postgres or connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                connection.exec_driver_sql("ROLLBACK")
        except Exception:
            self._connection = None
            if self._file is not None:
                self._file.closing()
            connection.invalidate()
            connection.close()

    def _create_engine(self) -> Engine:
        if self._synchronous not in ("normal", "full"):
            raise CommandError(f"sqlite_synchronous is 'normal' or 'full', not {self._synchronous!r}")
        if self.postgres:
            wait = int(self._wait_seconds * 1000)
            # A stuck session must not hold a guard row for ever: the server ends a transaction left idle.
            options = f"-c lock_timeout={wait} -c idle_in_transaction_session_timeout={2 * wait} -c timezone=UTC"
            arguments: dict[str, Any] = {"options": options, "connect_timeout": 10}
        else:
            arguments = {"timeout": self._wait_seconds}
        try:
            return sqlalchemy.create_engine(
                self._url(), isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args=arguments
            )
        except ModuleNotFoundError as error:
            raise EnvironmentBroken(
                f"metastore {self.where}: the PostgreSQL driver is not installed; `pip install 'psycopg[binary]'`"
            ) from error

    def _url(self) -> URL:
        """The address as SQLAlchemy takes it, built from its parts: nothing in them is read a second time."""
        if self._file is not None:
            return URL.create(
                "sqlite", database=self._file.uri, query={"uri": "true", **dict(parse_qsl(self._file.mode))}
            )
        address = self.address
        return URL.create(
            "postgresql+psycopg",
            username=address.user,
            password=address.password,
            host=address.host,
            port=address.port,
            database=address.database,
            query=dict(address.options),
        )
