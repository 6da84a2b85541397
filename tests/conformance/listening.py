"""Hears every statement a metastore executes, on either database, by whatever way it reaches the driver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from tailrace.metastore.store import Metastore


def listen(store: Metastore, hear: Callable[[str], None]) -> Callable[[], None]:
    """Call ``hear`` with each statement as it begins, until what is answered is called.

    BEGIN and COMMIT are heard too, settings are not; SQLite tells a statement with its values in it.
    """
    if store._database.postgres:
        engine = store._database._engine

        def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            hear(statement)

        event.listen(engine, "before_cursor_execute", note)
        return lambda: event.remove(engine, "before_cursor_execute", note)
    driver: Any = store._database._connected().connection.dbapi_connection
    driver.set_trace_callback(lambda statement: None if statement.startswith("PRAGMA") else hear(statement))
    return lambda: driver.set_trace_callback(None)


@contextmanager
def hearing(store: Metastore, hear: Callable[[str], None]) -> Iterator[None]:
    """``listen`` for as long as a block lasts."""
    stop = listen(store, hear)
    try:
        yield
    finally:
        stop()


def plan_of(store: Metastore, statement: str) -> list[str]:
    """How SQLite goes about a statement that was heard, line by line."""
    statement = statement.replace("-Inf", "-1e999")  # how SQLite shows a value that it cannot read again
    return store.read(
        lambda tx: [row[3] for row in tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()]
    )
