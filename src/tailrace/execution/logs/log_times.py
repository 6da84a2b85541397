"""When each part of a log was written: kept in a small file beside it, which the log itself shows nothing of.

A task's process writes to its log directly, and nobody stands between. So its worker, which waits for it anyway, looks
from time to time how long the log is, and appends one record each time that it has grown. A line's time is that of the
look which first found it: at most ``LONGEST`` seconds late, and ``SHORTEST`` while there is more output all the time. A
try that is over within ``SHORTEST`` has no such file and costs nothing: its lines are as old as its end.
"""

import os
import time
from bisect import bisect_right
from datetime import UTC, datetime
from pathlib import Path

from tailrace.execution.logs.files import log_path, times_path
from tailrace.model.keys import TryKey
from tailrace.permissions import create_file

#: Seconds between two looks: while the log grows, and at most, once it has not grown for a while.
SHORTEST, LONGEST = 0.05, 0.5

_HOW = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class LogTimer:
    """Records how one log grows. ``due`` is when to ``look`` next, by the monotonic clock."""

    def __init__(self, home: Path, key: TryKey, now: float, *, goes_on: bool = False) -> None:
        self.due = now + SHORTEST
        self._home, self._key = home, key
        self._log: Path | None = None  # not even its name is made for a try that is over at once
        self._pause = SHORTEST
        self._size = 0
        self._descriptor = -1
        if goes_on:
            self._go_on()

    def _go_on(self) -> None:
        """Record when the last line of an earlier claim of the try was written: it may have been over too soon."""
        self._log = log_path(self._home, self._key)
        try:
            found = os.lstat(self._log)
            self._size = found.st_size
            self._append(f"{found.st_size} {found.st_mtime:.3f}\n".encode())
        except OSError:
            pass

    def look(self, now: float) -> None:
        """Record how long the log is, if it has grown."""
        self._log = self._log or log_path(self._home, self._key)
        try:
            size = os.lstat(self._log).st_size
            if size > self._size:
                self._size, self._pause = size, SHORTEST
                self._append(f"{size} {time.time():.3f}\n".encode())
            else:
                self._pause = min(2 * self._pause, LONGEST)
        except OSError:  # no room, or no log: times are worth no failure
            self._pause = LONGEST
        self.due = now + self._pause

    def close(self) -> None:
        """The try is over: record what came last, if anything was recorded."""
        if self._descriptor >= 0:
            self.look(0.0)
            os.close(self._descriptor)
            self._descriptor = -1

    def _append(self, record: bytes) -> None:
        if self._descriptor < 0:
            path = times_path(self._home, self._key)
            try:
                self._descriptor = create_file(path, _HOW)
            except FileExistsError:
                self._descriptor = os.open(path, _HOW)
        os.write(self._descriptor, record)


class LogTimes:
    """Returns when the line at an offset of a log was written; of one that still grows, too."""

    def __init__(self, home: Path, key: TryKey) -> None:
        self._log, self._file = log_path(home, key), times_path(home, key)
        self._offsets: list[int] = []
        self._times: list[float] = []
        self._read = 0
        self._newest = 0.0

    def look(self) -> None:
        """Take in what has been recorded since the last look."""
        self._read_on()
        try:
            self._newest = os.lstat(self._log).st_mtime
        except OSError:
            self._newest = time.time()

    def at(self, offset: int) -> datetime:
        """When what is at this offset was first seen, as of the last look; what is newer is as old as the file."""
        place = bisect_right(self._offsets, offset)
        return datetime.fromtimestamp(self._times[place] if place < len(self._times) else self._newest, UTC)

    def _read_on(self) -> None:
        """Take in the records that have been added; one that is not whole or makes no sense ends the reading."""
        if not self._file.is_file():  # a pipe that somebody has put there is not waited for
            return
        try:
            with self._file.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except OSError:
            return
        for record in added.splitlines(keepends=True):
            offset, _, moment = record.partition(b" ")
            try:
                size, at = int(offset), float(moment)
                datetime.fromtimestamp(at, UTC)
            except (ValueError, OverflowError, OSError):
                return
            if not record.endswith(b"\n") or (self._offsets and size <= self._offsets[-1]):
                return
            self._offsets.append(size)
            self._times.append(at)
            self._read += len(record)
