"""The last line of a try's log: how it ended, after how long, and why.

The task's own process writes it, where it comes to its end. Where it does not (a timeout, a signal, a loss, a stop),
its worker does, before it reports that; and where the worker is gone too, the job that finds the try lost. Both write
to a file that the task's code may have moved, replaced or opened still.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from tailrace.effects.tries import TryOutcome
from tailrace.execution.logs.files import STARTED, heading, last_line, log_path, write_all
from tailrace.execution.workers.running_try import STOPPED, STOPPED_WITH_RUN, TERMINATED
from tailrace.model.keys import TryKey
from tailrace.permissions import create_file, make_folder

#: No link is followed, and a pipe that somebody has put there is not waited for.
_HOW = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

#: So much of a log is looked at for when its try started.
_LONGEST_HEADING = 2_000


def log_outcome(home: Path, key: TryKey, outcome: TryOutcome, started_at: datetime, seconds: float) -> None:
    """Write the last line for a process that could not; a log that it has not even begun is begun."""
    word = "stopped" if outcome in (STOPPED, STOPPED_WITH_RUN, TERMINATED) else outcome.kind.text
    line = last_line(word, outcome.error, seconds)
    try:
        descriptor = _opened(log_path(home, key), key, started_at)
    except OSError:  # no room, or something else stands there: the metastore has it
        return
    _write(descriptor, line)


def log_loss(home: Path, key: TryKey, word: str, error: str) -> None:
    """Write the last line for a try whose worker is gone, if its log is on this host."""
    try:
        descriptor = os.open(log_path(home, key), _HOW)
    except OSError:
        return
    _write(descriptor, last_line(word, error, _seconds_since_start(descriptor)))


def _opened(path: Path, key: TryKey, started_at: datetime) -> int:
    try:
        return os.open(path, _HOW)
    except FileNotFoundError:
        make_folder(path.parent)
        descriptor = create_file(path, _HOW)
        try:
            os.write(descriptor, heading(key, started_at.isoformat()).encode(errors="backslashreplace"))
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _write(descriptor: int, line: str) -> None:
    try:
        write_all(descriptor, line)
    except OSError:  # the disk is full by now
        pass
    finally:
        os.close(descriptor)


def _seconds_since_start(descriptor: int) -> float | None:
    """By the log's first line and this host's clock."""
    try:
        first = os.pread(descriptor, _LONGEST_HEADING, 0).partition(b"\n")[0].decode(errors="replace")
        return (datetime.now(UTC) - datetime.fromisoformat(first.rpartition(STARTED)[2])).total_seconds()
    except (OSError, ValueError, TypeError):
        return None
