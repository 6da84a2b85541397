"""A SQLite file that is no longer the one that was opened, or no longer whole, is noticed at the next transaction."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.soundness import Soundness
from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.repeating import Attempts
from tailrace.metastore.store import Metastore
from tailrace.model.states import BackfillState, JobState
from tailrace.planning.plan import BackfillVerdict, Plan
from tests.conformance.test_environment import one_line
from tests.conformance.worlds import FalseClock, World, dag

A = dag("a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "metastore.sqlite"


@pytest.fixture
def sqlite(file: Path, clock: FalseClock) -> Iterator[World]:
    """A metastore that holds a backfill."""
    store = Metastore.open(f"sqlite:///{file}", clock=clock, lock_wait=0.2)
    world = World(store, clock)
    world.backfill(A)
    yield world
    store.close()


def replace(file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    os.replace(file.with_name("copy"), file)


def beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


GONE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "deleted": (Path.unlink, "was deleted or moved while it was in use; put it back, or remove"),
    "moved": (lambda file: file.rename(file.with_name("elsewhere")), "deleted or moved while it was in use; put it"),
    "its folder": (lambda file: shutil.rmtree(file.parent), "put it back, or the same command begins a new one"),
    "replaced": (replace, "another file was put in its place while it was in use; if that is a backup copy, remove"),
    "emptied": (lambda file: os.truncate(file, 0), "was emptied while it was in use; restore it from a backup copy"),
    "log deleted": (lambda file: beside(file, "-wal").unlink(), "sqlite-wal, which belongs to it, was deleted while"),
    "index deleted": (lambda file: beside(file, "-shm").unlink(), "sqlite-shm, which belongs to it, was deleted while"),
    "log replaced": (lambda file: replace(beside(file, "-wal")), "sqlite-wal, which belongs to it, was replaced while"),
}


@pytest.mark.parametrize("what", GONE)
def test_every_transaction_finds_it(sqlite: World, file: Path, what: str) -> None:
    """``hostile/sqlite_gone.sh``: a backfill ended in success over a file that nobody could ever read again."""
    do, said = GONE[what]
    do(file)
    with pytest.raises(EnvironmentBroken, match=said) as raised:
        sqlite.backfill(A, days=2)
    assert str(raised.value).startswith(f"metastore {file}: ")
    one_line(raised)
    with pytest.raises(EnvironmentBroken):
        sqlite.store.list_pools()
    with pytest.raises(EnvironmentBroken):
        sqlite.store.release()


@pytest.mark.parametrize("first", ["-wal", "-shm"])
def test_a_folder_that_is_being_deleted_is_said_to_be_gone_not_one_file_of_it(
    sqlite: World, file: Path, first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside(file, first).unlink()
    rest = "tailrace.metastore.db.sqlite_file.time.sleep"  # the rest of it is deleted in the meantime
    monkeypatch.setattr(rest, lambda _: shutil.rmtree(file.parent, ignore_errors=True))
    with pytest.raises(EnvironmentBroken, match="deleted or moved while it was in use; .*, or the same command beg"):
        sqlite.backfill(A, days=2)


@pytest.mark.parametrize("what", ["deleted", "moved", "its folder", "replaced"])
def test_a_process_that_opens_it_again_finds_it_and_makes_no_new_one(sqlite: World, file: Path, what: str) -> None:
    sqlite.store.close()  # as before a fork
    GONE[what][0](file)
    with pytest.raises(EnvironmentBroken, match="while it was in use"):
        sqlite.store.list_pools()
    assert file.exists() == (what == "replaced")


@pytest.mark.parametrize("what", ["moved", "log deleted", "index deleted"])
def test_what_was_committed_is_in_the_file_afterwards(sqlite: World, file: Path, what: str) -> None:
    GONE[what][0](file)
    with pytest.raises(EnvironmentBroken):
        sqlite.store.list_pools()
    sqlite.store.close()
    where = file.with_name("elsewhere") if what == "moved" else file
    with closing(Metastore.open(f"sqlite:///{where}")) as again:
        assert len(World(again, sqlite.clock).rows(dag_run)) == 1


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_nobody_opens_a_file_that_others_use_without_its_logs(
    sqlite: World, file: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other logs beside the ones that those others write to would end in two histories."""
    monkeypatch.setattr("tailrace.metastore.db.sqlite_file._PATIENCE", 0.0)
    beside(file, suffix).unlink()
    with pytest.raises(EnvironmentBroken, match=f"sqlite{suffix}, which belongs to it, was deleted while"):
        Metastore.open(f"sqlite:///{file}")
    assert not beside(file, suffix).exists()
    sqlite.store.close()
    Metastore.open(f"sqlite:///{file}").close()


def test_a_log_whose_file_is_gone_is_kept(sqlite: World, file: Path) -> None:
    """SQLite throws it away when it makes a new file; whoever puts the old one back would miss what is in it."""
    file.rename(file.with_name("elsewhere"))
    for look in (Metastore.open, Metastore.open_to_read):
        with pytest.raises(EnvironmentBroken, match="there is only its write-ahead log; put the file back beside it, "):
            look(f"sqlite:///{file}")
    file.touch()
    for look in (Metastore.open, Metastore.open_to_read):
        with pytest.raises(EnvironmentBroken, match="was emptied"):
            look(f"sqlite:///{file}")
    assert beside(file, "-wal").stat().st_size > 0


def test_a_link_to_the_file_may_stay_one_but_not_lead_elsewhere(tmp_path: Path, file: Path, clock: FalseClock) -> None:
    Metastore.open(f"sqlite:///{file}", clock=clock).close()
    link = tmp_path / "link"
    link.symlink_to(file)
    store = Metastore.open(f"sqlite:///{link}", clock=clock)
    World(store, clock).backfill(A)
    shutil.copy(file, tmp_path / "other")
    link.unlink()
    link.symlink_to(tmp_path / "other")
    with pytest.raises(EnvironmentBroken, match="another file was put in its place"):
        store.list_pools()
    store.close()
    link.unlink()
    link.symlink_to(tmp_path / "nothing")
    with pytest.raises(EnvironmentBroken, match="it is a link that leads to nothing"):
        Metastore.open(f"sqlite:///{link}")


def test_a_file_that_changes_as_it_is_opened_is_opened_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So does a file of a container's image, which is copied when it is first opened for writing."""
    Metastore.open(f"sqlite:///{file}").close()
    database = Database(f"sqlite:///{file}", sqlite_synchronous="normal", clock=None, wait_seconds=1)
    opened, times = database._opened, []

    def replaced_meanwhile() -> Any:
        times.append(1)
        if len(times) < 3:
            replace(file)
        return opened()

    monkeypatch.setattr(database, "_opened", replaced_meanwhile)
    database.connect()
    assert len(times) == 3
    database.release()
    times[:] = [1]
    monkeypatch.setattr("tailrace.metastore.db.connection._OPENINGS", 1)
    with pytest.raises(EnvironmentBroken, match="another file was put in its place"):
        database.connect()


# --- content ---------------------------------------------------------------------------------------------------


def restore(file: Path, copy: Path) -> None:
    """Put back what a copy holds, as SQLite's own tools do: in a transaction, file and logs stay what they are."""
    with closing(sqlite3.connect(copy)) as source, closing(sqlite3.connect(file, timeout=20)) as target:
        source.backup(target)


@pytest.mark.parametrize("which", ["older", "another"])
def test_a_copy_that_is_restored_under_a_job_ends_it(sqlite: World, file: Path, clock: FalseClock, which: str) -> None:
    """Its heartbeat would renew another job's lease, and its verdict be about other runs."""
    copy = file.with_name("copy")
    if which == "older":
        restore(copy, file)
    else:
        with closing(Metastore.open(f"sqlite:///{copy}", clock=clock)) as other:
            World(other, clock).backfill(dag("b"), days=30)
        with closing(sqlite3.connect(copy, isolation_level=None)) as renamed:  # as ids are that nobody counts
            renamed.execute("UPDATE history SET write_id = 'their-' || write_id WHERE id > 2")
    sqlite.backfill(A, days=2, new=True)
    job = sqlite.job(A, 1)
    assert sqlite.store.heartbeat(job, 20.0)
    restore(file, copy)
    with closing(Metastore.open(f"sqlite:///{file}", clock=clock)) as meanwhile:
        World(meanwhile, clock).backfill(dag("c"), days=5)  # ids are given again
        state = meanwhile.list_pools()
    for attempt in (
        lambda: sqlite.store.heartbeat(job, 20.0),
        lambda: sqlite.store.end_job(job, JobState.FAILED),
        lambda: sqlite.store.require_same_content(),
        lambda: sqlite.store.apply(
            Plan(dag=A, job_id=job, backfill_verdict=BackfillVerdict(1, 1, BackfillState.SUCCESS, {})), "verdict"
        ),
    ):
        with pytest.raises(EnvironmentBroken, match=r"what it held was replaced while it was in use \(a copy") as said:
            attempt()
        one_line(said)
    with closing(Metastore.open(f"sqlite:///{file}", clock=clock)) as again:
        assert again.list_pools() == state


def test_cleaning_is_no_replacement(sqlite: World) -> None:
    """Whoever has seen a row that is cleaned away sees that newer ones are there."""
    job = sqlite.job(A, 1)
    assert sqlite.store.heartbeat(job, 20.0)
    seen = sqlite.store._witness._id
    sqlite.backfill(A, days=2, new=True)
    sqlite.store._database.write(lambda tx: tx.connection.exec_driver_sql(f"DELETE FROM history WHERE id <= {seen}"))
    assert sqlite.store.heartbeat(job, 20.0)
    assert sqlite.store._witness._id > seen


def test_a_heartbeat_finds_what_was_written_over_the_file(sqlite: World, file: Path) -> None:
    """SQLite read on: an index without entries made a job wait for nothing, for ever."""
    job = sqlite.job(A, 1)
    with closing(Metastore.open(f"sqlite:///{file}")) as other:
        other._database._connected().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    assert sqlite.store.heartbeat(job, 20.0)
    sqlite.store.list_pools()
    other_file = file.with_name("other")
    Metastore.open(f"sqlite:///{other_file}").close()
    file.write_bytes(other_file.read_bytes())
    with pytest.raises(EnvironmentBroken, match="damaged|replaced"):
        for _ in range(2):
            sqlite.store.heartbeat(job, 20.0)


# --- damage ----------------------------------------------------------------------------------------------------


def scribble(file: Path, seed: int, places: int = 40) -> None:
    """Put random bytes over random places of the file, as a broken disk or program does."""
    chance = random.Random(seed)
    size = file.stat().st_size
    with file.open("r+b", buffering=0) as opened:
        for _ in range(places):
            opened.seek(chance.randrange(100, size - 64))
            opened.write(chance.randbytes(64))


@pytest.mark.parametrize("where", ["", "-wal"])
@pytest.mark.parametrize("seed", range(5))
def test_no_verdict_is_written_over_a_damaged_file(sqlite: World, file: Path, where: str, seed: int) -> None:
    """The job has the rows in memory, and SQLite itself has not looked at all of the file."""
    sqlite.backfill(A, days=200, new=True)
    if not where:
        with closing(Metastore.open(f"sqlite:///{file}")) as other:
            other._database._connected().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    sqlite.store.list_pools()
    scribble(beside(file, where), seed)
    verdict = BackfillVerdict(1, 1, BackfillState.SUCCESS, {})
    with pytest.raises(EnvironmentBroken, match=r"the file is damaged; restore it from a backup copy") as said:
        sqlite.store.apply(Plan(dag=A, job_id=1, backfill_verdict=verdict), "write")
    one_line(said)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(min_value=0), places=st.integers(min_value=10, max_value=60))
def test_random_bytes_are_damage(tmp_path_factory: pytest.TempPathFactory, seed: int, places: int) -> None:
    file = tmp_path_factory.mktemp("damage") / "metastore.sqlite"
    clock = FalseClock()
    with closing(Metastore.open(f"sqlite:///{file}", clock=clock)) as store:
        World(store, clock).backfill(A, days=300)
    look = Soundness(f"file:{file}", file)
    assert not look.is_damaged()
    scribble(file, seed, places)
    assert look.is_damaged()


def test_rows_that_no_longer_make_sense_are_damage_not_a_bug(sqlite: World, file: Path) -> None:
    """Python may stumble over a row before SQLite finds the page that is wrong."""

    def stumble(tx: Any) -> None:
        raise ValueError("'runn\\x00ng' is not a valid DagRunState")

    with pytest.raises(ValueError):
        sqlite.store.read(stumble)
    scribble(beside(file, "-wal"), 1, places=400)
    with pytest.raises(EnvironmentBroken, match="the file is damaged"):
        sqlite.store.read(stumble)


@pytest.mark.parametrize("reads_only", [False, True])
def test_a_schema_that_is_no_text_is_damage(file: Path, reads_only: bool) -> None:
    """SQLite's own message repeats the bytes, and Python cannot read that."""
    Metastore.open(f"sqlite:///{file}").close()
    content = file.read_bytes()
    assert b"CREATE INDEX ix_job_backfill" in content
    file.write_bytes(content.replace(b"CREATE INDEX ix_job_backfill", b"CREATE INDE\x81 ix_job_backfill"))
    database = Database(f"sqlite:///{file}", clock=FalseClock(), wait_seconds=1, reads_only=reads_only)
    with pytest.raises(EnvironmentBroken, match=r"the file is damaged; restore it") as said:
        database.read(lambda tx: tx.change(text("SELECT 1 FROM job")))
    one_line(said)


def lose_rows(file: Path, table: str) -> None:
    """Let the table be empty, and its indexes as they were."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA writable_schema = ON")
        other.execute(f"CREATE TABLE other AS SELECT * FROM {table} WHERE false")
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'other'").fetchone()
        other.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (root, table))
        other.execute("DELETE FROM sqlite_master WHERE name = 'other'")


def insert_default_pool(tx: Transaction) -> None:
    tx.rows(text("INSERT INTO pool (name, slots, description) VALUES ('default_pool', 1, '')"))


def test_a_constraint_that_stays_in_the_way_is_damage(sqlite: World, file: Path) -> None:
    """An index may hold what the table no longer does: SQLite itself sees no harm in that."""
    lose_rows(file, "pool")
    with pytest.raises(EnvironmentBroken, match=r"the file is damaged; restore it from a backup copy") as said:
        Attempts(sqlite.store._database, (0, 0.01)).write(insert_default_pool, "write")
    one_line(said)


def test_rows_that_contradict_each_other_in_a_sound_file_are_said_with_what_to_do(sqlite: World) -> None:
    said = r"its rows contradict each other \(.*pool.*\); run `check metastore`"
    with pytest.raises(EnvironmentBroken, match=said) as raised:
        Attempts(sqlite.store._database, (0, 0.01)).write(insert_default_pool, "write")
    one_line(raised)


def test_a_look_takes_no_more_than_its_part_of_the_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Metastore.open(f"sqlite:///{file}").close()
    now = [100.0]
    monkeypatch.setattr("tailrace.metastore.db.soundness.time.monotonic", lambda: now[0])
    look, looked = Soundness(f"file:{file}", file), list[int]()
    size, written = [1_000_000], [1]
    monkeypatch.setattr(Path, "stat", lambda path: SimpleNamespace(st_size=size[0], st_mtime_ns=written[0]))
    for seconds, bytes_, looks in ((0, 4_000_000, 1), (0, 5_000_000, 1), (10, 40_000_000, 2), (9999, 200_000_000, 2)):
        now[0] += seconds
        size[0] = bytes_
        looked += [1] * look.is_due()
        assert len(looked) == looks, (seconds, bytes_)
    size[0] = 1_000
    for at, looks in ((2, 3), (2, 3), (3, 4)):
        written[0] = at
        looked += [1] * look.is_due(if_touched=True)
        assert len(looked) == looks, at


def test_a_connection_that_was_dropped_keeps_the_file_from_nobody(tmp_path: Path) -> None:
    """One that cannot even roll back is dropped, and with it go SQLite's logs: the next use opens the file again."""
    with closing(Metastore.open(f"sqlite:///{tmp_path}/tailrace.db")) as store:
        store.list_pools()
        database: Any = store._database
        dropped = database._connection
        dropped.connection.dbapi_connection.close()
        database._roll_back()
        assert database._connection is None and not (tmp_path / "tailrace.db-wal").exists()
        assert store.list_pools()
