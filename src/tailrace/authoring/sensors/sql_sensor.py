"""A sensor of a database: runs a query through a Connection and looks at the first row."""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Unpack
from urllib.parse import quote

from tailrace.authoring.arguments.declarations import arguments_of
from tailrace.authoring.arguments.sensor_arguments import CONN_ID, SQL, SqlArguments
from tailrace.authoring.sensors.poking import BaseSensorOperator, PokeReturnValue
from tailrace.errors import TaskFailed
from tailrace.secrets.connection import Connection
from tailrace.secrets.reaching import postgres_arguments, sqlite_file

if TYPE_CHECKING:
    from tailrace.authoring.operators.operator_arguments import SqlSensorArguments

#: So long a database may take to be reached, and a SQLite file to be free, in seconds.
_REACHED_IN = 10


class SqlSensor(BaseSensorOperator):
    """Waits until ``sql`` returns a row whose first cell is true; ``success`` and ``failure`` decide otherwise.

    The Connection is one of type sqlite or postgres. Nothing that the query writes is kept.
    """

    template_fields: ClassVar[Sequence[str]] = ("sql", "parameters")
    template_ext: ClassVar[Sequence[str]] = (".sql",)
    file_fields: ClassVar[Sequence[str] | None] = ("sql",)
    _declared = {**BaseSensorOperator._declared, **arguments_of(SqlArguments), "conn_id": CONN_ID, "sql": SQL}
    conn_id: str
    sql: Any
    parameters: Any
    success: Callable[[Any], Any] | None
    failure: Callable[[Any], Any] | None
    selector: Callable[[Any], Any] | None
    fail_on_empty: bool

    if TYPE_CHECKING:

        def __init__(self, **arguments: Unpack[SqlSensorArguments]) -> None: ...

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        """Run the query, and look at its first row."""
        row = self._first_row()
        if row is None:
            if self.fail_on_empty:
                raise NothingFound("its query returned no row, and fail_on_empty is set")
            print("the query returned no row", flush=True)
            return False
        found = row[0] if self.selector is None else self.selector(row)
        if self.failure is not None and self.failure(found):
            raise TaskFailed("its failure function is true of what the query returned")
        return bool(found) if self.success is None else self.success(found)

    def _first_row(self) -> Any:
        connection = Connection.get(self.conn_id)
        if connection.conn_type == "sqlite":
            return self._of_sqlite(sqlite_file(connection))
        if connection.conn_type in ("postgres", "postgresql"):
            return self._of_postgres(postgres_arguments(connection, connect_timeout=_REACHED_IN))
        raise TaskFailed(
            f"Connection {self.conn_id!r} is of type {connection.conn_type!r}; SqlSensor takes sqlite and postgres: "
            "ask another database in the function of a PythonSensor"
        )

    def _of_sqlite(self, file: str) -> Any:
        name = f"file:{quote(os.fsencode(file))}?mode=rw"  # a file that is not there is not made
        sqlite3: Any = importlib.import_module("sqlite3")
        with closing(sqlite3.connect(name, uri=True, timeout=_REACHED_IN)) as opened:
            return opened.execute(self.sql, self.parameters or ()).fetchone()

    def _of_postgres(self, arguments: Mapping[str, Any]) -> Any:
        psycopg: Any = importlib.import_module("psycopg")
        with closing(psycopg.connect(**arguments)) as opened:  # what is closed so is rolled back
            return opened.execute(self.sql, self.parameters or None).fetchone()


class NothingFound(Exception):
    """A query returned no row, and it should have."""
