"""A SQLite metastore's file for who only reads: nothing is made, and nothing is written where one may not write.

Who may write there opens it as a writer does, for a reading connection would leave its logs behind. Who may not needs
the logs that others have there. Where there are none, nobody writes: then SQLite is told that the file does not change
(``immutable``), and it is looked at whether that was so; if not, what was read counts for nothing and is read again.
"""

import os
import time

from tailrace.metastore.db.driver_errors import Contended
from tailrace.metastore.db.sqlite_file import Identity, SqliteFile, size_of
from tailrace.model.plain_text import on_one_line

#: What is written twice within one tick of the file system's clock has the same time: so long after the last write, in
#: seconds, a file is looked at first.
_TICK = 0.02

_State = tuple[int, ...]


class ReadingFile(SqliteFile):
    """The file at this path, of a process that only reads."""

    _mode = "mode=rw"
    _unchanged: _State | None = None  # what it was as it was opened as immutable

    @property
    def mode(self) -> str:
        """How SQLite is to open it, as found by ``before_opening``."""
        return self._mode

    def is_not_there_yet(self) -> bool:
        """Whether nobody has made it, or somebody is about to: a file without anything in it."""
        return super().is_not_there_yet() or not (size_of(str(self.path)) or size_of(self._log_paths()[0]))

    def before_opening(self) -> Identity:
        """Find how it can be read; the identity of what is about to be opened. Raises EnvironmentBroken, OSError."""
        self._unchanged = None
        if not self.was_opened and self.is_not_there_yet():
            raise self.broken("there is no such file")
        if not _may(os.R_OK, self.path):
            raise self.broken("you may not read it; ask its owner, or set TAILRACE_HOME to a folder of your own")
        for log in self._log_paths():
            if os.path.exists(log) and not _may(os.R_OK, log):
                raise self.broken(f"you may not read {on_one_line(os.path.basename(log))}, which belongs to it")
        found = super().before_opening()
        folder = os.path.dirname(os.path.realpath(self.path))
        self._mode = "mode=ro"
        if _may(os.W_OK, self.path) and _may(os.W_OK | os.X_OK, folder):
            self._mode = "mode=rw"
        elif self._missing_log() is not None:
            if size_of(self._log_paths()[0]):
                raise self.broken(
                    "it was left with a write-ahead log, in which only who may write there can read; "
                    "any command of its owner moves that into the file"
                )
            self._mode = "mode=ro&immutable=1"
            self._unchanged = self._quiet_state()
        return found

    def require_same(self) -> None:
        """Raise EnvironmentBroken if it is another file by now, Contended if what was read may be of two moments."""
        super().require_same()
        if self._unchanged is not None and (size_of(self._log_paths()[0]) or self._state() != self._unchanged):
            raise self._restless()

    def _note_open(self, identity: Identity | None) -> None:
        if self._unchanged is None:  # else SQLite holds no lock of it
            super()._note_open(identity)

    def _quiet_state(self) -> _State:
        state = self._state()
        if 0 <= time.time() - os.stat(self.path).st_mtime < _TICK:
            time.sleep(_TICK)
            if self._state() != state:
                raise self._restless()
        return state

    def _state(self) -> _State:
        stat = os.stat(self.path)
        return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)

    def _restless(self) -> Contended:
        return Contended(f"metastore {self.where}: it is written to again and again while it is read; try again later")


def _may(how: int, path: str | os.PathLike[str]) -> bool:
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)
