"""A metastore that an older Tailrace has made is brought up to date, audits well, and goes on where it was.

Those in ``older`` were made by the code of schema 0002 (the first that others tried) and of 0005, by the commands of
one story over ``dags.py``: backfills that succeeded, failed, deadlocked, were cancelled, left to schedulers, and killed
in the middle; tasks cleared and marked, a run triggered, a pool, a paused DAG. The host was renamed.
"""

import gzip
import json
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, select

from tailrace.metastore.db.tables import history
from tailrace.metastore.schema.revisions import HEAD
from tailrace.metastore.store import Metastore
from tests.acceptance.conftest import Run
from tests.conformance.test_schema import described

OLDER = Path(__file__).with_name("older")


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    if request.param == "postgresql":
        new_database: Callable[[], str] = request.getfixturevalue("postgres_server").new_database
        return new_database
    names = iter(("older.db", "new.db"))
    return lambda: f"sqlite:///{tmp_path / next(names)}"


def restore(name: str, url: str) -> None:
    """Fill an empty database from a dump."""
    parsed = make_url(url)
    kind = "sqlite" if parsed.drivername.startswith("sqlite") else "postgresql"
    dump = gzip.decompress((OLDER / f"{name}.{kind}.sql.gz").read_bytes()).decode()
    if kind == "sqlite":
        with closing(sqlite3.connect(str(parsed.database))) as connection:
            connection.executescript(dump)
        return
    with psycopg.connect(parsed.set(drivername="postgresql").render_as_string(hide_password=False)) as opened:
        opened.execute(dump.encode())
        # A server that starts gives every lease its whole length once more; nobody waits for that here.
        opened.execute("UPDATE public.job SET lease_seconds = 0; UPDATE public.task_instance SET lease_seconds = 0")


def changed_after_migrating(url: str, audit: Callable[[], Any]) -> None:
    """What is changed once it is migrated is found, although nobody has written it since."""
    parsed = make_url(url)
    for table, column in (("dag_run", "reason"), ("task_instance", "reason"), ("backfill", "command"), ("job", "host")):
        change = f"UPDATE {table} SET {column} = {column} || '!' WHERE id = (SELECT min(id) FROM {table})"
        undo = f"UPDATE {table} SET {column} = rtrim({column}, '!') WHERE id = (SELECT min(id) FROM {table})"
        for statement, code in ((change, 1), (undo, 0)):
            if parsed.drivername.startswith("sqlite"):
                with closing(sqlite3.connect(str(parsed.database))) as connection:
                    connection.execute(statement)
                    connection.commit()
            else:
                shown = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
                with psycopg.connect(shown) as opened:
                    opened.execute(statement.encode())
            done = audit()
            assert (done.returncode, column in done.stdout) == (code, bool(code)), f"{statement}: {done.stdout}"


def only_the_migration_has_a_person(url: str, asked: Callable[..., Any]) -> None:
    """Nobody knows who did what was done before, and who migrates did not."""
    reading = Metastore.open_to_read(url)
    assert reading is not None
    with closing(reading):
        wanted = select(history.c.kind, history.c.after, history.c.person).where(history.c.person.is_not(None))
        assert [tuple(row) for row in reading.read(lambda tx: tx.rows(wanted))] == [
            ("schema", HEAD, f"ana@{socket.gethostname()}")
        ]
    for words in (("backfill", "list"), ("runs", "list"), ("pools", "list"), ("tasks", "list", "--state", "failed")):
        assert all(each["last_command"] is None for each in asked(*words)), words
    assert all(each["last_pause"] is None for each in asked("dags", "stats"))
    assert all(each["started_by"] is None for each in asked("jobs", "list"))


@pytest.mark.parametrize(
    ("new_url", "name"),
    [("sqlite", "0002"), ("sqlite", "0005"), ("postgresql", "0002")],
    indirect=["new_url"],
)
def test_it_is_migrated_and_goes_on(tailrace: Run, tmp_path: Path, new_url: Callable[[], str], name: str) -> None:
    (tmp_path / "dags").mkdir()
    shutil.copy(OLDER / "dags.py", tmp_path / "dags")
    url, fresh = new_url(), new_url()
    restore(name, url)

    def run(*words: str, code: int = 0) -> str:
        done = tailrace(*words, TAILRACE_DATABASE_URL=url, GOES_WELL="yes", SECONDS_OF_SLOW="0")
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def asked(*words: str) -> Any:
        return json.loads(run(*words, "-o", "json"))

    assert tailrace("db", "migrate", TAILRACE_DATABASE_URL=url, SUDO_USER="ana").returncode == 0
    run("audit")
    only_the_migration_has_a_person(url, asked)
    unsealed = tailrace("audit", TAILRACE_DATABASE_URL=url).stderr
    assert "history rows from before history was chained" in unsealed
    changed_after_migrating(url, lambda: tailrace("audit", TAILRACE_DATABASE_URL=url))
    before = {each["backfill_id"]: each["state"] for each in asked("backfill", "list")}
    assert before == {1: "success", 2: "deadlocked", 3: "failed", 4: "queued", 5: "cancelled", 6: "interrupted"}
    for each in asked("runs", "list"):
        shown = asked("runs", "show", each["dag_id"], each["run_id"])
        assert shown["task_instances"] or each["state"] in ("queued", "cancelled")
        asked("runs", "explain", each["dag_id"], each["run_id"])
    assert "depends_on_past" in run("tasks", "explain", "strict", "p", "2024-01-05")
    run("backfill", "slow", "-s", "2024-01-01", "-e", "2024-01-04")
    run("tasks", "clear", "-y", "strict", "p", "2024-01-03")
    run("scheduler", "--until-idle", code=1)  # both runs of failing
    run("backfill", "strict", "-s", "2024-01-01", "-e", "2024-01-05")
    run("backfill", "etl", "-s", "2024-01-01", "-e", "2024-01-05", "--reprocess", "failed")
    states = {(each["dag_id"], each["run_id"][-25:-15]): each["state"] for each in asked("runs", "list")}
    assert [states["slow", f"2024-01-0{day}"] for day in range(1, 5)] == ["success"] * 4
    assert [states["strict", f"2024-01-0{day}"] for day in range(1, 6)] == ["success"] * 5
    assert [states["failing", f"2024-01-0{day}"] for day in (5, 6)] == ["failed"] * 2
    assert states["etl", "2024-01-05"] == "success"
    run("audit")
    assert tailrace("audit", TAILRACE_DATABASE_URL=url).stderr == unsealed, "none of the new ones"
    Metastore.open(fresh).close()
    assert described(url) == described(fresh)
