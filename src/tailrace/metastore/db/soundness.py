"""Looks a SQLite file through for damage before a backfill's verdict is written, where that is cheap.

SQLite itself finds only what it happens to read, and has much of a file in memory: a job could end in success over a
file that nobody can read any more. What one look may take is bounded by the time since the last one.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

#: What a look takes, in seconds a byte, as measured; it is only ever compared with what it may take.
_COST = 12e-9

#: A look may take so long at any time, and after a long time such a part of it, up to the most; in seconds.
_ALWAYS, _PART, _MOST = 0.05, 0.05, 2.0


class Soundness:
    """What one process knows of the soundness of the file that this SQLite URI names."""

    def __init__(self, uri: str, path: Path) -> None:
        self._uri = uri
        self._path = path
        self._looked_at = time.monotonic()
        self._written_at = 0  # as the file says

    def is_due(self, *, if_touched: bool = False) -> bool:
        """Whether it is time for a look, which then follows. ``if_touched``: only if the file was written to since."""
        now, stat = time.monotonic(), self._path.stat()
        if if_touched and stat.st_mtime_ns == self._written_at:
            return False
        allowed = min(_MOST, max(_ALWAYS, _PART * (now - self._looked_at)))
        if stat.st_size * _COST > allowed:
            return False
        self._looked_at, self._written_at = now, stat.st_mtime_ns
        return True

    def is_damaged(self) -> bool:
        """Whether SQLite finds the file damaged, or text in it that is none.

        Asked on a connection of its own: an older one may still have in memory what the file no longer holds.
        """
        try:
            with closing(sqlite3.connect(f"{self._uri}?mode=rw", uri=True, isolation_level=None)) as connection:
                return connection.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",) or _read_text(connection)
        except sqlite3.OperationalError as error:
            return "decode" in str(error)  # locked, full: others say that
        except (sqlite3.Error, UnicodeError):  # SQLite's own message may repeat the bytes
            return True


def _read_text(connection: sqlite3.Connection) -> bool:
    """Read every text there is; never true, but raises at bytes that are no UTF-8: a check of structure skips them."""
    for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        texts = connection.execute(
            "SELECT group_concat(printf('coalesce(\"%w\", '''')', name), '||') FROM pragma_table_info(?) "
            "WHERE type NOT LIKE '%INT%' AND type NOT IN ('FLOAT', 'BOOLEAN')",
            (table,),
        ).fetchone()[0]
        if texts:
            for _ in connection.execute(f'SELECT {texts} FROM "{table}"'):
                pass
    return False
