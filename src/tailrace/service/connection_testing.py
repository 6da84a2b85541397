"""Tries a Connection: logs in where a library for that is at hand, else only reaches for its host and port."""

import importlib
import importlib.util
import os
import socket
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.model.plain_text import visible_line
from tailrace.secrets import known
from tailrace.secrets.connection import Connection
from tailrace.secrets.masked_values import secrets_of
from tailrace.secrets.names import SecretKind
from tailrace.secrets.reaching import postgres_arguments, sqlite_file

_SECONDS = 5

#: Where a Connection of this type leads that says no port.
_PORTS: Mapping[str, int] = {
    "postgres": 5432,
    "mysql": 3306,
    "mssql": 1433,
    "oracle": 1521,
    "redshift": 5439,
    "trino": 8080,
    "http": 80,
    "https": 443,
    "ftp": 21,
    "sftp": 22,
    "ssh": 22,
    "smtp": 25,
    "imap": 993,
    "redis": 6379,
    "mongo": 27017,
    "cassandra": 9042,
    "elasticsearch": 9200,
    "amqp": 5672,
    "kafka": 9092,
    "vertica": 5433,
}


def test_connection(conn_id: str, text: str) -> str:
    """What was reached, in one line. Raises EnvironmentBroken where it was not, CommandError for what cannot be."""
    known.learn(secrets_of(SecretKind.CONNECTION, conn_id, text))
    connection = Connection.from_text(conn_id, text)
    began = time.monotonic()
    try:
        reached = _reached(connection)
    except (OSError, sqlite3.Error) as trouble:
        raise _not_reached(conn_id, trouble) from None
    return f"Connection {conn_id}: {reached}, within {time.monotonic() - began:.2f} s"


def _reached(connection: Connection) -> str:
    if connection.conn_type == "sqlite":
        return _sqlite(connection)
    if connection.conn_type == "postgres" and importlib.util.find_spec("psycopg") is not None:
        return _postgres(connection)
    host = (connection.host or "").rpartition("://")[2].partition("/")[0]
    scheme = (connection.host or "").partition("://")[0] if "://" in (connection.host or "") else connection.conn_type
    port = connection.port or _PORTS.get(scheme or "")
    if not host or port is None:
        what = "host" if not host else "port"
        raise CommandError(f"Connection {connection.conn_id!r} has no {what}, so it cannot be tested from here")
    with socket.create_connection((host.strip("[]"), port), timeout=_SECONDS):
        return f"{host} takes connections at port {port}; its login was not tried"


def _sqlite(connection: Connection) -> str:
    file = Path(sqlite_file(connection))
    if not file.is_file():
        raise FileNotFoundError(2, "no such file", str(file))
    with closing(sqlite3.connect(f"file:{quote(os.fsencode(file))}?mode=ro", uri=True, timeout=_SECONDS)) as opened:
        opened.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return f"{file} is a SQLite database"


def _postgres(connection: Connection) -> str:
    psycopg: Any = importlib.import_module("psycopg")
    try:
        with psycopg.connect(**postgres_arguments(connection, connect_timeout=_SECONDS)) as opened:
            opened.execute("SELECT 1")
    except psycopg.Error as trouble:
        raise _not_reached(connection.conn_id or "", trouble) from None
    return f"logged in to {connection.host or 'PostgreSQL'}"


def _not_reached(conn_id: str, trouble: Exception) -> EnvironmentBroken:
    text = visible_line(known.masked(" ".join(str(trouble).split())))
    return EnvironmentBroken(f"Connection {conn_id}: {text}")
