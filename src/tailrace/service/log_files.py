"""Opens the files beneath the folder of logs, and no other: whoever may write there can lead nobody elsewhere.

Each part of the path is opened by itself, and none that is a symbolic link. The folder itself may be one: that is its
owner's to say.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from tailrace.errors import EnvironmentBroken, NotFound
from tailrace.model.plain_text import on_one_line
from tailrace.service.logs import LogNamed, TryLog, find_callbacks, find_log
from tailrace.service.stores import Stores

_LINK = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogPiece(Struct, frozen=True):
    """Some bytes of a log from ``offset`` on, which has ``size`` bytes now."""

    offset: int
    size: int
    content: bytes

    @property
    def behind(self) -> int:
        """The offset at which it goes on."""
        return self.offset + len(self.content)


def open_log(logs: Path, path: Path) -> BinaryIO:
    """Open a file beneath the folder of logs. Raises NotFound for none, or what is no plain file of its own."""
    *folders, name = path.relative_to(logs).parts
    shown = on_one_line(path)
    at = -1
    try:
        at = os.open(logs, _FOLDER)
        for part in folders:
            below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        file = os.open(name, _FILE, dir_fd=at)
    except FileNotFoundError:
        raise NotFound(f"there is no log at {shown}") from None
    except OSError as trouble:
        if trouble.errno in _LINK:
            raise NotFound(f"{shown} is, or lies behind, a symbolic link: none is followed") from None
        raise EnvironmentBroken(f"{shown} cannot be read: {trouble.strerror}") from trouble
    finally:
        if at >= 0:
            os.close(at)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotFound(f"{shown} is no file")
    return os.fdopen(file, "rb")


def read_piece(logs: Path, path: Path, offset: int, length: int) -> LogPiece:
    """At most so many bytes of a log from there on; below zero, the offset counts from its end."""
    with open_log(logs, path) as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size + offset) if offset < 0 else offset
        return LogPiece(start, size, os.pread(file.fileno(), length, start))


def log_piece(stores: Stores, named: LogNamed, offset: int, length: int) -> tuple[TryLog, LogPiece]:
    """The same of the log of a try, with how its task instance stands. Raises NotFound for a try that has none."""
    log = find_log(stores, named)
    return log, read_piece(stores.settings.logs, log.path, offset, length)


def callbacks_piece(stores: Stores, named: LogNamed, offset: int, length: int) -> LogPiece:
    """The same of what callbacks have printed that were called for a try."""
    return read_piece(stores.settings.logs, find_callbacks(stores, named), offset, length)
