"""``tailrace grid``: the states of a DAG's tasks over its runs, at one look."""

import sys
import time

import click

from tailrace.cli.console import current_console
from tailrace.cli.fitting import columns_of
from tailrace.cli.grid_lines import GridDrawing
from tailrace.cli.lazy import Command
from tailrace.cli.options import WholeNumber, dag_argument, dates_options, output_option, stores_with, tasks_option
from tailrace.errors import CommandError
from tailrace.service import views

_MOST = 1000
_SECONDS = 2.0


@click.command(cls=Command)
@dag_argument
@dates_options
@tasks_option("Only this task, this task group, or what fits this pattern, such as 'load.*'. May be repeated.")
@click.option("--limit", type=WholeNumber(1), help="At most so many runs.  [default: what fits beside one another]")
@click.option("--watch", is_flag=True, help="Draw it again every two seconds, until interrupted.")
@output_option
def grid(
    dag_id: str,
    start: str | None,
    end: str | None,
    task_ids: tuple[str, ...],
    limit: int | None,
    watch: bool,
    output: str,
) -> None:
    """Show the states of DAG_ID's tasks over its runs: a column for each run, the newest at the right.

    Of a mapped task, name[], the worst of its instances is shown. With -s, -e or --limit all those runs are shown,
    in as many lines below one another as they take.
    """
    if watch and (output == "json" or not sys.stdout.isatty()):
        raise CommandError("--watch needs a terminal to draw on; leave it out")
    wants_newest = limit is None and start is None and end is None
    most = limit or (columns_of(sys.stdout) if wants_newest else _MOST)
    wanted = views.Wanted(dag_id, start, end, most)
    with stores_with() as stores:
        while True:
            found = views.grid(stores, wanted, task_ids)
            if output == "json":
                current_console().print_json(found)
                return
            if watch:
                click.clear()
            _show(GridDrawing(found, sys.stdout), wants_newest=wants_newest)
            if not watch:
                return
            time.sleep(_SECONDS)


def _show(drawing: GridDrawing, *, wants_newest: bool) -> None:
    console, found = current_console(), drawing.grid
    if not found.runs:
        console.note(f"no runs of {found.dag_id}{'' if wants_newest else ' with these options'}")
        return
    console.print("\n".join(drawing.lines(newest_only=wants_newest)))
    if wants_newest and (found.more or len(found.runs) > drawing.runs_in_line):
        console.note(f"the newest {drawing.runs_in_line} runs; -s, -e or --limit show others")
    elif found.more:
        console.note(f"the newest {len(found.runs):,} of these runs; --limit shows more")
