"""``tailrace tasks logs``: the log of one try, or of all that failed in a run, as their processes wrote them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tailrace.cli.completing import complete_runs, complete_tasks
from tailrace.cli.console import current_console, has_colour
from tailrace.cli.lazy import Command
from tailrace.cli.log_pieces import followed, pieces_of, with_times
from tailrace.cli.log_text import log_text
from tailrace.cli.options import WholeNumber, dag_argument, map_index_option, stores_with
from tailrace.cli.shell_line import shell_line
from tailrace.errors import CommandError
from tailrace.execution.logs.log_times import LogTimes
from tailrace.model.keys import TryKey
from tailrace.service.logs import LogFollowed, LogNamed, failed_logs, find_callbacks, find_log
from tailrace.service.stores import Stores


@click.command(
    cls=Command,
    epilog="Times are in UTC, and those at which a line was first seen: up to half a second after it was written, less "
    "while there is more output all the time.",
)
@dag_argument
@click.argument("task_id", required=False, shell_complete=complete_tasks)
@click.argument("run", required=False, shell_complete=complete_runs)
@click.option("--try", "try_number", type=WholeNumber(1), metavar="N", help="Which try; the latest by default.")
@map_index_option
@click.option("-f", "--follow", is_flag=True, help="Go on until the task instance has ended, over all of its tries.")
@click.option("--timestamps", is_flag=True, help="Before each line when it was written.")
@click.option(
    "--callbacks", is_flag=True, help="What the callbacks have printed that were called for the try, instead."
)
@click.option("--failed", is_flag=True, help="All that failed in RUN, one after the other: no TASK_ID is given.")
def logs(
    dag_id: str,
    task_id: str | None,
    run: str | None,
    try_number: int | None,
    map_index: int | None,
    follow: bool,
    timestamps: bool,
    callbacks: bool,
    failed: bool,
) -> None:
    """Print the log of a task's try in RUN, a run id or a logical date.

    Without RUN it is the newest run in which the task has had a try; with --failed, the newest run.
    """
    with stores_with() as stores:
        if failed:
            if run is not None or follow or callbacks or try_number is not None or map_index is not None:
                whole = shell_line("tailrace", "tasks", "logs", dag_id, "--failed", "RUN")
                raise CommandError(f"--failed is of a whole run: `{whole}`")
            _print_failed(stores, dag_id, task_id, timestamps)
            return
        if task_id is None:
            raise CommandError("TASK_ID is missing; --failed prints the logs of all that failed in a run")
        named = LogNamed(dag_id, task_id, run, try_number, map_index)
        if callbacks:
            if follow or timestamps:
                raise CommandError("--callbacks is without --follow and --timestamps")
            path = find_callbacks(stores, named)
            current_console().note(f"{path}:")
            _print(pieces_of(stores.settings.logs, path))
            return
        if follow:
            _follow(LogFollowed(stores, named), timestamps)
            return
        log = find_log(stores, named)
        current_console().note(f"{log.path}:")
        if log.marked:
            current_console().note(log.marked)
        if log.callbacks:
            current_console().note("callbacks were called for this try: --callbacks shows what they printed")
        _print(pieces_of(stores.settings.logs, log.path), _times(stores.settings.home, log.key, timestamps))


def _print_failed(stores: Stores, dag_id: str, run: str | None, timestamps: bool) -> None:
    console = current_console()
    run_id, found = failed_logs(stores, dag_id, run)
    if not found:
        console.note(f"nothing failed in {run_id} of {dag_id}")
    for at, log in enumerate(found):
        key = log.key
        number = f", try {key.try_number}" if key.try_number else ""
        title = f"==> {key.task_instance.place} of {run_id}{number}, failed: {log.reason} <=="
        console.tell(("\n" if at else "") + title)
        if log.missing:
            console.note(log.missing)
        else:
            _print(pieces_of(stores.settings.logs, log.path), _times(stores.settings.home, key, timestamps))


def _follow(following: LogFollowed, timestamps: bool) -> None:
    """The tries of one task instance, one after the other, until there are no more."""
    console, shown = current_console(), False
    while True:
        log, over, more = following.look()
        if log.missing and over:
            if not more and not shown:
                raise CommandError(log.missing)
            console.note(log.missing)
        else:
            console.note(f"{log.path}:" + (f" (it has not begun: {log.stands})" if log.missing else ""))
            pieces = followed(following.logs, log.path, lambda: following.look()[1])
            _print(pieces, _times(following.home, log.key, timestamps))
            log, _, more = following.look()
            if log.missing and not more and not shown:
                raise CommandError(log.missing)
            shown = True
        if not more:
            return
        following.number += 1


def _times(home: Path, key: TryKey, wanted: bool) -> LogTimes | None:
    return LogTimes(home, key) if wanted else None


def _print(pieces: Iterator[bytes], times: LogTimes | None = None) -> None:
    """On a terminal, text that cannot steer it; else the bytes as they are: a log may hold anything."""
    console = current_console()
    if times is not None:
        pieces = with_times(pieces, times)
    if sys.stdout.isatty():
        for text in log_text(pieces, colours=has_colour(sys.stdout)):
            console.print_log(text)
    else:
        for piece in pieces:
            console.print_bytes(piece)
