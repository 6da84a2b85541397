"""``tailrace variables``: values that DAG files and tasks read by name."""

import json

import click

from tailrace.cli.completing import complete_variables
from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import output_option, stores_with
from tailrace.cli.secret_commands import (
    delete_one,
    existing_option,
    export_all,
    import_all,
    list_stored,
    set_one,
)
from tailrace.cli.secret_input import print_secret, secret_text
from tailrace.errors import CommandError
from tailrace.model.plain_text import visible_line
from tailrace.secrets.masking import MASK
from tailrace.secrets.names import SecretKind
from tailrace.service import secrets

_HERE = "tailrace.cli.commands.variables"
_KIND = SecretKind.VARIABLE
_SHOWN = 60


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
    empty = "no Variables are stored; `tailrace variables set KEY VALUE` stores one"
    list_stored(_KIND, ("key", "value"), _parts, empty, values=show_values, output=output)


def _parts(shown: secrets.SecretShown) -> tuple[str]:
    value = "" if shown.trouble else MASK
    return (value if shown.value is None else visible_line(shown.value, _SHOWN),)


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
    set_one(_KIND, key, text, description)


@click.command(cls=Command)
@click.argument("key", shell_complete=complete_variables)
def delete(key: str) -> None:
    """Delete Variable KEY."""
    delete_one(_KIND, key)


@click.command("import", cls=Command)
@click.argument("file")
@existing_option
def import_(file: str, existing: str) -> None:
    """Store the Variables of FILE (- for standard input): a JSON object with a value for each key; all, or none.

    A value that is no text is stored as its JSON.
    """
    import_all(_KIND, file, existing)


@click.command(cls=Command)
def export() -> None:
    """Print all Variables that are stored, in the clear, as the JSON object that `tailrace variables import` takes."""
    export_all(_KIND)


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
        console.note("the former keys there can be removed once no older copy of the metastore is to be read")
