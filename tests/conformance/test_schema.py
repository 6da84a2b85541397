"""The two ways to the schema lead to the same one, on both databases; what is not ours or too new is refused."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.connection import Database
from tailrace.metastore.schema import migrating
from tailrace.metastore.schema import revisions as schema
from tailrace.metastore.store import Metastore


def database(url: str) -> Database:
    return Database(url, sqlite_synchronous="normal", clock=None, wait_seconds=5.0)


def described(url: str) -> dict[str, object]:
    """Every table's columns, keys, checks and indexes, and SQLite's own text of the partial ones."""
    engine = sa.create_engine(url)
    try:
        inspector = sa.inspect(engine)
        found: dict[str, object] = {}
        for table in sorted(inspector.get_table_names()):
            found[table] = (
                sorted((c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)),
                sorted(map(str, inspector.get_pk_constraint(table).items())),
                sorted(str(sorted(u.items(), key=str)) for u in inspector.get_unique_constraints(table)),
                sorted((str(c["name"]), str(c["sqltext"])) for c in inspector.get_check_constraints(table)),
                sorted(
                    (f["name"], str(f["constrained_columns"]), f["referred_table"])
                    for f in inspector.get_foreign_keys(table)
                ),
                sorted(_index(index) for index in inspector.get_indexes(table)),
            )
        return found
    finally:
        engine.dispose()


def _index(index: Any) -> str:
    options = sorted((name, str(value)) for name, value in index.get("dialect_options", {}).items())
    return str((index["name"], index["column_names"], options))


@pytest.fixture(params=["sqlite", "postgresql"])
def two_urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/created.db", f"sqlite:///{tmp_path}/migrated.db"
    server = request.getfixturevalue("postgres_server")
    return server.new_database(), server.new_database()


def test_created_equals_migrated(two_urls: tuple[str, str]) -> None:
    created, migrated = two_urls
    Metastore.open(created).close()
    target = database(migrated)
    target.write(lambda tx: migrating.upgrade(tx, schema.HEAD))
    target.release()
    assert described(created) == described(migrated)
    assert len(described(created)) == 18


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "newer.db"
    Metastore.open(f"sqlite:///{file}").close()
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(EnvironmentBroken, match="newer than this Tailrace"):
        Metastore.open(f"sqlite:///{file}")


def test_another_programs_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(EnvironmentBroken, match="another program's tables"):
        Metastore.open(f"sqlite:///{file}")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "not.db"
    file.write_text("this is no database, however long it is " * 100)
    with pytest.raises(EnvironmentBroken):
        Metastore.open(f"sqlite:///{file}")
