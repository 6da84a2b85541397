"""Turns what a database driver says into one line that says what to do. Nothing here retries or decides.

The line names the metastore without its password; the driver's own message is kept where they help.
"""

from collections.abc import Callable

from sqlalchemy.exc import DataError, DBAPIError

from tailrace.errors import EnvironmentBroken, ValueRefused
from tailrace.model.plain_text import printable, visible_line
from tailrace.planning.messages import Action, Advised, Remedy, Unusable


class ConnectionLost(EnvironmentBroken):
    """The connection died before its commit was sent: nothing landed, the same work can simply be done again."""


class Unreachable(EnvironmentBroken):
    """No connection could be opened. Worth another try only to somebody who had one before."""


class Contended(EnvironmentBroken):
    """The store ended this transaction so that another could go on: nothing landed, it can be done again."""


_NO_TABLE = "a table is missing"
_DAMAGED = "the file is damaged; restore it from a backup copy"

#: What SQLite says, and what to do about it. First match wins.
_SQLITE = (
    (
        "locked",
        "another process has kept it locked for {wait:g} s; find it (`fuser` on the file) and end it, then retry",
    ),
    (
        "unable to open",
        "it cannot be opened; check that its folder exists and that you may write there, or set TAILRACE_HOME",
    ),
    ("readonly", "it is read-only; make the file and its folder writable, or set TAILRACE_HOME to another folder"),
    ("is full", "the disk is full; free some space and type the same command again"),
    ("not a database", "the file is not a SQLite database; move it away or set TAILRACE_HOME to another folder"),
    ("malformed", _DAMAGED),
    ("could not decode", _DAMAGED),
    ("disk i/o", "the disk failed to read or write; check its space and health, then type the same command again"),
    ("no such table", _NO_TABLE),
)

#: The same for PostgreSQL, by SQLSTATE.
_POSTGRES_CODES = {
    "28P01": "the password was refused; check the user and password in TAILRACE_DATABASE_URL",
    "28000": "the server does not let this user in; check TAILRACE_DATABASE_URL and the server's pg_hba.conf",
    "3D000": "that database does not exist; create it (`createdb`) or correct TAILRACE_DATABASE_URL",
    "42501": "this user may not do that there; grant it the rights on the schema",
    "25006": "the server is read-only (a standby?); name the primary in TAILRACE_DATABASE_URL",
    "53100": "the server's disk is full; free some space and type the same command again",
    "53300": "the server has no connection left; raise its max_connections or use fewer workers",
    "55P03": "another session has kept a row locked for {wait:g} s; end it (see pg_stat_activity), then retry",
    "57P03": "the server is starting or stopping; try again in a moment",
    "42P01": _NO_TABLE,
}

#: Codes that mean "somebody else went first, do it again".
_CONTENDED_CODES = frozenset({"40001", "40P01"})

#: What it means when the fault is in the values of a statement, not in the store: by the class of a SQLSTATE (data
#: exceptions, limits of the program), and by what SQLite says.
_VALUE_CLASSES = ("22", "54")
_SQLITE_VALUES = ("too big", "too many sql variables", "binding parameter")

#: What libpq says before there is a session, and so without a SQLSTATE.
_POSTGRES_TEXTS = (
    ("password authentication failed", _POSTGRES_CODES["28P01"]),
    ("no password supplied", _POSTGRES_CODES["28P01"]),
    ("does not exist", "{driver_text}; create it or correct TAILRACE_DATABASE_URL"),
    ("could not translate host", "its host is unknown; check TAILRACE_DATABASE_URL"),
    ("failed to resolve host", "its host is unknown; check TAILRACE_DATABASE_URL"),
    ("name or service not known", "its host is unknown; check TAILRACE_DATABASE_URL"),
    ("connection refused", "nobody listens there; start the server or check host and port in TAILRACE_DATABASE_URL"),
    ("timeout", "the server did not respond in time; check that it runs and that the network lets you through"),
    ("too many clients", _POSTGRES_CODES["53300"]),
)


def of_driver(
    error: DBAPIError, where: str, *, postgres: bool, wait_seconds: float, hide: Callable[[str], str] = str
) -> EnvironmentBroken:
    """The environment error that a driver's error means; ``where`` names the metastore and is safe to print.

    ``hide`` takes secrets out of the driver's own message.
    """
    driver_text = _one_line(error)
    code = getattr(error.orig, "sqlstate", None)
    if postgres and code in _CONTENDED_CODES:
        return Contended(
            f"metastore {where}: too many jobs wrote at once ({hide(driver_text)}); type the same command again"
        )
    advice = _postgres_advice(code, driver_text) if postgres else _sqlite_advice(driver_text)
    if advice == _NO_TABLE:
        return Unusable(Advised((f"metastore {where}: {_NO_TABLE}; run ", Remedy(Action.CHECK_METASTORE))))
    text = (advice or "{driver_text}").format(driver_text=printable(hide(driver_text)), wait=wait_seconds)
    if postgres and error.connection_invalidated:
        return ConnectionLost(f"metastore {where}: the connection broke: {text}")
    return EnvironmentBroken(f"metastore {where}: {text}")


def contradicted(error: DBAPIError, where: str) -> EnvironmentBroken:
    """The environment error of a constraint that stays in the way: what is stored is not what was written."""
    text = f"metastore {where}: its rows contradict each other ({printable(_one_line(error))}); run "
    return Unusable(Advised((text, Remedy(Action.CHECK_METASTORE))))


def of_value(error: Exception, where: str) -> ValueRefused | None:
    """What the error means if it is about a value that this store cannot hold; None for any other."""
    if isinstance(error, DBAPIError):
        code = getattr(error.orig, "sqlstate", None) or ""
        driver_text = _one_line(error)
        about_values = code.startswith(_VALUE_CLASSES) or any(part in driver_text.lower() for part in _SQLITE_VALUES)
        if not (isinstance(error, DataError) or about_values):
            return None
    elif isinstance(error, (UnicodeError, OverflowError)):
        driver_text = str(error)
    else:
        return None
    return ValueRefused(f"metastore {where}: a value cannot be stored: {visible_line(driver_text)}")


def _one_line(error: DBAPIError) -> str:
    driver_text = " ".join(str(error.orig).split())
    return driver_text.replace("{", "(").replace("}", ")") or type(error.orig).__name__


def _sqlite_advice(driver_text: str) -> str | None:
    lowered = driver_text.lower()
    return next((advice for part, advice in _SQLITE if part in lowered), None)


def _postgres_advice(code: str | None, driver_text: str) -> str | None:
    if code in _POSTGRES_CODES:
        return _POSTGRES_CODES[code]
    lowered = driver_text.lower()
    return next((advice for part, advice in _POSTGRES_TEXTS if part in lowered), None)
