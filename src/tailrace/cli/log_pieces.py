"""A log as pieces of bytes, one after the other: all that is there, or also what comes until its try is over."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tailrace.execution.logs.log_times import LogTimes
from tailrace.service.log_files import open_log

_PIECE = 1 << 20

#: Seconds between two looks at a log that is followed, and at what the metastore has of its try.
_LOOK_SECONDS = 0.1
_ASK_SECONDS = 1.0

#: A try that was found lost is over a moment before its log says so.
_LAST_LINE_SECONDS = 1.0
_LONGEST_LINE = 4_096


def pieces_of(logs: Path, path: Path) -> Iterator[bytes]:
    """All of it. Raises OSError, and NotFound as ``open_log`` does."""
    with open_log(logs, path) as file:
        yield from iter(lambda: file.read(_PIECE), b"")


def followed(logs: Path, path: Path, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """All of it, and what is added until its try is over; a log that is not there yet is waited for."""
    file, asked_at, over_at, last = None, 0.0, 0.0, b""
    try:
        while True:
            now = time.monotonic()
            if not over_at and now - asked_at >= _ASK_SECONDS:  # asked first: what was written by then is read below
                asked_at, over_at = now, now if is_over() else 0.0
            if file is None and path.is_file():
                file = open_log(logs, path)
            while file is not None and (piece := file.read(_PIECE)):
                last = (last + piece)[-_LONGEST_LINE:]
                yield piece
            has_ended = last.rstrip(b"\n").rpartition(b"\n")[2].startswith(b"--- ")
            if over_at and (file is None or has_ended or now - over_at >= _LAST_LINE_SECONDS):
                return
            asked_at = 0.0 if has_ended and not over_at and now - asked_at >= 2 * _LOOK_SECONDS else asked_at
            time.sleep(_LOOK_SECONDS)
    finally:
        if file is not None:
            file.close()


def with_times(pieces: Iterator[bytes], times: LogTimes) -> Iterator[bytes]:
    """The same, with the time in UTC at the beginning of each line."""
    offset, begins = 0, True
    for piece in pieces:
        times.look()
        found = []
        for line in _lines(piece):
            if begins:
                found.append(f"{times.at(offset):%Y-%m-%dT%H:%M:%S.%f}"[:-3].encode() + b"Z ")
            found.append(line)
            offset += len(line)
            begins = line.endswith(b"\n")
        yield b"".join(found)


def _lines(piece: bytes) -> Iterator[bytes]:
    """Only a newline ends a line: a carriage return goes on in it."""
    *whole, rest = piece.split(b"\n")
    yield from (line + b"\n" for line in whole)
    if rest:
        yield rest
