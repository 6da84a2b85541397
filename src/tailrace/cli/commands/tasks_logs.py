"""``tailrace tasks logs``: the log of one try, as its process wrote it."""

import sys
from pathlib import Path

import click

from tailrace.cli.console import current_console, has_colour
from tailrace.cli.lazy import Command
from tailrace.cli.log_text import log_text
from tailrace.cli.options import WholeNumber, dag_argument, map_index_option, stores_with
from tailrace.service.logs import find_log

_PIECE = 1 << 20


@click.command(cls=Command)
@dag_argument
@click.argument("task_id")
@click.argument("run")
@click.option("--try", "try_number", type=WholeNumber(1), metavar="N", help="Which try; the latest by default.")
@map_index_option
def logs(dag_id: str, task_id: str, run: str, try_number: int | None, map_index: int | None) -> None:
    """Print the log of a task's try in RUN, a run id or a logical date."""
    with stores_with() as stores:
        path = find_log(stores, dag_id, task_id, run, try_number, map_index)
    _print(path)


def _print(path: Path) -> None:
    """On a terminal, text that cannot steer it; else the bytes as they are: a log may hold anything."""
    console = current_console()
    console.note(f"{path}:")
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(_PIECE), b"")
        if sys.stdout.isatty():
            for text in log_text(pieces, colours=has_colour(sys.stdout)):
                console.print_log(text)
        else:
            for piece in pieces:
                console.print_bytes(piece)
