"""``tailrace connections``: where other systems are, and how to log in there."""

import json
from typing import Any

import click

from tailrace.cli.completing import complete_connections
from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import WholeNumber, output_option, stores_with
from tailrace.cli.secret_commands import (
    delete_one,
    existing_option,
    export_all,
    import_all,
    list_stored,
    set_one,
)
from tailrace.cli.secret_input import print_secret, secret_text
from tailrace.errors import CommandError, SecretUnreadable
from tailrace.secrets.connection import Connection
from tailrace.secrets.connection_text import NotAConnection, checked, json_of
from tailrace.secrets.masking import MASK
from tailrace.secrets.names import SecretKind
from tailrace.service import secrets
from tailrace.service.connection_testing import test_connection

_HERE = "tailrace.cli.commands.connections"
_KIND = SecretKind.CONNECTION


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(f"{_HERE}:list_", "List Connections; their passwords only with --show-values."),
        "get": Lazy(f"{_HERE}:get", "Print one as a URI, wherever it is found first."),
        "set": Lazy(f"{_HERE}:set_", "Store one, encrypted."),
        "delete": Lazy(f"{_HERE}:delete", "Delete one that is stored."),
        "import": Lazy(f"{_HERE}:import_", "Store all of a JSON file."),
        "export": Lazy(f"{_HERE}:export", "Print all that are stored, in the clear, as JSON."),
        "test": Lazy(f"{_HERE}:test", "Try whether one can be reached."),
    },
)
def connections() -> None:
    """Connections: where other systems are, and how to log in there.

    Looked for in the environment (TAILRACE_CONN_ID, AIRFLOW_CONN_ID), in secrets backends, and then here.
    """


@click.command("list", cls=Command)
@click.option("--show-values", is_flag=True, help="Show them whole, passwords included.")
@output_option
def list_(show_values: bool, output: str) -> None:
    """List the Connections that are stored."""
    names = ("conn_id", "type", "host", "port", "login", "password")
    empty = "no Connections are stored; `tailrace connections set ID URI` stores one"
    list_stored(_KIND, names, _parts, empty, values=show_values, output=output)


def _parts(shown: secrets.SecretShown) -> tuple[str, ...]:
    password = "" if shown.trouble else MASK
    if shown.value is not None:
        password = Connection.from_text(shown.name, shown.value).password or ""
    port = "" if shown.port is None else str(shown.port)
    return shown.conn_type or "", shown.host or "", port, shown.login or "", password


@click.command(cls=Command)
@click.argument("conn_id", shell_complete=complete_connections)
@output_option
def get(conn_id: str, output: str) -> None:
    """Print Connection CONN_ID, as a task would get it, password included: as a URI, with -o json its fields."""
    with stores_with() as stores:
        found = secrets.require_secret(stores, _KIND, conn_id)
    try:
        connection = Connection.from_text(conn_id, found.text or "")
    except SecretUnreadable as wrong:
        raise CommandError(f"{wrong} ({found.origin})") from None
    if output == "json":
        current_console().print_json({**vars(connection), "origin": found.origin})
    else:
        print_secret(connection.get_uri())


@click.command("set", cls=Command)
@click.argument("conn_id", shell_complete=complete_connections)
@click.argument("uri", required=False)
@click.option("--type", "conn_type", default=None, help="Its type: postgres, http, aws, …")
@click.option("--host", default=None, help="The host.")
@click.option("--login", default=None, help="Who logs in.")
@click.option("--password", default=None, metavar="TEXT|-", help="The password; - reads it from standard input.")
@click.option("--schema", default=None, help="The database, or the bucket, or the like.")
@click.option("--port", type=WholeNumber(0, 65535), default=None, help="The port.")
@click.option("--extra", default=None, metavar="JSON", help="Whatever else it has, a JSON object.")
@click.option("--description", default=None, help="What it is for.")
def set_(conn_id: str, uri: str | None, description: str | None, **fields: Any) -> None:
    """Store a Connection, encrypted: URI (TYPE://LOGIN:PASSWORD@HOST:PORT/SCHEMA), a JSON object, or its parts.

    With - for the URI it is read from standard input; without it and without parts it is asked for.
    """
    secrets.require_name(_KIND, conn_id)
    given = {name: value for name, value in fields.items() if value is not None}
    if given and uri is not None:
        raise CommandError("give a URI, or the parts of the Connection, not both")
    text = _text_of(given) if given else secret_text(uri, f"the URI of {conn_id}")
    set_one(_KIND, conn_id, text, description)


def _text_of(given: dict[str, Any]) -> str:
    if given.get("password") == "-":
        given["password"] = secret_text("-", "the password")
    extra = given.get("extra")
    try:
        if extra is not None and not isinstance(json.loads(extra), dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise CommandError("--extra must be a JSON object") from None
    try:
        return json_of(checked(given))
    except NotAConnection as wrong:
        raise CommandError(str(wrong)) from None


@click.command(cls=Command)
@click.argument("conn_id", shell_complete=complete_connections)
def delete(conn_id: str) -> None:
    """Delete Connection CONN_ID."""
    delete_one(_KIND, conn_id)


@click.command("import", cls=Command)
@click.argument("file")
@existing_option
def import_(file: str, existing: str) -> None:
    """Store the Connections of FILE (- for standard input): a JSON object with one for each id; all, or none.

    Each is a URI, or an object of its fields.
    """
    import_all(_KIND, file, existing)


@click.command(cls=Command)
def export() -> None:
    """Print all Connections that are stored, in the clear, as the JSON that `tailrace connections import` takes."""
    export_all(_KIND)


@click.command(cls=Command)
@click.argument("conn_id", shell_complete=complete_connections)
def test(conn_id: str) -> None:
    """Try whether Connection CONN_ID can be reached: PostgreSQL and SQLite are logged in to, of others the port."""
    with stores_with() as stores:
        found = secrets.require_secret(stores, _KIND, conn_id)
    try:
        current_console().print(test_connection(conn_id, found.text or ""))
    except SecretUnreadable as wrong:
        raise CommandError(f"{wrong} ({found.origin})") from None
