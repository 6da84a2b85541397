"""Where a Connection to a database leads, as the drivers take it."""

from typing import Any

from tailrace.secrets.connection import Connection

#: What of a Connection's extra PostgreSQL's driver is given.
_OF_EXTRA = (
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "options", "application_name", "target_session_attrs"),
    *("connect_timeout", "keepalives_idle"),
)


def sqlite_file(connection: Connection) -> str:
    """The file that a SQLite Connection names; empty for one that names none."""
    return connection.host or connection.schema or ""


def postgres_arguments(connection: Connection, **more: Any) -> dict[str, Any]:
    """What PostgreSQL's driver connects by; ``more`` stands where the Connection says nothing of it."""
    extra = connection.extra_dejson
    given = {
        **more,
        **{name: extra[name] for name in _OF_EXTRA if name in extra},
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
    }
    return {name: value for name, value in given.items() if value}
