"""What the commands of Variables and those of Connections have in common: to list, to set, to delete and to import."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from tailrace.cli.console import current_console, plural
from tailrace.cli.options import stores_with
from tailrace.cli.secret_input import text_of_file
from tailrace.cli.tables import Column, show_table
from tailrace.model.moments import moment_text
from tailrace.secrets.masked_values import SHORTEST_SECRET
from tailrace.secrets.names import SecretKind
from tailrace.service import secrets

F = TypeVar("F", bound=Callable[..., object])


def existing_option(command: F) -> F:
    """``--existing``."""
    return click.option(
        "--existing",
        type=click.Choice(["overwrite", "skip", "fail"]),
        default="overwrite",
        show_default=True,
        help="What becomes of those that are stored already.",
    )(command)


def list_stored(
    kind: SecretKind,
    names: Sequence[str],
    parts: Callable[[secrets.SecretShown], Sequence[str]],
    empty: str,
    *,
    values: bool,
    output: str,
) -> None:
    """List what is stored: its name, its ``parts`` in columns of these ``names``, and what all have."""
    with stores_with() as stores:
        found = secrets.list_secrets(stores, kind, values=values)
    if output == "json":
        current_console().print_json(found)
        return
    columns = tuple(Column(name) for name in (*names, "set", "description", "note"))
    rows = [(each.name, *parts(each), _set(each), each.description, _note(each)) for each in found]
    show_table(columns, rows, empty=empty)


def _set(shown: secrets.SecretShown) -> str:
    """When it was set, and by whom, if by a person."""
    return f"{moment_text(shown.set)} by {shown.set_by}" if shown.set_by else moment_text(shown.set)


def _note(shown: secrets.SecretShown) -> str:
    """What a person should know of one: that it cannot be read, or that something goes before it."""
    return shown.trouble or (f"{shown.before} goes before it" if shown.before else "")


def set_one(kind: SecretKind, name: str, text: str, description: str | None) -> None:
    """Store it, and say so, and what goes before it."""
    with stores_with() as stores:
        done = secrets.set_secret(stores, kind, name, text, description)
    console = current_console()
    console.note(f"{kind.shown} {name} is {'set' if done.created else 'changed'}")
    if done.before:
        console.notice(f"{done.before} in the environment goes before it")
    if done.short:
        console.notice(f"a secret of fewer than {SHORTEST_SECRET} characters is masked in no log")


def delete_one(kind: SecretKind, name: str) -> None:
    """Delete it, and say so."""
    with stores_with() as stores:
        before = secrets.delete_secret(stores, kind, name)
    console = current_console()
    console.note(f"{kind.shown} {name} is deleted")
    if before:
        console.notice(f"{before} in the environment still has one")


def import_all(kind: SecretKind, file: str, existing: str) -> None:
    """Store what the file says, and say how many."""
    text, where = text_of_file(file)
    with stores_with() as stores:
        count, skipped = secrets.import_secrets(stores, kind, text, where, existing)
    there = f"; {plural(skipped, kind.shown)} stored already, and skipped" if skipped else ""
    current_console().note(f"{plural(count, kind.shown)} imported{there}")


def export_all(kind: SecretKind) -> None:
    """Print all that are stored, in the clear."""
    with stores_with() as stores:
        current_console().print_json(secrets.export_secrets(stores, kind))
