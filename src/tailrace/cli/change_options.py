"""Shows what a command of a person changes, asks before it does, and reports what it did: the same for all of them."""

import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import click
from msgspec import Struct

from tailrace.cli.console import current_console, plural
from tailrace.cli.options import output_option, stores_with
from tailrace.cli.tables import Column, show_table
from tailrace.errors import CommandError
from tailrace.model.keys import index_suffix
from tailrace.service.changes import ChangeResult
from tailrace.service.stores import Stores

F = TypeVar("F", bound=Callable[..., Any])

_MOST_SHOWN = 40
_COLUMNS = (
    Column("run"),
    Column("task"),
    Column("is", state=True),
    Column("becomes", state=True),
    Column("note"),
)


class ChangeOptions(Struct, frozen=True):
    """How a command was typed: whether to write, to ask first, and what to print."""

    dry_run: bool
    yes: bool
    output: str


class Done(Protocol):
    """Does a command, or says what it would do."""

    def __call__(self, stores: Stores, *, dry_run: bool) -> ChangeResult:
        """Do it, unless it is only tried."""


def change_options(command: F) -> F:
    """-n, -y and -o, as ``dry_run``, ``yes`` and ``output``."""
    dry = click.option("-n", "--dry-run", is_flag=True, help="Say what would change; write nothing.")
    sure = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    return dry(sure(output_option(command)))


def range_options(command: F) -> F:
    """-s and -e, as ``start`` and ``end``."""
    start = click.option("-s", "--start", metavar="DATE", help="Every run from this logical date on.")
    end = click.option("-e", "--end", metavar="DATE", help="Every run up to this logical date, its whole day included.")
    return start(end(command))


def change(command: Done, options: ChangeOptions, *, confirms: bool = True) -> int:
    """Show what the command changes, ask if it may, do it, report what it did. Returns the exit code."""
    with stores_with() as stores:
        done = command(stores, dry_run=True)
        if done.writes and not options.dry_run:
            if confirms and not _confirmed(done, options):
                current_console().note("nothing was changed")
                return 0
            done = command(stores, dry_run=False)
    _print(done, options)
    return 0


def _confirmed(command: ChangeResult, options: ChangeOptions) -> bool:
    """Whether the person wants it. Raises CommandError when nobody is there to be asked."""
    if options.yes:
        return True
    if options.output == "json" or not sys.stdin.isatty():
        raise CommandError(
            f"this would {_summary(command)}; repeat it with -y to do it, or with -n to see what it changes"
        )
    show_table(_COLUMNS, _rows(command), empty="")
    text = _summary(command)
    return click.confirm(f"{text[:1].upper()}{text[1:]}?", err=True)


def _print(command: ChangeResult, options: ChangeOptions) -> None:
    console = current_console()
    if options.output == "json":
        console.print_json(command)
        return
    if command.writes:
        rows = _rows(command)
        if options.dry_run or options.yes or not rows:
            show_table(_COLUMNS, rows, empty="")
        console.note(f"would {_summary(command)}" if options.dry_run else f"done: {_summary(command)}")
    for notice in command.notices:
        console.note(notice)


def _summary(command: ChangeResult) -> str:
    parts = []
    if command.backfill_id is not None:
        parts.append(f"{command.command} backfill {command.backfill_id}")
    stops = sum(each.after == "stopping" for each in command.task_instances)
    if command.task_instances:
        verb = "take back" if command.backfill_id is not None else command.command
        stopping = f" ({plural(stops, 'running try', 'running tries')} stopped)" if stops else ""
        # A mark may clear what is upstream_failed below it.
        cleared = sum(each.after == "none" for each in command.task_instances) if verb == "mark" else 0
        if others := len(command.task_instances) - cleared:
            parts.append(f"{verb} {plural(others, 'task instance')}{stopping}")
        parts += [f"clear {plural(cleared, 'task instance')}"] if cleared else []
    for state, count in Counter(each.after for each in command.runs).items():
        runs = plural(count, "run")
        parts.append(f"open {runs} again" if state == "queued" else f"set {runs} to {state}")
    return ", ".join(parts) or f"{command.command} nothing"


def _rows(command: ChangeResult) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            each.run_id,
            each.task_id + index_suffix(each.map_index),
            "-" if each.before is None else str(each.before),
            str(each.after),
            "" if each.stopping_to is None else f"ends {each.stopping_to}",
        )
        for each in command.task_instances
    ]
    rows += [(each.run_id, "", str(each.before), str(each.after), "the run") for each in command.runs]
    if len(rows) > _MOST_SHOWN:
        current_console().note(f"the first {_MOST_SHOWN} of {len(rows):,} changes; -o json lists all")
    return rows[:_MOST_SHOWN]
