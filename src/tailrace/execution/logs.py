"""Where a try's log file is, and how its process's output gets there: at descriptor level, children included."""

import faulthandler
import logging
import os
import sys
from pathlib import Path

from tailrace.errors import EnvironmentBroken
from tailrace.model.keys import UNMAPPED, TryKey
from tailrace.permissions import create_file, make_folder


def log_path(home: Path, key: TryKey) -> Path:
    """``<home>/logs/<dag_id>/<run_id>/<task_id>.<try>.log``; a mapped task's index stands in ``[]`` behind its id.

    One folder a run: a folder for each task would cost a try as much as its log file does.
    """
    return Path(_log_file(str(home), key))


def _log_file(home: str, key: TryKey) -> str:
    ti = key.task_instance
    mapped = "" if ti.map_index == UNMAPPED else f"[{ti.map_index}]"
    return f"{home}/logs/{ti.dag_id}/{ti.run_id}/{ti.task_id}{mapped}.{key.try_number}.log"


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


def open_streams() -> None:
    """Give this process its own text streams over descriptors 1 and 2, flushed at each line.

    Done once, before user code loads: whoever keeps a reference to a stream (a logging handler does) writes to
    whatever the descriptor leads to by then.
    """
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    faulthandler.enable(2)  # a segmentation fault leaves its Python traceback in the log


def show_logging() -> None:
    """Let ``logging`` write to standard output, from INFO on, unless user code has set it up while loading."""
    if not logging.root.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("[%(asctime)s] %(levelname)s %(name)s: %(message)s"))
        logging.root.addHandler(handler)
        logging.root.setLevel(logging.INFO)


def send_output_to_log(home: str, key: TryKey) -> None:
    """From here on, whatever this process and its children write goes to the try's log file. Raises OSError."""
    path = _log_file(home, key)
    try:
        descriptor = _open_log(path)
    except FileNotFoundError:
        make_folder(os.path.dirname(path))
        descriptor = _open_log(path)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    if descriptor > 2:
        os.close(descriptor)


def _open_log(path: str) -> int:
    how = os.O_RDWR | os.O_APPEND  # read by ``is_mid_line``
    try:
        return create_file(path, how)
    except FileExistsError:
        return os.open(path, how | os.O_NOFOLLOW)


def is_mid_line() -> bool:
    """Whether the log's last line has no end yet; False where descriptor 1 leads to something that cannot be read."""
    flush_streams()
    try:
        size = os.fstat(1).st_size
        return size > 0 and os.pread(1, 1, size - 1) != b"\n"
    except OSError:
        return False


def flush_streams() -> None:
    """Write out half lines: the process may end without Python's own farewell."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # a full disk, or user code has closed it: there is nowhere left to say so
