"""What the environment does to us ends in one line that says what to do, and leaves nothing half-written."""

import os
import sqlite3
import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError

from tailrace.effects.requests import Effect, ReapDeadJobs
from tailrace.errors import CommandError, EnvironmentBroken, InternalError
from tailrace.metastore.commands import creation
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.driver_errors import Contended, of_driver
from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.schema import revisions as schema
from tailrace.metastore.store import Metastore
from tailrace.runtime.driver import drive_job
from tests.conformance.first_schema import back_to_first_schema
from tests.conformance.worlds import FalseClock, World, dag
from tests.postgres_server import PostgresServer

A = dag("a")


def one_line(said: pytest.ExceptionInfo[EnvironmentBroken]) -> str:
    text = str(said.value)
    assert "\n" not in text
    assert said.value.exit_code == 4
    return text


# --- SQLite ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "metastore.sqlite"


@pytest.fixture
def sqlite(file: Path, clock: FalseClock) -> Iterator[World]:
    """A metastore in a file; its folder is made."""
    store = Metastore.open(f"sqlite:///{file}", clock=clock, lock_wait=0.2)
    yield World(store, clock)
    store.close()


def test_its_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(EnvironmentBroken, match="its folder cannot be made") as said:
        Metastore.open(f"sqlite:///{tmp_path}/taken/metastore.sqlite")
    assert "TAILRACE_HOME" in one_line(said)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match="it cannot be opened; check that its folder exists") as said:
        Metastore.open(f"sqlite:///{tmp_path}")
    one_line(said)


def test_no_database(tmp_path: Path) -> None:
    file = tmp_path / "not.sqlite"
    file.write_bytes(b"certainly no database, whatever its name says" * 100)
    with pytest.raises(EnvironmentBroken, match="is not a SQLite database; move it away") as said:
        Metastore.open(f"sqlite:///{file}")
    one_line(said)
    assert file.read_bytes().startswith(b"certainly")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file(sqlite: World, file: Path) -> None:
    sqlite.store.close()
    file.chmod(0o400)
    file.parent.chmod(0o500)
    with pytest.raises(EnvironmentBroken, match="read-only") as said:
        sqlite.backfill(A)
    one_line(said)


def test_a_write_to_what_is_read_only(sqlite: World) -> None:
    sqlite.store._database._connected().exec_driver_sql("PRAGMA query_only = ON")
    with pytest.raises(EnvironmentBroken, match="it is read-only; make the file and its folder writable") as said:
        sqlite.backfill(A)
    one_line(said)


def test_a_full_disk_leaves_nothing_half_written(sqlite: World) -> None:
    connection = sqlite.store._database._connected()
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(EnvironmentBroken, match="the disk is full; free some space") as said:
        sqlite.backfill(A, days=1000)
    one_line(said)
    assert sqlite.rows(dag_run) == []
    connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    sqlite.backfill(A, days=1000)
    assert len(sqlite.rows(dag_run)) == 1000


def test_a_transaction_somebody_left_open_is_waited_for_only_so_long(sqlite: World, file: Path) -> None:
    """The thread's second finding: a lock taken and never given back blocked a task instance for ever."""
    with closing(sqlite3.connect(file, isolation_level=None)) as stuck:
        stuck.execute("BEGIN IMMEDIATE")
        with pytest.raises(EnvironmentBroken, match="another process has kept it locked for 0.2 s; find it") as said:
            sqlite.backfill(A)
        assert str(file) in one_line(said)
        assert sqlite.rows(dag_run) == [], "reading goes on"
    sqlite.backfill(A)


def test_a_file_that_another_first_job_is_about_to_make_is_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself does not wait before it switches a file to its log: a second first job was told "locked"."""
    file.parent.mkdir()
    first = sqlite3.connect(file, isolation_level=None)
    first.execute("CREATE TABLE IF NOT EXISTS t (x)")
    first.execute("DROP TABLE t")
    first.execute("BEGIN IMMEDIATE")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            first.close()

    monkeypatch.setattr("tailrace.metastore.db.write_lock.time.sleep", pause)
    Metastore.open(f"sqlite:///{file}").close()
    assert len(pauses) == 3


def test_synchronous_is_as_asked(file: Path) -> None:
    for asked, level in (("normal", 1), ("full", 2)):
        store = Metastore.open(f"sqlite:///{file}", sqlite_synchronous=asked)
        connection = store._database._connected()
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == level
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        store.close()
    with pytest.raises(CommandError, match="'normal' or 'full', not 'off'"):
        Metastore.open(f"sqlite:///{file}", sqlite_synchronous="off")


def test_an_older_schema_is_migrated_after_a_copy_unless_a_job_is_alive(sqlite: World, file: Path) -> None:
    sqlite.backfill(A)
    job = sqlite.job(A, 1)
    sqlite.store.close()
    back_to_first_schema(file)
    with pytest.raises(EnvironmentBroken, match=f"its schema is older and job {job} still runs on it") as said:
        Metastore.open(f"sqlite:///{file}", clock=sqlite.clock)
    one_line(said)
    with closing(sqlite3.connect(file)) as older:
        assert older.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        older.execute("UPDATE job SET state = 'failed'")
        older.commit()
    Metastore.open(f"sqlite:///{file}", clock=sqlite.clock).close()
    with closing(sqlite3.connect(file)) as migrated:
        assert migrated.execute("SELECT version_num FROM alembic_version").fetchall() == [(schema.HEAD,)]
        assert migrated.execute("SELECT id, detached FROM backfill").fetchall() == [(1, 0)]
        assert migrated.execute("SELECT count(*) FROM capacity_wait").fetchall() == [(0,)]
    with closing(sqlite3.connect(file.with_name("metastore.sqlite.0001.backup"))) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert copy.execute("SELECT count(*) FROM dag_run").fetchall() == [(1,)]


@pytest.fixture
def older(sqlite: World, file: Path) -> Path:
    """A SQLite metastore of the first schema, which nobody uses."""
    sqlite.backfill(A)
    sqlite.store.close()
    back_to_first_schema(file)
    return file


def backups(file: Path) -> list[str]:
    return sorted(each.name.removeprefix(file.name) for each in file.parent.glob("*backup*"))


def test_a_migration_copies_what_nobody_can_change_meanwhile(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy, held = schema.back_up, []

    def copied_under_the_lock(file: Path, revision: str) -> Path:
        with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
        held.append(True)
        return copy(file, revision)

    monkeypatch.setattr(schema, "back_up", copied_under_the_lock)
    assert Metastore.migrate(f"sqlite:///{older}").backup == older.with_name(f"{older.name}.0001.backup")
    assert held


def test_a_copy_is_never_written_over(older: Path) -> None:
    first = older.with_name(f"{older.name}.0001.backup")
    first.write_text("precious")
    older.with_name(f"{older.name}.0001.2.backup").symlink_to("elsewhere")
    report = Metastore.migrate(f"sqlite:///{older}")
    assert report.backup == older.with_name(f"{older.name}.0001.3.backup")
    assert first.read_text() == "precious"
    assert not older.with_name("elsewhere").exists()
    assert report.backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(report.backup)) as copy:
        assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_copy_that_cannot_be_made_leaves_nothing_and_changes_nothing(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("tailrace.metastore.schema.backing_up.os.replace", full)
        with pytest.raises(
            EnvironmentBroken, match=r"no backup copy could be made beside it \(.*No space left"
        ) as said:
            Metastore.migrate(f"sqlite:///{older}")
        one_line(said)
    assert backups(older) == []
    assert Metastore.migrate(f"sqlite:///{older}").found == "0001"
    assert backups(older) == [".0001.backup"]


def test_of_two_that_migrate_at_once_the_second_finds_it_done(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And makes no copy of what is new already under the name of what is old."""
    revision, asked = schema._revision, []

    def old_yet(tx: Any) -> str | None:
        asked.append(tx)
        if len(asked) == 1:
            Metastore.migrate(f"sqlite:///{older}")
            return "0001"
        return revision(tx)

    monkeypatch.setattr(schema, "_revision", old_yet)
    report = Metastore.migrate(f"sqlite:///{older}")
    assert (report.found, report.now, report.backup) == (schema.HEAD, schema.HEAD, None)
    assert backups(older) == [".0001.backup"]


def test_asking_whether_it_is_empty_makes_nothing(file: Path) -> None:
    assert Metastore.open_to_read(f"sqlite:///{file}") is None
    assert not file.parent.exists()
    Metastore.open(f"sqlite:///{file}").close()
    reading = Metastore.open_to_read(f"sqlite:///{file}")
    assert reading is not None
    reading.close()


# --- PostgreSQL ------------------------------------------------------------------------------------------------


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match="nobody listens there; start the server") as said:
        Metastore.open("postgresql+psycopg://me:secret@127.0.0.1:1/tailrace")
    assert "secret" not in one_line(said)


def test_an_unknown_host() -> None:
    with pytest.raises(EnvironmentBroken, match="its host is unknown; check TAILRACE_DATABASE_URL") as said:
        Metastore.open("postgresql://me:secret@no-such-host.invalid/tailrace?password=secret&sslpassword=secret")
    assert "secret" not in one_line(said)


def test_an_unknown_database(postgres_url: str) -> None:
    missing = make_url(postgres_url).set(database="none_such").render_as_string(hide_password=False)
    with pytest.raises(EnvironmentBroken, match="create it") as said:
        Metastore.open(missing)
    assert "none_such" in one_line(said)


def test_a_user_who_may_not(postgres_url: str) -> None:
    stranger = make_url(postgres_url).set(username="nobody_we_know", password="secret")
    with pytest.raises(EnvironmentBroken) as said:
        Metastore.open(stranger.render_as_string(hide_password=False))
    assert "secret" not in one_line(said)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(EnvironmentBroken, match=r"pip install 'psycopg\[binary\]'") as said:
        Metastore.open("postgresql://me:secret@127.0.0.1:1/tailrace")
    assert "secret" not in one_line(said)


@pytest.fixture
def postgres(postgres_url: str, clock: FalseClock) -> Iterator[World]:
    """A metastore on PostgreSQL."""
    store = Metastore.open(postgres_url, clock=clock, lock_wait=0.2)
    yield World(store, clock)
    store.close()


def terminate(url: str) -> None:
    """End every other session of the database, as a restart of the server does."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_session_that_was_ended_is_opened_again(postgres: World, postgres_url: str) -> None:
    postgres.backfill(A)
    terminate(postgres_url)
    assert len(postgres.rows(dag_run)) == 1
    terminate(postgres_url)
    postgres.backfill(A, days=2)
    assert len(postgres.rows(dag_run)) == 2


@pytest.mark.parametrize("when", ["in the middle", "before the commit"])
def test_a_session_that_ends_within_a_write(
    postgres: World, postgres_url: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    where = "_want" if when == "in the middle" else "record"
    do, ended = getattr(creation, where), []

    def end_once(*given: Any) -> None:
        do(*given)
        if not ended:
            ended.append(terminate(postgres_url))

    monkeypatch.setattr(creation, where, end_once)
    id = postgres.backfill(A, days=2)
    assert len(ended) == 1
    assert len(postgres.rows(dag_run)) == 2
    assert [row.write_id for row in postgres.history(kind="backfill")] == ["write-1"]
    assert postgres.store.show_backfill(id) is not None


def test_a_row_somebody_keeps_locked(postgres: World, postgres_url: str) -> None:
    postgres.backfill(A)
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as stuck:
        stuck.execute("SELECT * FROM dag FOR UPDATE")
        with pytest.raises(
            EnvironmentBroken, match=r"kept a row locked for 0.2 s; end it \(see pg_stat_activity\)"
        ) as said:
            postgres.backfill(A, days=2)
        one_line(said)
    postgres.backfill(A, days=2)


def test_a_server_that_comes_back(
    postgres_server_of_its_own: Any, clock: FalseClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who was connected waits for it, in bounds; somebody who was not is told at once."""
    server = postgres_server_of_its_own
    url = server.new_database()
    world = World(Metastore.open(url, clock=clock), clock)
    world.backfill(A)
    pauses: list[float] = []

    def come_back_at(pause: int) -> None:
        def wait(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == pause:
                server.start()

        pauses.clear()
        monkeypatch.setattr("tailrace.metastore.repeating.time", SimpleNamespace(sleep=wait))

    server.kill()
    come_back_at(2)
    world.backfill(A, days=2)
    assert len(world.rows(dag_run)) == 2
    assert pauses == [0.1, 0.4]
    world.store.release()
    server.kill()
    come_back_at(1)
    world.backfill(A, days=2, new=True)
    assert pauses == [0.1], "a connection closed for a fork is no reason to give up at once"
    world.store.release()
    server.kill()
    come_back_at(1)
    world.store.connect()
    assert pauses == [0.1], "a worker waits for the server before it takes its first try"
    server.kill()
    come_back_at(99)
    with pytest.raises(EnvironmentBroken) as said:
        world.backfill(A, days=3)
    one_line(said)
    assert "did not come back within 30 s, the same command continues" in str(said.value)
    assert pauses == [0.1, 0.4, 1.5, 4.0, 6.0, 8.0, 10.0]
    pauses.clear()
    with pytest.raises(EnvironmentBroken):
        world.backfill(A, days=3)
    with pytest.raises(EnvironmentBroken):
        Metastore.open(url)
    assert pauses == []
    server.start()
    assert len(world.rows(dag_run)) == 2
    world.store.close()


@pytest.fixture
def postgres_server_of_its_own() -> Iterator[Any]:
    """A server that a test may kill."""
    with PostgresServer.running(durable=False) as server:
        yield server


# --- addresses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("not an address", "is not a URL"),
        ("mysql://here/there", "SQLite or PostgreSQL"),
        ("nonsense://here/there", "names another kind of database"),
        ("sqlite://", "in memory, which workers cannot share"),
        ("sqlite:///:memory:", "in memory, which workers cannot share"),
    ],
)
def test_an_address_that_is_none(address: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        Metastore.open(address)


def test_a_description_has_no_password() -> None:
    url = "postgres://me:secret@here:5433/db?password=secret&application_name=us"
    database = Database(url, sqlite_synchronous="normal", clock=None, wait_seconds=1)
    assert "secret" not in database.where
    assert database.where == "postgresql+psycopg://me:***@here:5433/db?password=***&application_name=us"


class _Driver(Exception):
    sqlstate: str | None = None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("28P01", "the password was refused"),
        ("53100", "the server's disk is full"),
        ("25006", "the server is read-only"),
        ("53300", "no connection left"),
        ("XX000", "something we never heard of"),
    ],
)
def test_what_a_server_reports(code: str, said: str) -> None:
    original = _Driver("ERROR: something we never heard of\nDETAIL: {and} more")
    original.sqlstate = code
    error = of_driver(DBAPIError("SELECT", {}, original), "there", postgres=True, wait_seconds=1)
    assert said in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_who_has_to_give_way_may_try_again(code: str) -> None:
    original = _Driver("deadlock detected")
    original.sqlstate = code
    assert isinstance(of_driver(DBAPIError("UPDATE", {}, original), "there", postgres=True, wait_seconds=1), Contended)


def test_two_first_starts_at_once(url_of_nothing: str, clock: FalseClock) -> None:
    """The second finds the tables when its turn comes, and takes them."""
    first = Metastore.open(url_of_nothing, clock=clock)
    revision, asked = schema._revision, []

    def nothing_yet(tx: Any) -> str | None:
        asked.append(tx)
        return None if len(asked) == 1 else revision(tx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "_revision", nothing_yet)
        Metastore.open(url_of_nothing, clock=clock).close()
    assert len(asked) == 2
    assert [pool.name for pool in first.list_pools()] == ["default_pool"]
    first.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url_of_nothing(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a metastore that has no tables yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new.sqlite"
    return str(request.getfixturevalue("postgres_url"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dag_run SET state = 'asleep'",
        "UPDATE dag_run SET state = NULL",
        "UPDATE backfill SET state = 'asleep'",
        "UPDATE backfill_run SET run_state = 'asleep'",
        "UPDATE task_instance SET state = 'asleep'",
        "UPDATE task_instance SET stopping_to = 'asleep'",
        "UPDATE job SET state = 'asleep'",
        "UPDATE pool SET slots = -2",
        "UPDATE dag_run SET run_id = 'the same'",
        "UPDATE dag_run SET logical_date = '2024-01-01'",
        "UPDATE task_instance SET dag_run_id = 1, task_id = 'the same'",
        "UPDATE task_instance SET dag_run_id = 999",
    ],
)
def test_the_schema_itself_refuses(world: World, statement: str) -> None:
    _, job = world.begun(A, days=2)
    assert job == 1
    with pytest.raises(sa.exc.IntegrityError):
        world.store._database.write(lambda tx: tx.connection.exec_driver_sql(statement))


def test_a_job_that_fails_by_its_metastore_reports_the_first_thing_that_was_wrong(sqlite: World, file: Path) -> None:
    """Recording the job as failed fails too then; that must not stand in front of the cause."""
    sqlite.backfill(A)
    job = sqlite.job(A, 1)

    def loop() -> Generator[Effect[Any], Any, None]:
        yield ReapDeadJobs()

    def perform(effect: Effect[Any]) -> Any:
        sqlite.store.close()
        for each in file.parent.glob(f"{file.name}*"):
            each.write_bytes(b"no database any more" * 100)
        raise EnvironmentBroken("the cause")

    with pytest.raises(EnvironmentBroken, match="^the cause$"):
        drive_job(sqlite.store, job, loop(), perform)


def test_a_job_that_fails_frees_its_runs_at_once(sqlite: World) -> None:
    sqlite.backfill(A)
    identity = sqlite.process()
    job = sqlite.job(A, 1, identity)

    def loop() -> Generator[Effect[Any], Any, None]:
        yield ReapDeadJobs()
        raise InternalError("a bug")

    assert sqlite.store.jobs_running_on(identity.host) == ((job, identity),)
    with pytest.raises(InternalError, match="^a bug$"):
        drive_job(sqlite.store, job, loop(), lambda effect: 0)
    assert sqlite.store.jobs_running_on(identity.host) == ()
