"""Brings a metastore to the schema this version knows, or says why it cannot. Data is never changed here.

An empty database gets the current tables in one transaction and the stamp of the newest revision; an older one is
migrated by Alembic, which is imported only then; a newer one is refused.
"""

import importlib
import sqlite3
from pathlib import Path
from typing import NoReturn

from msgspec import Struct
from sqlalchemy import Column, MetaData, PrimaryKeyConstraint, String, Table, insert, text

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.partial_indexes import PARTIAL_INDEXES
from tailrace.metastore.db.tables import metadata, pool
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.schema.backing_up import back_up
from tailrace.metastore.writes.records import Author, insert_metastore_history, pool_row, schema_row
from tailrace.model.chains import CHAINED
from tailrace.model.spec import DEFAULT_POOL, DEFAULT_POOL_SLOTS
from tailrace.model.transitions import Cause
from tailrace.planning.messages import Action, Advised, Remedy, Unusable

#: Every revision of the schema, oldest first; the last is what ``tables`` says.
REVISIONS = (
    *("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013"),
    "0014",
)
HEAD = REVISIONS[-1]

#: Any two processes that create or migrate one PostgreSQL metastore at once take this advisory lock.
_SCHEMA_LOCK = text("SELECT pg_advisory_xact_lock(7245117238)")

_stamp_metadata = MetaData()
alembic_version = Table(
    "alembic_version",
    _stamp_metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

_HAS_STAMP_SQLITE = text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
#: Asked of the catalogue itself: ``to_regclass`` may return what this session knew before it waited for a lock.
_HAS_STAMP_POSTGRES = text(
    "SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'alembic_version' AND pg_catalog.pg_table_is_visible(oid)"
)
_ANY_TABLE_SQLITE = text("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1")
_READ_STAMP = text("SELECT version_num FROM alembic_version")
_RUNNING_JOBS = text("SELECT id, lease_until, lease_epoch, lease_seconds FROM job WHERE state = 'running' ORDER BY id")


class SchemaReport(Struct, frozen=True):
    """What was found and done: ``found`` is None for a metastore that did not exist, ``backup`` the copy made first."""

    where: str
    found: str | None
    now: str
    backup: Path | None = None


def prepare(database: Database) -> SchemaReport:
    """Make the metastore ready for use: create it, or (SQLite, no live job) migrate it.

    Raises EnvironmentBroken when it is newer than this Tailrace, or older and may not be migrated now.
    """
    found = database.read(_revision)
    if found == HEAD:
        return SchemaReport(database.where, found, HEAD)
    if found is None:
        return SchemaReport(database.where, None, database.write(_create))
    if database.postgres:
        _refuse_other(database, found)
    return migrate(database)


def is_made(database: Database) -> bool:
    """Whether the metastore has its tables, for who only reads. Raises EnvironmentBroken for another schema's."""
    found = database.read(_revision)
    if found is not None and found != HEAD:
        _refuse_other(database, found)
    return found is not None


def migrate(database: Database) -> SchemaReport:
    """Create or migrate the metastore to the newest revision, after a backup copy (SQLite).

    Raises EnvironmentBroken while a job is alive, and for a schema newer than this Tailrace.
    """
    found = database.read(_revision)
    if found is None or found == HEAD:
        return prepare(database)
    _refuse_unknown(database, found)
    migrating = importlib.import_module("tailrace.metastore.schema.migrating")

    def upgrade(tx: Transaction) -> SchemaReport:
        if tx.postgres:
            tx.rows(_SCHEMA_LOCK)
        former = _revision(tx)  # again, now that nobody else writes: another process may have migrated meanwhile
        if former is None or former == HEAD:
            return SchemaReport(database.where, former, HEAD)
        _refuse_unknown(database, former)
        _refuse_live_jobs(database, tx)
        backup = _back_up(database, former)
        migrating.upgrade(tx, HEAD)
        recording = importlib.import_module("tailrace.metastore.schema.recording")
        if former < CHAINED:
            recording.record_standing(tx, former, HEAD)
        else:
            recording.record_schema(tx, former, HEAD)
        return SchemaReport(database.where, former, HEAD, backup)

    return database.write(upgrade)


def revision(database: Database) -> str | None:
    """The revision the metastore is stamped with; None when it has no tables yet."""
    return database.read(_revision)


def _revision(tx: Transaction) -> str | None:
    if tx.row(_HAS_STAMP_POSTGRES if tx.postgres else _HAS_STAMP_SQLITE) is None:
        return None
    stamp = tx.value(_READ_STAMP)
    return None if stamp is None else str(stamp)


def _create(tx: Transaction) -> str:
    if tx.postgres:
        tx.rows(_SCHEMA_LOCK)
    found = _revision(tx)
    if found is not None:  # another process was first
        return found
    if not tx.postgres and tx.row(_ANY_TABLE_SQLITE) is not None:
        raise EnvironmentBroken(
            "the SQLite file holds another program's tables; name another file in TAILRACE_DATABASE_URL"
        )
    metadata.create_all(tx.connection, checkfirst=False)
    for index in PARTIAL_INDEXES:
        tx.connection.exec_driver_sql(index.sql)
    _stamp_metadata.create_all(tx.connection, checkfirst=False)
    tx.change(insert(alembic_version), {"version_num": HEAD})
    columns = {"slots": DEFAULT_POOL_SLOTS, "description": "where tasks go that name no pool"}
    tx.change(insert(pool), {"name": DEFAULT_POOL, **columns})
    author = Author.of_command(tx, f"schema-{HEAD}")
    created = pool_row(author, DEFAULT_POOL, None, DEFAULT_POOL_SLOTS, Cause.CREATED)
    insert_metastore_history(tx, (schema_row(author, None, HEAD), None), (created, columns), begins=True)
    return HEAD


def _refuse_other(database: Database, found: str) -> NoReturn:
    _refuse_unknown(database, found)
    needs = f"metastore {database.where}: its schema is {found}, this Tailrace needs {HEAD}; run "
    raise Unusable(Advised((needs, Remedy(Action.MIGRATE))))


def _refuse_unknown(database: Database, found: str) -> None:
    if found not in REVISIONS:
        raise EnvironmentBroken(
            f"metastore {database.where}: its schema is {found}, newer than this Tailrace knows ({HEAD}); "
            "upgrade Tailrace, or name another metastore"
        )


def _refuse_live_jobs(database: Database, tx: Transaction) -> None:
    for id, until, epoch, seconds in tx.rows(_RUNNING_JOBS):
        if not tx.moment.expired(until, epoch, seconds):
            raise EnvironmentBroken(
                f"metastore {database.where}: its schema is older and job {id} still runs on it; "
                "end it, then type the same command again"
            )


def _back_up(database: Database, found: str) -> Path | None:
    if database.file is None:
        return None
    try:
        return back_up(database.file, found)
    except (OSError, sqlite3.Error) as error:
        raise EnvironmentBroken(
            f"metastore {database.where}: no backup copy could be made beside it ({error}); free some space first"
        ) from error
