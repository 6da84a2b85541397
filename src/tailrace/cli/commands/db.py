"""``tailrace db``: the metastore's schema, brought up to date or looked at."""

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import output_option, settings_with
from tailrace.service import maintenance

_HERE = "tailrace.cli.commands.db"


@click.group(
    cls=LazyGroup,
    lazy={
        "migrate": Lazy(f"{_HERE}:migrate", "Create the metastore, or bring its schema up to date."),
        "check": Lazy(f"{_HERE}:check", "Say whether the metastore can be reached and used."),
        "clean": Lazy("tailrace.cli.commands.db_clean:clean", "Remove what ended before a date."),
    },
)
def db() -> None:
    """The metastore: the one place where everything is remembered."""


@click.command(cls=Command)
@output_option
def migrate(output: str) -> None:
    """Create the metastore, or bring its schema up to date (after a backup copy, on SQLite).

    Refused while a job is alive.
    """
    done = maintenance.migrate_metastore(settings_with())
    console = current_console()
    if output == "json":
        backup = None if done.backup is None else str(done.backup)
        console.print_json({"metastore": done.where, "found": done.found, "schema": done.now, "backup": backup})
        return
    if done.found is None:
        console.note(f"metastore {done.where} created with schema {done.now}")
    elif done.found == done.now:
        console.note(f"metastore {done.where} has schema {done.now} already")
    else:
        console.note(f"metastore {done.where} brought from schema {done.found} to {done.now}")
    if done.backup is not None:
        console.note(f"a copy from before is in {done.backup}")


@click.command(cls=Command)
@output_option
def check(output: str) -> None:
    """Say whether the metastore can be reached and used by this version. Exits with 4 if not."""
    found = maintenance.check_metastore(settings_with())
    console = current_console()
    if output == "json":
        console.print_json({"ok": True, "metastore": found.where, "schema": found.now})
    else:
        console.note(f"metastore {found.where} is well: schema {found.now}")
