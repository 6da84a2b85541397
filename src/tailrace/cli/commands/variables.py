"""``tailrace variables``: values that DAG files and tasks read by name."""

import json

import click

from tailrace.cli.completing import complete_variables
from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import output_option, stores_with
from tailrace.cli.secret_input import print_secret, secret_text, text_of_file
from tailrace.cli.tables import Column, show_table
from tailrace.errors import CommandError
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import visible_line
from tailrace.secrets.masked_values import SHORTEST_SECRET
from tailrace.secrets.names import SecretKind
from tailrace.service import secrets

_HERE = "tailrace.cli.commands.variables"
_KIND = SecretKind.VARIABLE
_SHOWN = 60
HIDDEN = "***"


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(f"{_HERE}:list_", "List Variables; their values only with --show-values."),
        "get": Lazy(f"{_HERE}:get", "Print the value of one, wherever it is found first."),
        "set": Lazy(f"{_HERE}:set_", "Store one, encrypted."),
        "delete": Lazy(f"{_HERE}:delete", "Delete one that is stored."),
        "import": Lazy(f"{_HERE}:import_", "Store all of a JSON file."),
        "export": Lazy(f"{_HERE}:export", "Print all that are stored, in the clear, as JSON."),
        "rotate-key": Lazy(f"{_HERE}:rotate_key", "Encrypt Variables and Connections anew, with a new key."),
    },
)
def variables() -> None:
    """Variables: values that DAG files and tasks read by name.

    Looked for in the environment (TAILRACE_VAR_NAME, AIRFLOW_VAR_NAME), in secrets backends, and then here.
    """


@click.command("list", cls=Command)
@click.option("--show-values", is_flag=True, help="Show what they hold, too.")
@output_option
def list_(show_values: bool, output: str) -> None:
    """List the Variables that are stored."""
    with stores_with() as stores:
        found = secrets.list_secrets(stores, _KIND, values=show_values)
    if output == "json":
        current_console().print_json(found)
        return
    columns = (Column("key"), Column("value"), Column("set"), Column("description"), Column("note"))
    rows = []
    for each in found:
        value = visible_line(each.value, _SHOWN) if each.value is not None else "" if each.trouble else HIDDEN
        rows.append((each.name, value, set_text(each), each.description, note_of(each)))
    show_table(columns, rows, empty="no Variables are stored; `tailrace variables set KEY VALUE` stores one")


def set_text(shown: secrets.SecretShown) -> str:
    """When it was set, and by whom, if by a person."""
    return f"{moment_text(shown.set)} by {shown.set_by}" if shown.set_by else moment_text(shown.set)


def note_of(shown: secrets.SecretShown) -> str:
    """What a person should know of one: that it cannot be read, or that something goes before it."""
    return shown.trouble or (f"{shown.before} goes before it" if shown.before else "")


@click.command(cls=Command)
@click.argument("key", shell_complete=complete_variables)
@click.option("--default", default=None, help="Print this if there is none.")
@output_option
def get(key: str, default: str | None, output: str) -> None:
    """Print the value of Variable KEY, as a task would get it."""
    with stores_with() as stores:
        if default is None:
            found = secrets.require_secret(stores, _KIND, key)
            text, origin = found.text or "", found.origin
        else:
            maybe = secrets.get_secret(stores, _KIND, key)
            text, origin = (default, "default") if maybe is None else (maybe.text or "", maybe.origin)
    if output == "json":
        current_console().print_json({"name": key, "value": text, "origin": origin})
    else:
        print_secret(text)


@click.command("set", cls=Command)
@click.argument("key", shell_complete=complete_variables)
@click.argument("value", required=False)
@click.option("--description", default=None, help="What it is for.")
@click.option("--json", "is_json", is_flag=True, help="Refuse a value that is no JSON.")
def set_(key: str, value: str | None, description: str | None, is_json: bool) -> None:
    """Store VALUE as Variable KEY, encrypted. With - it is read from standard input, without VALUE it is asked for.

    So that it stands in no shell's history: `tailrace variables set KEY - < FILE`.
    """
    secrets.require_name(_KIND, key)
    text = secret_text(value, f"the value of {key}")
    if is_json:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            raise CommandError(f"Variable {key!r}: its value is no JSON") from None
    with stores_with() as stores:
        done = secrets.set_secret(stores, _KIND, key, text, description)
    report_set(_KIND, key, done)


def report_set(kind: SecretKind, name: str, done: secrets.SecretSet) -> None:
    """Say that it is set, and what goes before it."""
    console = current_console()
    console.note(f"{kind.shown} {name} is {'set' if done.created else 'changed'}")
    if done.before:
        console.notice(f"{done.before} in the environment goes before it")
    if done.short:
        console.notice(f"a secret of fewer than {SHORTEST_SECRET} characters is masked in no log")


@click.command(cls=Command)
@click.argument("key", shell_complete=complete_variables)
def delete(key: str) -> None:
    """Delete Variable KEY."""
    delete_one(_KIND, key)


def delete_one(kind: SecretKind, name: str) -> None:
    """Delete it, and say so."""
    with stores_with() as stores:
        before = secrets.delete_secret(stores, kind, name)
    console = current_console()
    console.note(f"{kind.shown} {name} is deleted")
    if before:
        console.notice(f"{before} in the environment still has one")


@click.command("import", cls=Command)
@click.argument("file")
@click.option(
    "--existing",
    type=click.Choice(["overwrite", "skip", "fail"]),
    default="overwrite",
    show_default=True,
    help="What becomes of those that are stored already.",
)
def import_(file: str, existing: str) -> None:
    """Store the Variables of FILE (- for standard input): a JSON object with a value for each key; all, or none.

    A value that is no text is stored as its JSON.
    """
    import_all(_KIND, file, existing)


def import_all(kind: SecretKind, file: str, existing: str) -> None:
    """Store what the file says, and say how many."""
    text, where = text_of_file(file)
    with stores_with() as stores:
        count, skipped = secrets.import_secrets(stores, kind, text, where, existing)
    there = f"; {plural(skipped, kind.shown)} stored already, and skipped" if skipped else ""
    current_console().note(f"{plural(count, kind.shown)} imported{there}")


@click.command(cls=Command)
def export() -> None:
    """Print all Variables that are stored, in the clear, as the JSON object that `tailrace variables import` takes."""
    with stores_with() as stores:
        current_console().print_json(secrets.export_secrets(stores, _KIND))


@click.command("rotate-key", cls=Command)
def rotate_key() -> None:
    """Encrypt all Variables and Connections anew, with a new key.

    A key file gets the new key in front. In TAILRACE_SECRET_KEY put a new one in front, and a comma behind it.
    """
    with stores_with() as stores:
        done = secrets.rotate_key(stores)
    console = current_console()
    console.note(f"{plural(done.rewritten, 'value')} encrypted anew, with the first key of {done.origin}")
    for name in done.left:
        console.notice(f"{name} does not decrypt, and stays as it is")
    if not done.left:
        console.note("the others there are needed no more, once nobody uses a copy of the metastore from before")
