"""The suite's PostgreSQL itself: fresh databases, reached from other processes, and data that outlives a crash."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import make_url

from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.postgres

#: Reads the table from another process.
READER = """
import psycopg, sys
with psycopg.connect(sys.argv[1]) as connection:
    print(*connection.execute("SELECT n FROM kept").fetchone())
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this file's own: the session's must not be killed under other tests."""
    with PostgresServer.running(durable=False) as server:
        yield server


def read(url: str, query: str = "SELECT n FROM kept") -> object:
    with psycopg.connect(plain(url)) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def write(url: str) -> None:
    with psycopg.connect(plain(url)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize("which", ["first", "second"])
def test_each_test_has_an_empty_database(postgres_url: str, which: str) -> None:
    assert read(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    write(postgres_url)


def test_another_process_can_connect(postgres_url: str) -> None:
    write(postgres_url)
    done = subprocess.run([sys.executable, "-c", READER, plain(postgres_url)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_a_database_can_be_copied(server: PostgresServer) -> None:
    original = server.new_database()
    write(original)
    copy = server.new_database(template=str(make_url(original).database))
    assert read(copy) == 7


def test_what_was_committed_outlives_a_crash_and_a_stop(server: PostgresServer) -> None:
    url = server.new_database()
    write(url)
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        read(url)
    server.start()
    assert read(url) == 7
    server.stop()
    server.start()
    assert read(url) == 7
    server.kill()
    server.start()
    assert read(url) == 7
