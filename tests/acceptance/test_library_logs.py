"""What libraries log or warn of never reaches stderr unasked: a command says in its own line what went wrong.

psycopg logs "error ignored terminating <psycopg.Pipeline …>" when a server goes at a certain moment, which made six
lines of one, once in a while. Here such records are planted in the process of the command, and of its workers.
"""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.library_logs import kept_library_logs
from tests.acceptance.conftest import clean_environment

LOGGERS = ("psycopg", "psycopg.pool", "sqlalchemy.pool.impl", "alembic.runtime.migration", "asyncio", "anything.else")

#: Runs a command whose process logs and warns, as its libraries might, at each transaction: workers' too.
PLANTED = f"""
import logging, sys, threading, warnings
from tailrace.cli.main import main
from tailrace.metastore.db.connection import Database

def planted(do):
    def speak():
        for name in {LOGGERS!r}:
            logging.getLogger(name).warning("error ignored terminating %r: %s", "<psycopg.Pipeline>", "planted")
            logging.getLogger(name).error("%d arguments that do not fit", "planted")
        for kind in (UserWarning, RuntimeWarning, DeprecationWarning):
            warnings.warn("planted", kind)

    def transaction(self, work):
        speak()
        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
        return do(self, work)

    return transaction

Database.read, Database.write = planted(Database.read), planted(Database.write)
main(sys.argv[1:])
"""

DAG = """
import logging
from datetime import datetime
from tailrace import DAG, PythonOperator

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="t", python_callable=lambda: logging.getLogger("psycopg").warning("of the task's own"))
"""


def planted(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PLANTED, *arguments],
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_a_command_and_its_workers_keep_them(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    done = planted(tmp_path, "backfill", "d", "-s", "2024-01-01", "-e", "2024-01-03", "-w", "2")
    assert (done.returncode, "planted" in done.stderr + done.stdout) == (0, False), done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["backfill"], done.stderr
    (log,) = tmp_path.glob(".tailrace/logs/d/*2024-01-02*/t.1.log")
    assert "WARNING psycopg: of the task's own" in log.read_text(), "a task's are its own"


def test_an_error_stays_one_line(tmp_path: Path) -> None:
    (tmp_path / "not.db").write_bytes(b"no database" * 1000)
    done = planted(tmp_path, "db", "check", TAILRACE_DATABASE_URL="sqlite:///not.db")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_whoever_asks_gets_them(tmp_path: Path) -> None:
    assert planted(tmp_path, "db", "migrate").returncode == 0
    done = planted(tmp_path, "db", "check", "-vv")
    assert "log: psycopg: error ignored terminating '<psycopg.Pipeline>': planted" in done.stderr
    assert "UserWarning: planted" in done.stderr
    done = planted(tmp_path, "db", "check", PYTHONWARNINGS="default")
    assert "UserWarning: planted" in done.stderr


def test_a_server_that_goes_in_the_middle_of_many_rows_makes_psycopg_log(postgres_url: str) -> None:
    """The cause that made a test fail now and then, at the moment at which it must happen."""
    database = Database(postgres_url, sqlite_synchronous="normal", clock=None, wait_seconds=5)
    table = sa.Table("t", sa.MetaData(), sa.Column("x", sa.Integer))
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (x integer)")
        connection.execute(
            "CREATE FUNCTION go() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER go BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.x = 700) EXECUTE FUNCTION go()")
    values = [{"x": each} for each in range(1000)]
    with pytest.raises(EnvironmentBroken, match="the connection broke"):
        database.write(lambda tx: tx.change_many(sa.insert(table), values))
    database.release()
    assert any("psycopg" in line for line in kept_library_logs()), kept_library_logs()


def test_what_a_server_notices_stays_with_it(postgres_url: str, tmp_path: Path) -> None:
    """At each connection (a collation that is another version's), and at statements."""
    plain = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    environment = clean_environment(TAILRACE_DATABASE_URL=postgres_url, PGOPTIONS="-c client_min_messages=debug2")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tailrace", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

    assert run("db", "migrate").returncode == 0
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("UPDATE pg_database SET datcollversion = '0' WHERE datname = current_database()")
        connection.execute(
            "CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE WARNING 'planted'; RAISE NOTICE 'planted'; RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER say BEFORE INSERT OR UPDATE ON job FOR EACH ROW EXECUTE FUNCTION say()")
    done = run("backfill", "d", "-s", "2024-01-01", "-e", "2024-01-02")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["backfill"], done.stderr
