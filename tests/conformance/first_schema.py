"""Takes a metastore back to the first revision of its schema, rows and all: what an upgrade meets."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tailrace.metastore.db.connection import Database
from tailrace.metastore.schema import migrating


def back_to_first_schema(file: Path) -> None:
    """Make the SQLite file anew as the first revision made it, and copy into it what that one had room for.

    What later revisions recorded is left out.
    """
    newer = file.with_name(f"{file.name}.newer")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # what waits in the log goes into the file
    file.rename(newer)
    database = Database(f"sqlite:///{file}", sqlite_synchronous="normal", clock=None, wait_seconds=5.0)
    database.write(lambda tx: migrating.upgrade(tx, "0001"))
    database.release()
    with closing(sqlite3.connect(file)) as older:
        older.execute("ATTACH DATABASE ? AS newer", (str(newer),))
        tables = [name for (name,) in older.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")]
        for table in tables:
            if table == "alembic_version" or table.startswith("sqlite_"):
                continue
            kept = {row[1] for row in older.execute(f"PRAGMA newer.table_info({table})")}
            names = [row[1] for row in older.execute(f"PRAGMA main.table_info({table})")]
            columns = ", ".join(f'"{name}"' for name in names if name in kept)
            where = "WHERE kind NOT IN ('pool', 'schema')" if table == "history" else ""
            older.execute(f"DELETE FROM main.{table}")
            older.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table} {where}")
        older.commit()
    newer.unlink()
