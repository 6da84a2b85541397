"""``tailrace db``: the metastore's schema, brought up to date or looked at."""

import click

from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import output_option, settings_with
from tailrace.cli.speaking import current_speaker
from tailrace.errors import EnvironmentBroken
from tailrace.metastore.connection import Database
from tailrace.metastore.schema import HEAD, revision
from tailrace.metastore.schema import migrate as migrate_schema
from tailrace.metastore.sqlite_file import SqliteFile
from tailrace.runtime.opening import prepare_folders
from tailrace.runtime.settings import Settings

_HERE = "tailrace.cli.commands.db"
_WAIT_SECONDS = 30.0


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
    settings = settings_with()
    prepare_folders(settings)
    database = _database(settings)
    try:
        done = migrate_schema(database)
    finally:
        database.release()
    speaker = current_speaker()
    if output == "json":
        backup = None if done.backup is None else str(done.backup)
        speaker.answer_json({"metastore": done.where, "found": done.found, "schema": done.now, "backup": backup})
        return
    if done.found is None:
        speaker.note(f"metastore {done.where} created with schema {done.now}")
    elif done.found == done.now:
        speaker.note(f"metastore {done.where} has schema {done.now} already")
    else:
        speaker.note(f"metastore {done.where} brought from schema {done.found} to {done.now}")
    if done.backup is not None:
        speaker.note(f"a copy from before is in {done.backup}")


@click.command(cls=Command)
@output_option
def check(output: str) -> None:
    """Say whether the metastore can be reached and used by this version. Exits with 4 if not."""
    settings = settings_with()
    file = settings.sqlite_file
    if file is not None and SqliteFile(file).is_not_there_yet():
        raise EnvironmentBroken(f"no metastore at {file} yet; `tailrace db migrate` or the first backfill makes it")
    database = _database(settings)
    try:
        found = revision(database)
    finally:
        database.release()
    if found is None:
        raise EnvironmentBroken(f"metastore {database.where} has no tables yet; `tailrace db migrate` makes them")
    if found != HEAD:
        advice = "upgrade Tailrace" if found > HEAD else "run `tailrace db migrate`"
        age = "newer" if found > HEAD else "older"
        raise EnvironmentBroken(
            f"metastore {database.where}: its schema is {found}, {age} than this Tailrace's {HEAD}; {advice}"
        )
    speaker = current_speaker()
    if output == "json":
        speaker.answer_json({"ok": True, "metastore": database.where, "schema": found})
    else:
        speaker.note(f"metastore {database.where} is well: schema {found}")


def _database(settings: Settings) -> Database:
    return Database(
        settings.database_url,
        sqlite_synchronous=settings.sqlite_synchronous,
        clock=None,
        wait_seconds=_WAIT_SECONDS,
    )
