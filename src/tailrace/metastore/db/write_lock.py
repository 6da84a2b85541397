"""Waits for SQLite's one write lock in short steps.

SQLite's own waiting sleeps up to 100 ms at a time, and transactions here last one or two: with a few processes writing,
everyone would sleep half of the time. The bound is the same.
"""

import sqlite3
import time

#: Between two attempts, in seconds, and how the pauses grow. Shorter than a transaction is: two workers waited for each
#: other a tenth of the time.
_SHORTEST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.00003, 0.005, 1.3


def execute_once_free(driver: sqlite3.Connection, statement: str, wait_seconds: float) -> None:
    """Execute a statement once others let go of the lock. Raises sqlite3.Error. SQLite itself must not wait."""
    until = time.monotonic() + wait_seconds
    pause = _SHORTEST_PAUSE
    while True:
        try:
            driver.execute(statement)
            return
        except sqlite3.OperationalError as error:
            locked = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not locked or time.monotonic() >= until:
                raise
        time.sleep(pause)
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
