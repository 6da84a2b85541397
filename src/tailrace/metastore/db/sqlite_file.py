"""A SQLite metastore's file: made once, named to the driver as a path, and watched: it must stay the file it is.

SQLite goes on in a file that was deleted or replaced, and nobody reads what is recorded there. So each transaction
looks whether the path still leads to the file that was opened, and to its write-ahead log and the log's index. Never by
opening them: closing a descriptor of such a file drops every lock that SQLite has on it in this process.
"""

import fcntl
import os
import struct
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from tailrace.errors import EnvironmentBroken
from tailrace.model.plain_text import on_one_line
from tailrace.permissions import create_file, make_folder

#: A path that is longer is refused by SQLite, which does not say why.
_LONGEST_PATH = 500

#: Each connection holds a lock of these bytes of the file for as long as it is open.
_SHARED_LOCK = (0x40000002, 510)  # from where, and how many
#: The kernel's ``struct flock``: kind, whence, start, length, pid.
_LOCK = struct.Struct("hhqqi4x")

#: Another process that opens or closes the file at this moment has both of its logs, or none, within so many seconds.
_PATIENCE, _PAUSE = 1.0, 0.01

#: A folder is deleted file by file: what is missing is named after so many seconds, when the rest is gone too.
_DELETED_ONE_BY_ONE = 0.2

Identity = tuple[int, int]  # device, inode

#: How many connections of this process have each file open.
_open_here: Counter[Identity] = Counter()


class SqliteFile:
    """The file at this path, of one process and its forks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = os.fspath(path)
        self.where = on_one_line(path)
        self._identity: Identity | None = None  # once it was opened
        self._counted: Identity | None = None  # while a connection is open
        self._logs: dict[str, Identity] = {}  # by their paths; they come and go with the connections

    @property
    def uri(self) -> str:
        """The path as SQLite takes it in a URI: whatever is in it stands for itself, and nothing is created."""
        return f"file:{quote(os.fsencode(self.path))}"

    @property
    def mode(self) -> str:
        """How SQLite is to open it."""
        return "mode=rw"

    @property
    def was_opened(self) -> bool:
        """Whether this process, or the one that it was forked from, has used the file before."""
        return self._identity is not None

    def is_not_there_yet(self) -> bool:
        """Whether whoever opens it makes it. Raises EnvironmentBroken if it was there, and only its log is left."""
        try:
            os.stat(self.path)
            return False
        except PermissionError:
            raise self.broken("you may not look into its folder; ask its owner, or set TAILRACE_HOME") from None
        except OSError:
            pass
        if size_of(self._log_paths()[0]):  # SQLite would throw that away
            raise self.broken(f"there is only its write-ahead log; put the file back beside it{self._anew()}")
        return True

    def before_opening(self) -> Identity:
        """Make the file if it was never there; the identity of what is about to be opened. Raises OSError.

        One that is in use without its logs must not be opened: SQLite would make new ones beside those that others
        write to.
        """
        if self._identity is None and self.is_not_there_yet():
            self._make()
        found = self._found()
        until = time.monotonic() + _PATIENCE
        while (missing := self._missing_log()) and _is_in_use(self._name, found):
            if time.monotonic() > until:
                raise self._log_gone(missing, "deleted")
            time.sleep(_PAUSE)
        if not os.stat(self.path).st_size and size_of(self._log_paths()[0]):
            raise self._emptied()
        return self._found()

    def opened(self, expected: Identity) -> bool:
        """A connection has opened the file and its logs; whether that is the file that was expected."""
        found = self._found()
        if found != expected:
            return False
        self._identity = found
        self._note_open(found)
        self._logs.clear()
        for path in self._log_paths():
            with suppress(OSError):
                stat = os.stat(path)
                self._logs[path] = (stat.st_dev, stat.st_ino)
        return True

    def closing(self) -> None:
        """The connection is about to be closed: its logs may go with it."""
        self._note_open(None)
        self._logs.clear()

    def _note_open(self, identity: Identity | None) -> None:
        if self._counted is not None:
            _open_here[self._counted] -= 1
        self._counted = identity
        if identity is not None:
            _open_here[identity] += 1

    def require_same(self) -> None:
        """Raise EnvironmentBroken if the file or one of its logs is not the one that was opened."""
        self._found()
        for path, identity in self._logs.items():
            try:
                stat = os.stat(path)
            except OSError:
                time.sleep(_DELETED_ONE_BY_ONE)
                self._found()
                raise self._log_gone(path, "deleted") from None
            if (stat.st_dev, stat.st_ino) != identity:
                raise self._log_gone(path, "replaced")

    def is_emptied(self) -> bool:
        """Whether the file is there and holds nothing: pages that are put back into it make it no whole one."""
        return os.path.exists(self.path) and not os.stat(self.path).st_size

    def damaged(self) -> EnvironmentBroken:
        """What is raised when SQLite finds that the file is not as it wrote it."""
        return self.broken("the file is damaged; restore it from a backup copy")

    def _make(self) -> None:
        if len(os.fsencode(self.path)) > _LONGEST_PATH:
            raise self.broken(f"SQLite takes no path of more than {_LONGEST_PATH} bytes; choose a shorter one")
        make_folder(self.path.parent)
        try:
            os.close(create_file(self.path))
        except FileExistsError:  # another first job was faster
            if not os.path.exists(self.path):
                raise self.broken("it is a link that leads to nothing; remove it, or make what it names") from None

    def _found(self) -> Identity:
        try:
            stat = os.stat(self._name)
        except FileNotFoundError:
            if self._identity is None:
                raise
            time.sleep(_DELETED_ONE_BY_ONE)
            raise self.broken(f"the file was deleted or moved while it was in use; put it back{self._anew()}") from None
        found = (stat.st_dev, stat.st_ino)
        if self._identity is None:
            return found
        if found != self._identity:
            raise self.broken(
                "another file was put in its place while it was in use; if that is a backup copy, remove "
                f"{self._logs_named()} beside it, then the same command goes on with what is there"
            )
        if not stat.st_size:
            raise self._emptied()
        return found

    def _anew(self) -> str:
        if any(os.path.exists(path) for path in self._log_paths()):
            return f", or remove {self._logs_named()} too, to begin a new one"
        return ", or the same command begins a new one"

    def _logs_named(self) -> str:
        return " and ".join(on_one_line(os.path.basename(path)) for path in self._log_paths())

    def _log_paths(self) -> tuple[str, str]:
        real = os.path.realpath(self.path)  # where SQLite has them
        return f"{real}-wal", f"{real}-shm"

    def _missing_log(self) -> str | None:
        return next((path for path in self._log_paths() if not os.path.exists(path)), None)

    def _emptied(self) -> EnvironmentBroken:
        return self.broken("the file was emptied while it was in use; restore it from a backup copy")

    def _log_gone(self, path: str, how: str) -> EnvironmentBroken:
        return self.broken(
            f"{on_one_line(os.path.basename(path))}, which belongs to it, was {how} while it was in use; "
            "once every job that uses it has ended, the same command continues"
        )

    def broken(self, what: str) -> EnvironmentBroken:
        return EnvironmentBroken(f"metastore {self.where}: {what}")


def size_of(path: str) -> int:
    """In bytes; nothing for a file that is not there."""
    try:
        return os.stat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _is_in_use(path: str, identity: Identity) -> bool:
    """Whether some process has this SQLite file open.

    The kernel is asked for the lock, and not /proc/locks for all there are: that takes some 20 ms. Closing the
    descriptor drops this process's own locks, so it must have none.
    """
    if _open_here[identity]:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if (found := os.fstat(descriptor)) and (found.st_dev, found.st_ino) != identity:
            return False
        asked = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *_SHARED_LOCK, 0)
        held, *_ = _LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
        return bool(held != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
