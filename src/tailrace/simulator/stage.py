"""Where worlds are played, one after another: a metastore file that is emptied for each, and the false clock.

The connection's engine is kept from world to world: compiling its statements anew would cost more than a world does.
"""

import functools
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from tailrace.metastore.repeating import PAUSES
from tailrace.metastore.store import Metastore
from tailrace.simulator.breaking import Break, BreakingDatabase
from tailrace.simulator.clock import FalseClock

#: As often as the product repeats a write whose connection broke, without its pauses.
_PAUSES = (0.0,) * len(PAUSES)


class Stage(Struct, frozen=True):
    """A file, an engine and a clock. One world at a time."""

    folder: "tempfile.TemporaryDirectory[str]"
    clock: FalseClock
    database: BreakingDatabase
    first_rows: Mapping[str, list[tuple[object, ...]]]  # what an empty metastore holds, by table

    @property
    def file(self) -> Path:
        """The metastore's file."""
        return Path(self.folder.name) / "world.db"

    def set(self, breaks: Callable[[], Break]) -> Metastore:
        """An empty metastore at the beginning of time; ``breaks`` says what becomes of each write."""
        connection = sqlite3.connect(self.file, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for table, rows in self.first_rows.items():
            connection.execute(f"DELETE FROM {table}")
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        connection.execute("COMMIT")
        connection.close()
        self.clock.seconds = 0.0
        self.database.begin_world(breaks)
        return Metastore(self.database, pauses=_PAUSES)


@functools.cache
def stage(lock_wait: float, pid: int) -> Stage:
    """The stage of this process (``pid``) for worlds whose statements wait so long for a lock, in seconds."""
    folder = tempfile.TemporaryDirectory(prefix="tailrace-world-", dir=_memory_folder(), ignore_cleanup_errors=True)
    clock = FalseClock()
    file = Path(folder.name) / "world.db"
    Metastore.open(f"sqlite:///{file}", clock=clock).close()
    database = BreakingDatabase(f"sqlite:///{file}", sqlite_synchronous="normal", clock=clock, wait_seconds=lock_wait)
    return Stage(folder, clock, database, _rows(file))


def _rows(file: Path) -> Mapping[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(file)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    connection.close()
    return rows


def _memory_folder() -> str | None:
    """A folder in memory where there is one: a world lives for milliseconds."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
