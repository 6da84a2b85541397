"""``tailrace db clean``: removes what ended before a date, because a person asked for it."""

import sys
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import click

from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command
from tailrace.cli.options import DagId, note_empty, output_option, stores_with
from tailrace.errors import CommandError
from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.runtime.settings import Settings
from tailrace.service import maintenance
from tailrace.service.dates import parse_bound

#: The order in which they are shown.
_KINDS = ("backfills", "runs", "task instances", "xcoms", "history rows", "write records")
_NAMES = {"xcoms": ("XCom", "XComs")}


@click.command(cls=Command)
@click.option("--before", required=True, metavar="DATE", help="Remove what ended before it (naive dates are in UTC).")
@click.option("--dag", "dag_id", type=DagId(), help="Only what is of this DAG.")
@click.option("-n", "--dry-run", is_flag=True, help="Count what would be removed; write nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
def clean(before: str, dag_id: str | None, dry_run: bool, yes: bool, output: str) -> None:
    """Remove closed runs and backfills that ended before DATE, with their task instances, XComs and history.

    Nothing that is open, or that something which stays needs, is removed; nor is the newest run of a DAG. The logs of
    tries are files and stay. Without -y it counts first and asks.
    """
    console = current_console()
    cleaning = Cleaning(parse_bound(before, ZoneInfo("UTC")).earliest, dag_id)
    with stores_with() as stores:
        counted = maintenance.count_cleanable(stores, cleaning)
        if counted is None:
            if output == "json":
                console.print_json({"dry_run": dry_run, "removed": {}})
            note_empty(stores.settings)
            return
        if not dry_run and (yes or (counted and _agreed(counted))):
            counted = maintenance.clean(stores, cleaning)
    _report(counted, dry_run=dry_run, output=output, settings=stores.settings)


def _agreed(counted: Mapping[str, int]) -> bool:
    """Ask, where there is somebody to ask. Raises CommandError where there is nobody; Abort for a no."""
    if not sys.stdin.isatty():
        raise CommandError(f"this would remove {_text(counted)}; nothing is removed without -y")
    return click.confirm(f"remove {_text(counted)}?", abort=True, err=True)


def _report(counted: Mapping[str, int], *, dry_run: bool, output: str, settings: Settings) -> None:
    console = current_console()
    if output == "json":
        console.print_json(
            {"dry_run": dry_run, "removed": {kind.replace(" ", "_"): counted.get(kind, 0) for kind in _KINDS}}
        )
    elif not counted:
        console.tell("nothing to remove")
    else:
        console.tell(f"{'would remove' if dry_run else 'removed'} {_text(counted)}")
    if counted and not dry_run:
        file = settings.sqlite_file
        how = f'sqlite3 "{file}" VACUUM, while nothing runs' if file is not None else "VACUUM in PostgreSQL"
        console.note(f"the room is used again by new rows; to give it back to the disk: {how}")


def _text(counted: Mapping[str, int]) -> str:
    return ", ".join(_plural(counted[kind], kind) for kind in _KINDS if counted.get(kind))


def _plural(count: int, kind: str) -> str:
    one, many = _NAMES.get(kind, (kind.removesuffix("s"), kind))
    return plural(count, one, many)
