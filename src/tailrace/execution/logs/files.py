"""Where a try's log file is, and how its process's output gets there: at descriptor level, children included."""

import faulthandler
import hashlib
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from tailrace.errors import EnvironmentBroken
from tailrace.model.durations import duration
from tailrace.model.keys import TryKey
from tailrace.permissions import create_file, make_folder

#: No file system takes a longer name, in bytes.
_LONGEST_PART = 255

#: What ends a part of a path, and what is in none.
_ENDS_A_PART = re.compile("[/\0\ud800-\udfff]")

#: Behind what a log is of stands when that has started.
STARTED = ", started "

#: Behind the name of a log stands this in that of its callbacks.
_CALLBACKS = ".callbacks"

#: So much is kept of a name that cannot stand in a path.
_BEGINNING = 40


def log_path(home: Path, key: TryKey) -> Path:
    """``<home>/logs/<dag_id>/<run_id>/<task_id>.<try>.log``; a mapped task's index stands in ``[]`` behind its id.

    Never outside ``logs``. One folder a run: a folder for each task would cost a try as much as its log file does.
    """
    return Path(_log_file(str(home), key))


def times_path(home: Path, key: TryKey) -> Path:
    """The file beside a log that tells when what of it was written."""
    return Path(_log_file(str(home), key, ".times"))


def callbacks_path(home: Path, key: TryKey) -> Path:
    """The file beside a log that has the output of callbacks whose context is about that try."""
    return Path(_log_file(str(home), key, _CALLBACKS))


def _log_file(home: str, key: TryKey, beside: str = "") -> str:
    ti = key.task_instance
    file = f"{ti.place}.{key.try_number}.log{beside}"
    return f"{home}/logs/{part_of_path(ti.dag_id)}/{part_of_path(ti.run_id)}/{part_of_path(file)}"


def part_of_path(name: str) -> str:
    """A name as one part of a path: itself, unless it would lead elsewhere, as one stored by others or long ago may."""
    if name.isascii() and 0 < len(name) <= _LONGEST_PART and name[0] != "." and "/" not in name and "\0" not in name:
        return name  # nearly all; what follows would be code that each try's process reads for nothing else
    size = len(name.encode("utf-8", "surrogatepass"))
    if size <= _LONGEST_PART and name not in ("", ".", "..") and not _ENDS_A_PART.search(name):
        return name
    begins = "".join(c if c.isalnum() else "_" for c in name[:_BEGINNING])
    return f"{begins}~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def require_room(home: Path) -> None:
    """Raise EnvironmentBroken where no log could be written now: a try that begins would fail for it."""
    folder = home / "logs"
    try:
        make_folder(folder)
        disk = os.statvfs(folder)
    except OSError as trouble:
        raise EnvironmentBroken(f"{folder}: {trouble.strerror}; set TAILRACE_HOME to another folder") from trouble
    free = disk.f_bavail if os.geteuid() else disk.f_bfree
    if disk.f_blocks and not free:  # some file systems count nothing
        raise EnvironmentBroken(f"{folder}: the disk is full; make room and run the same command again")
    if not os.access(folder, os.W_OK | os.X_OK):
        why = "the file system is read-only" if disk.f_flag & os.ST_RDONLY else "permission denied"
        raise EnvironmentBroken(f"{folder}: {why}; make it writable, or set TAILRACE_HOME to another folder")


class _Own:
    """What this process keeps of its output, whatever user code puts in the place of its streams."""

    streams: tuple[TextIO, ...] = ()
    log = ""
    opened: tuple[int, int] | None = None  # which file that is
    line_filter: Callable[[str], str] | None = None


def open_streams() -> None:
    """Give this process its own text streams over descriptors 1 and 2, flushed at each line.

    Done once, before user code loads: whoever keeps a reference to a stream (a logging handler does) writes to
    whatever the descriptor leads to by then.
    """
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    _Own.streams = (sys.stdout, sys.stderr)
    faulthandler.enable(2)  # a segmentation fault leaves its Python traceback in the log


class _InUtc(logging.Formatter):
    """``2024-01-01 00:00:00,000Z``: the time as everywhere in Tailrace, whatever zone the worker's machine is in."""

    converter = staticmethod(time.gmtime)
    default_msec_format = "%s,%03dZ"


def show_logging() -> None:
    """Let ``logging`` write to standard output, from INFO on, unless user code has set it up while loading."""
    if not logging.root.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(_InUtc("[%(asctime)s] %(levelname)s %(name)s: %(message)s"))
        logging.root.addHandler(handler)
        logging.root.setLevel(logging.INFO)


def heading(key: TryKey, started: str, resumed: str | None = None) -> str:
    """The first line of a log; or, of a try that goes on, the line at which it does."""
    return f"--- {key}{STARTED}{started}\n" if resumed is None else f"--- {key}, goes on {resumed}\n"


def last_line(word: str, error: str, seconds: float | None) -> str:
    """``--- failed after 2.00 s: timed out``; where nobody knows when it began, without the time."""
    after = "" if seconds is None else f" after {duration(seconds)}"
    return f"--- {word}{after}{': ' if error else ''}{error}"


def send_output_to_log(home: str, key: TryKey, heading: str, *, of_callbacks: bool = False) -> None:
    """From here on, whatever this process and its children write goes to the try's log file. Raises OSError.

    ``of_callbacks``: to the file beside it that is theirs.
    """
    path = _log_file(home, key, _CALLBACKS if of_callbacks else "")
    try:
        descriptor = _open_log(path)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        descriptor = _open_log(path)
    os.write(descriptor, heading.encode(errors="backslashreplace"))
    _Own.log, _Own.opened = path, _file_at(descriptor)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if descriptor > 2:
        os.close(descriptor)


def _open_log(path: str) -> int:
    how = os.O_RDWR | os.O_APPEND  # ``write_line`` reads how it ends
    try:
        return create_file(path, how)
    except FileExistsError:
        return os.open(path, how | os.O_NOFOLLOW)


def set_line_filter(line_filter: Callable[[str], str] | None) -> None:
    """Have each line of our own go through this before it is written."""
    _Own.line_filter = line_filter


def write_line(text: str, log: str = "") -> None:
    """Write a line of our own to the try's log (or this one), or to standard error where there is none.

    Whatever user code has closed or put in the place of its streams: what it redirected to a file of its own, say, is
    none of ours to write to. A disk that is full by now takes no outcome away.
    """
    flush_streams()
    if _Own.line_filter is not None:
        text = _Own.line_filter(text)
    descriptor = opened = -1
    try:
        if not log and _Own.log and _file_at(1) == _Own.opened:
            descriptor = 1
        else:
            try:
                descriptor = opened = os.open(log or _Own.log, os.O_RDWR | os.O_APPEND)
            except OSError:  # there is none; or it has been moved, or its folder cannot be seen from here any more
                descriptor = opened = os.dup(1 if _Own.log else 2)
        write_all(descriptor, text)
    except OSError:
        pass
    finally:
        if opened >= 0:
            os.close(opened)


def write_all(descriptor: int, text: str) -> None:
    """Write a line, on a line of its own. Raises OSError."""
    line = f"{text}\n".encode(errors="backslashreplace")
    if not _ends_a_line(descriptor):
        line = b"\n" + line
    while line:
        line = line[os.write(descriptor, line) :]


def _file_at(descriptor: int) -> tuple[int, int] | None:
    """Which file a descriptor leads to; None: it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_ino, found.st_dev


def _ends_a_line(descriptor: int) -> bool:
    """Whether what is there ends with the end of a line; so does what cannot be read."""
    try:
        size = os.fstat(descriptor).st_size
        return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
    except OSError:
        return True


def has_own_streams() -> bool:
    """Whether standard output and error are still as ``open_streams`` has made them."""
    for name, own in zip(("stdout", "stderr"), _Own.streams, strict=False):
        if getattr(sys, name, None) is not own or own.closed:
            return False
    return True


def flush_streams() -> None:
    """Write out half lines: the process may end without Python's own shutdown."""
    for stream in (*_Own.streams, getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
        try:
            stream.flush()  # type: ignore[union-attr]
        except Exception:
            pass  # a full disk, or user code has closed it or put something of its own there
