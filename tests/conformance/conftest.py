"""One suite, two databases: every test that asks for ``url`` or ``store`` runs on SQLite and on a real PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from tailrace.metastore.store import Metastore
from tests.conformance.worlds import PERSON, FalseClock, World


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Any) -> str:
    """A database with our tables, to be copied: much faster than creating them for each test."""
    url = postgres_server.new_database()
    Metastore.open(url).close()
    return str(make_url(url).database)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh metastore."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/metastore.sqlite"
    server = request.getfixturevalue("postgres_server")
    return str(server.new_database(request.getfixturevalue("postgres_template")))


@pytest.fixture
def clock() -> FalseClock:
    """The time of every metastore of the test."""
    return FalseClock()


@pytest.fixture
def open_store(url: str, clock: FalseClock) -> Iterator[Callable[..., Metastore]]:
    """Opens one more process's way to the same metastore; all are closed at the end."""
    opened: list[Metastore] = []

    def open_one(**options: Any) -> Metastore:
        opened.append(Metastore.open(url, **{"clock": clock, "person": PERSON, **options}))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Metastore]) -> Metastore:
    """A metastore."""
    return open_store()


@pytest.fixture
def other(open_store: Callable[..., Metastore]) -> Metastore:
    """Another process's way to the same metastore; it waits only a moment for a lock."""
    return open_store(lock_wait=0.2)


@pytest.fixture
def world(store: Metastore, clock: FalseClock) -> World:
    """The metastore with what a test needs to set a scene in a line or two."""
    return World(store, clock)


_BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
def behind(
    world: World, open_store: Callable[..., Metastore]
) -> Callable[[Callable[[Any], Any], Callable[[Metastore], Any]], Any]:
    """Do a write; start a second one that has to wait for it; let the first commit; what the second answers."""
    second, watcher = open_store(), open_store()

    def run(first: Callable[[Any], Any], then: Callable[[Metastore], Any]) -> Any:
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(then(second)))

        def work(tx: Any) -> None:
            first(tx)
            thread.start()
            deadline = time.monotonic() + 120
            while watcher.read(lambda tx: tx.rows(_BLOCKED)[0][0]) == 0:
                assert thread.is_alive(), f"it did not wait: {answers}"
                assert time.monotonic() < deadline, "it never came to wait"

        world.store._database.write(work)
        thread.join(120)
        assert len(answers) == 1
        return answers[0]

    return run
