"""Two processes that find an empty metastore at the same moment: one creates it, the other waits and uses it."""

import threading
import time
from typing import Any

from sqlalchemy import text

from tailrace.metastore.db.connection import Database
from tailrace.metastore.schema import revisions as schema
from tailrace.metastore.store import Metastore

_BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


def database(url: str) -> Database:
    return Database(url, sqlite_synchronous="normal", clock=None, wait_seconds=20)


def test_the_second_waits_for_the_first(postgres_server: Any) -> None:
    """It has looked already, and PostgreSQL keeps for a session that a name is not there."""
    url = postgres_server.new_database()
    first, watcher = database(url), database(url)
    answers: list[Any] = []

    def second() -> None:
        try:
            store = Metastore.open(url)
            answers.append([pool.name for pool in store.list_pools()])
            store.close()
        except Exception as error:
            answers.append(error)

    thread = threading.Thread(target=second)

    def work(tx: Any) -> None:
        schema._create(tx)
        thread.start()
        deadline = time.monotonic() + 120
        while watcher.read(lambda tx: tx.rows(_BLOCKED)[0][0]) == 0:
            assert thread.is_alive(), f"it did not wait: {answers}"
            assert time.monotonic() < deadline, "it never came to wait"

    first.write(work)
    thread.join(120)
    first.release()
    watcher.release()
    assert answers == [["default_pool"]]
