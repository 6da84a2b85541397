"""``tailrace jobs``: the processes that drive backfills and schedules."""

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import WholeNumber, note_empty, output_option, stores_with
from tailrace.cli.tables import show_table
from tailrace.cli.views import JOB_COLUMNS, job_row
from tailrace.service import views


@click.group(
    cls=LazyGroup,
    lazy={"list": Lazy("tailrace.cli.commands.jobs:list_", "List jobs: what each drives, where, and since when.")},
)
def jobs() -> None:
    """Jobs: the processes that drive backfills and schedules."""


@click.command("list", cls=Command)
@click.option("--limit", type=WholeNumber(1), default=50, show_default=True, help="At most so many.")
@output_option
def list_(limit: int, output: str) -> None:
    """List jobs, newest first. A job is lost if its heartbeats stopped before it recorded how it ended. Times are in
    UTC.
    """
    with stores_with() as stores:
        found = views.list_jobs(stores, limit)
        empty = stores.reading() is None
    if output == "json":
        current_console().print_json(found)
    elif empty:
        note_empty(stores.settings)
    else:
        show_table(JOB_COLUMNS, [job_row(each) for each in found], empty="no jobs yet")
