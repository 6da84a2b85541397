"""A log's times: a record each time that it was found to have grown, and a line's time is that of the first with it."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.log_pieces import with_times
from tailrace.execution.logs.files import log_path, times_path
from tailrace.execution.logs.log_times import LONGEST, SHORTEST, LogTimer, LogTimes
from tailrace.model.keys import TaskInstanceKey, TryKey

KEY = TryKey(TaskInstanceKey("d", "run", "a"), 1)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = log_path(tmp_path, KEY)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return path


def grow(log: Path, more: bytes, at: float) -> None:
    """What was written, and a record of it as the look at this time makes one."""
    with log.open("ab") as file:
        file.write(more)
    with times_path(log.parents[3], KEY).open("a") as file:
        file.write(f"{log.stat().st_size} {at:.3f}\n")


def test_looks_are_frequent_while_the_log_grows_and_rarer_while_it_does_not(tmp_path: Path, log: Path) -> None:
    timer = LogTimer(tmp_path, KEY, 100.0)
    assert timer.due == 100.0 + SHORTEST
    pauses = []
    for _ in range(6):
        timer.look(timer.due)
        pauses.append(round(timer.due - 100.0 - sum(pauses) - SHORTEST, 6))
    assert pauses == [0.1, 0.2, 0.4, LONGEST, LONGEST, LONGEST]
    log.write_bytes(b"a line\n")
    timer.look(200.0)
    assert timer.due == 200.0 + SHORTEST
    timer.close()
    assert [line.split()[0] for line in times_path(tmp_path, KEY).read_text().splitlines()] == ["7"]
    assert times_path(tmp_path, KEY).stat().st_mode & 0o777 == 0o600


def test_a_try_that_is_over_at_once_has_no_times(tmp_path: Path, log: Path) -> None:
    log.write_bytes(b"a line\n")
    LogTimer(tmp_path, KEY, 100.0).close()
    assert not times_path(tmp_path, KEY).exists()
    os.utime(log, (1_700_000_000, 1_700_000_000))
    times = LogTimes(tmp_path, KEY)
    times.look()
    assert times.at(3).timestamp() == 1_700_000_000


def test_what_comes_last_is_recorded_at_the_end(tmp_path: Path, log: Path) -> None:
    timer = LogTimer(tmp_path, KEY, 100.0)
    log.write_bytes(b"a line\n")
    timer.look(timer.due)
    log.write_bytes(b"a line\nanother\n")
    timer.close()
    timer.close()
    assert [line.split()[0] for line in times_path(tmp_path, KEY).read_text().splitlines()] == ["7", "15"]


def test_a_log_that_cannot_be_timed_fails_nothing(tmp_path: Path, log: Path) -> None:
    times_path(tmp_path, KEY).symlink_to(tmp_path / "precious")
    log.write_bytes(b"a line\n")
    timer = LogTimer(tmp_path, KEY, 100.0)
    timer.look(timer.due)
    timer.close()
    assert not (tmp_path / "precious").exists()


def test_the_time_of_a_line_is_that_of_the_first_record_that_has_it(tmp_path: Path, log: Path) -> None:
    times = LogTimes(tmp_path, KEY)
    grow(log, b"one\ntwo\n", 1_000.0)
    times.look()
    assert [times.at(offset).timestamp() for offset in (0, 4)] == [1_000.0, 1_000.0]
    grow(log, b"three\n", 2_000.0)
    times.look()
    assert [times.at(offset).timestamp() for offset in (4, 8)] == [1_000.0, 2_000.0]
    log.write_bytes(log.read_bytes() + b"not recorded yet\n")
    os.utime(log, (3_000, 3_000))
    times.look()
    assert times.at(14).timestamp() == 3_000.0


@pytest.mark.parametrize("wrong", [b"x y\n", b"5 1e300\n", b"5 nan\n", b"4 5.0\n", b"9999", b"\xff\n", b"5\n"])
def test_records_that_make_no_sense_end_the_reading(tmp_path: Path, log: Path, wrong: bytes) -> None:
    grow(log, b"one\n", 1_000.0)
    times_path(tmp_path, KEY).write_bytes(b"4 1000.000\n" + wrong + b"8 2000.000\n")
    os.utime(log, (3_000, 3_000))
    times = LogTimes(tmp_path, KEY)
    times.look()
    assert times.at(0).timestamp() == 1_000.0
    assert times.at(4).timestamp() in (3_000.0, 2_000.0)


class At:
    """Times by offset, as text can be checked against."""

    def look(self) -> None:
        pass

    def at(self, offset: int) -> datetime:
        return datetime.fromtimestamp(offset, UTC)


@given(st.binary(max_size=300), st.integers(1, 40))
def test_each_line_has_its_time_wherever_the_log_is_cut(log: bytes, size: int) -> None:
    pieces = iter([log[at : at + size] for at in range(0, len(log), size)])
    shown = b"".join(with_times(pieces, At()))  # type: ignore[arg-type]
    lines = shown.split(b"\n")
    if not lines[-1]:
        lines.pop()
    assert [line[25:] for line in lines] == (log[:-1] if log.endswith(b"\n") else log).split(b"\n") or not log
    offsets = [int(line[14:16]) * 60 + int(line[17:19]) for line in lines]
    assert offsets == [sum(len(other) - 25 + 1 for other in lines[:at]) for at in range(len(lines))]


def test_a_try_that_goes_on_keeps_when_what_it_wrote_before_was_written(tmp_path: Path, log: Path) -> None:
    """Its first claim was over too soon for a look; the next one is hours later."""
    log.write_bytes(b"asked once\n")
    os.utime(log, (1_700_000_000, 1_700_000_000))
    timer = LogTimer(tmp_path, KEY, 100.0, goes_on=True)
    with log.open("ab") as file:
        file.write(b"asked twice\n")
    os.utime(log, (1_700_007_200, 1_700_007_200))
    timer.close()
    times = LogTimes(tmp_path, KEY)
    times.look()
    assert times.at(0).timestamp() == 1_700_000_000
    assert times.at(len(b"asked once\n")).timestamp() > 1_700_000_000
