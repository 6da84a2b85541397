"""A SQLite file that is deleted, replaced or damaged under a running backfill never ends in success."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.store import Metastore
from tests.acceptance.conftest import clean_environment
from tests.acceptance.test_interruptions import DAG_FILE, DATES, Place, below, finished
from tests.conformance.test_sqlite_file import beside, replace, restore, scribble


def checkpointed_and(do: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something done to a file that holds all there is, not only to one whose log is overlaid on it."""

    def checkpoint_and_do(file: Path) -> None:
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        do(file)

    return checkpoint_and_do


def restored_later(file: Path) -> None:
    copy = file.with_name("copy")
    restore(copy, file)
    until = time.monotonic() + 30
    with closing(sqlite3.connect(file)) as seen:  # until the job has seen more than the copy holds
        newest = "SELECT max(id) FROM history"
        (before,) = seen.execute(newest).fetchone()
        while seen.execute(newest).fetchone()[0] < before + 8:
            assert time.monotonic() < until
            time.sleep(0.05)
    restore(file, copy)


def written_over(file: Path) -> None:
    other = file.with_name("other")
    Metastore.open(f"sqlite:///{other}").close()
    file.write_bytes(other.read_bytes())


def home_of(file: Path) -> Path:
    return file.parent


#: What is done to the file, what is then said, and whether the same command goes on with what was recorded.
GONE: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "deleted": (Path.unlink, "was deleted or moved while it was in use", False),
    "deleted with its logs": (
        lambda file: [each.unlink() for each in (file, beside(file, "-wal"), beside(file, "-shm"))],
        "was deleted or moved while it was in use",
        False,
    ),
    "home deleted": (lambda file: shutil.rmtree(home_of(file), ignore_errors=True), "was deleted or moved", False),
    "moved": (lambda file: file.rename(file.with_name("other")), "was deleted or moved while it was in use", False),
    "log deleted": (lambda file: beside(file, "-wal").unlink(), "tailrace.db-wal, which belongs to it, was del", True),
    "index deleted": (lambda file: beside(file, "-shm").unlink(), "tailrace.db-shm, which belongs to it, was d", True),
    "replaced": (replace, "another file was put in its place while it was in use", True),
    "emptied": (lambda file: os.truncate(file, 0), "emptied while it was in use", False),
    "restored": (restored_later, "what it held was replaced while it was in use (a copy was restored?)", True),
    "written over": (written_over, "the file is damaged; restore it from a backup copy", False),
    "damaged": (checkpointed_and(lambda file: scribble(file, 1)), "the file is damaged; restore it", False),
    "log damaged": (lambda file: scribble(beside(file, "-wal"), 1), "the file is damaged; restore it", False),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "slow.py").write_text(DAG_FILE)
    (tmp_path / "ledger").touch()
    return Place(tmp_path, "")


#: Commands that make no metastore: each says that there is none yet, but not where its log is left.
ASKING = (("audit",), ("runs", "list"), ("db", "check"), ("backfill", "slow", "-s", "2024-01-01", "-n"))


def typed(place: Place, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tailrace", *arguments]
    return subprocess.run(
        command, cwd=place.folder, env=clean_environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize("what", GONE)
def test_it_ends_the_job_in_one_line(place: Place, what: str) -> None:
    do, said, goes_on = GONE[what]
    process = place.start()
    place.wait_for_lines(3)
    do(place.folder / ".tailrace" / "tailrace.db")
    out, err = process.communicate(timeout=90)
    assert (process.returncode, out) == (4, ""), err
    assert len(err.splitlines()) == 1, err
    assert said in err or (what == "emptied" and "the file is damaged" in err), err  # SQLite may see it first
    if goes_on:
        assert finished(place.start())["runs"] == {"success": DATES}
        place.done_once(again=2 * DATES if what == "restored" else 2)
        assert place.causes()["retry"] == 0


def test_a_file_that_was_moved_and_is_put_back_goes_on(place: Place) -> None:
    process = place.start()
    place.wait_for_lines(3)
    file = place.folder / ".tailrace" / "tailrace.db"
    file.rename(file.with_name("other"))
    _, err = process.communicate(timeout=90)
    assert "put it back, or remove tailrace.db-wal and tailrace.db-shm too, to begin a new one" in err
    refused = place.start()
    assert "there is only its write-ahead log; put the file back beside it" in refused.communicate(timeout=60)[1]
    assert refused.returncode == 4
    for asks in ASKING:
        asked = typed(place, *asks)
        assert asked.returncode == 4, (asks, asked.stdout)
        assert "there is only its write-ahead log" in asked.stderr, asks
    file.with_name("other").rename(file)
    assert finished(place.start())["runs"] == {"success": DATES}
    place.done_once(again=2)


def test_a_worker_started_meanwhile_makes_no_new_file(place: Place) -> None:
    """It would record into a metastore that only it knows."""
    process = place.start()
    place.wait_for_lines(2)
    _, workers = below(process)
    file = place.folder / ".tailrace" / "tailrace.db"
    os.kill(workers[0], signal.SIGSTOP)  # stopped, so that it is not the first to notice
    file.unlink()
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=90)
    assert process.returncode == 4, err
    assert not file.exists()
    with pytest.raises(EnvironmentBroken, match="only its write-ahead log"):
        Metastore.open(f"sqlite:///{file}")
