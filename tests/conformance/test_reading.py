"""Reading needs only the right to read, makes nothing, migrates nothing, and shows nothing of two moments."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, text

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.schema.revisions import HEAD
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.runs import RunFilter
from tailrace.planning.explain import explain_run
from tailrace.planning.resizing import plan_resize
from tests.conformance.first_schema import back_to_first_schema
from tests.conformance.worlds import FalseClock, World, dag
from tests.without_write import NOBODY, open_to_writing, readable_folder, with_write, without_write

A = dag("a>b")
_POOLS = text("SELECT count(*) FROM pool")


@pytest.fixture
def folder() -> Iterator[Path]:
    with readable_folder() as made:
        yield made


@pytest.fixture
def file(folder: Path) -> Iterator[Path]:
    """A SQLite metastore that nobody uses: one backfill of two dates."""
    file = folder / "home" / "metastore.sqlite"
    add_backfill(file)
    yield file
    if file.parent.exists():
        open_to_writing(file.parent)


def add_backfill(file: Path) -> None:
    with closing(Metastore.open(f"sqlite:///{file}", clock=FalseClock())) as store:
        World(store, FalseClock()).backfill(A, days=2)


def add_pool(file: Path, name: str) -> None:
    with closing(Metastore.open(f"sqlite:///{file}")) as store:
        store.resize(plan_resize(store.resize_facts(name), name, 1), name)


def opened(file: Path) -> Metastore:
    store = Metastore.open_to_read(f"sqlite:///{file}", lock_wait=0.2)
    assert store is not None
    return store


def everything(store: Metastore) -> list[object]:
    """All that is ever shown of a metastore with one DAG."""
    assert store.audit().violations == ()
    run = store.list_runs(RunFilter("dag"), 1)[0]
    found = store.find_runs("dag", run.run_id)[0]
    return [
        store.list_runs(RunFilter(), 10),
        store.list_backfills(None, 10),
        store.list_pools(),
        store.dag_stats(None),
        store.backfill_summary(1),
        store.task_instances_of(found.id),
        explain_run(store.explained(found.id)).waits,
        store.known_dags(),
        store.loaded_dags(),
    ]


def listed(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- SQLite ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("may_write", [False, True])
def test_reading_changes_nothing(file: Path, may_write: bool) -> None:
    before = listed(file.parent)
    if may_write:
        with closing(opened(file)) as store:
            assert len(everything(store)) == 9
    else:
        with without_write(file.parent), closing(opened(file)) as store:
            assert len(everything(store)) == 9
    assert listed(file.parent) == before


def test_writing_is_refused_in_a_line(file: Path) -> None:
    with closing(opened(file)) as store, pytest.raises(EnvironmentBroken, match="it is read-only; make the file"):
        store.set_paused("dag", True, "write")
    with without_write(file.parent), pytest.raises(EnvironmentBroken, match="it is read-only; make the file"):
        add_pool(file, "first")


@contextmanager
def another_process(file: Path) -> Iterator[Callable[[str], None]]:
    """A process that has the metastore open, writes a pool when told its name, and ends at the end."""
    script = (
        "import sys\nfrom tailrace.metastore.store import Metastore\n"
        "from tailrace.planning.resizing import plan_resize\n"
        "store = Metastore.open(sys.argv[1])\nprint('open', flush=True)\n"
        "for name in map(str.strip, sys.stdin):\n"
        "    store.resize(plan_resize(store.resize_facts(name), name, 1), name)\n"
        "    print('done', flush=True)\n"
        "store.close()\n"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{file}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"

        def write(name: str) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        yield write
        process.stdin.close()
        assert process.wait(30) == 0


def pools(store: Metastore) -> list[str]:
    return [pool.name for pool in store.list_pools()]


def test_what_others_write_is_read(file: Path) -> None:
    """They have a write-ahead log there, which is read in."""
    with another_process(file) as write:
        write("first")
        with without_write(file.parent), closing(opened(file)) as store:
            assert pools(store) == ["default_pool", "first"]
            write("second")
            assert pools(store) == ["default_pool", "first", "second"]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_log_that_comes_and_goes_is_followed(file: Path) -> None:
    with without_write(file.parent), closing(opened(file)) as store:
        assert pools(store) == ["default_pool"]
        with with_write(file.parent), another_process(file) as write:
            write("first")
            assert pools(store) == ["default_pool", "first"]
        assert pools(store) == ["default_pool", "first"]
        with with_write(file.parent), another_process(file) as write:
            write("second")
        assert pools(store) == ["default_pool", "first", "second"]


def test_what_changes_meanwhile_is_read_again(file: Path) -> None:
    """Told that the file does not change, SQLite would show pages of two moments."""
    seen: list[int] = []
    with without_write(file.parent), closing(opened(file)) as store:

        def counted(tx: Transaction) -> int:
            seen.append(tx.value(_POOLS))
            if len(seen) == 1:
                with with_write(file.parent):
                    add_pool(file, "first")
            return seen[-1]

        assert store.read(counted) == 2
        assert seen == [1, 2]


def test_who_reads_keeps_nobody_from_writing(file: Path) -> None:
    with without_write(file.parent), closing(opened(file)) as store:
        assert pools(store) == ["default_pool"]
        with with_write(file.parent), another_process(file) as write:
            write("first")
            add_pool(file, "second")
        assert pools(store) == ["default_pool", "first", "second"]


def test_an_error_of_two_moments_is_none(file: Path) -> None:
    seen: list[int] = []
    with without_write(file.parent), closing(opened(file)) as store:

        def stumbles(tx: Transaction) -> int:
            seen.append(tx.value(_POOLS))
            if len(seen) == 1:
                with with_write(file.parent):
                    add_pool(file, "first")
                raise ValueError("half a row")
            return seen[-1]

        assert store.read(stumbles) == 2


def test_a_log_that_nobody_may_read_in_is_not_passed_over(file: Path) -> None:
    log = file.with_name(f"{file.name}-wal")
    log.write_bytes(b"what nobody has moved into the file")
    with without_write(file.parent), pytest.raises(EnvironmentBroken, match="left with a write-ahead log, in which"):
        opened(file)


def test_an_empty_log_is_none(file: Path) -> None:
    file.with_name(f"{file.name}-wal").touch()
    with without_write(file.parent), closing(opened(file)) as store:
        assert pools(store) == ["default_pool"]


@pytest.mark.parametrize("existing", ["nothing", "an empty file", "no tables"])
def test_nothing_was_ever_written(folder: Path, existing: str) -> None:
    file = folder / "home" / "metastore.sqlite"
    file.parent.mkdir()
    if existing == "an empty file":
        file.touch()
    elif existing == "no tables":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE other (x)")
    before = listed(file.parent)
    with without_write(file.parent):
        assert Metastore.open_to_read(f"sqlite:///{file}") is None
    assert Metastore.open_to_read(f"sqlite:///{file}") is None
    assert listed(file.parent) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_what_one_may_not_read_is_said(file: Path) -> None:
    with without_write(file.parent):
        os.seteuid(0)
        file.chmod(0o600)
        os.seteuid(NOBODY)
        with pytest.raises(EnvironmentBroken, match="you may not read it; ask its owner, or set TAILRACE_HOME"):
            opened(file)
        os.seteuid(0)
        file.parent.chmod(0o700)
        os.seteuid(NOBODY)
        with pytest.raises(EnvironmentBroken, match="you may not look into its folder; ask its owner, or set TAILRAC"):
            opened(file)


@pytest.mark.parametrize("may_write", [False, True])
def test_an_older_schema_is_said_and_stays(file: Path, may_write: bool) -> None:
    back_to_first_schema(file)
    said = f"its schema is 0001, this Tailrace needs {HEAD}; run `migrate`$"
    before = listed(file.parent)
    if may_write:
        with pytest.raises(EnvironmentBroken, match=said):
            opened(file)
    else:
        with without_write(file.parent), pytest.raises(EnvironmentBroken, match=said):
            opened(file)
    assert listed(file.parent) == before


# --- both ------------------------------------------------------------------------------------------------------


def test_what_is_read_is_what_a_writer_reads(url: str, world: World, clock: FalseClock) -> None:
    world.backfill(A, days=3)
    with_right = Metastore.open_to_read(url, clock=clock)
    assert with_right is not None
    with closing(with_right):
        assert everything(with_right) == everything(world.store)


# --- PostgreSQL ------------------------------------------------------------------------------------------------


def test_the_right_to_select_is_enough(postgres_server: object, postgres_template: str, clock: FalseClock) -> None:
    url = postgres_server.new_database(postgres_template)  # type: ignore[attr-defined]
    with closing(Metastore.open(url, clock=clock)) as store:
        World(store, clock).backfill(A, days=3)
        expected = everything(store)
    reader = selecting_role(url)
    reading = Metastore.open_to_read(reader, clock=clock)
    assert reading is not None
    with closing(reading):
        assert everything(reading) == expected
        with pytest.raises(EnvironmentBroken, match="this user may not do that there; grant it the rights"):
            reading.set_paused("dag", True, "write")


def selecting_role(url: str) -> str:
    """The URL of a user who may only read in this database."""
    parsed = make_url(url)
    name = f"reader_{parsed.database}"
    with psycopg.connect(parsed.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
    return parsed.set(username=name).render_as_string(hide_password=False)
