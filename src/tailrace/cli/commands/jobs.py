"""``tailrace jobs``: the processes that drive backfills and schedules."""

from functools import partial

import click

from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.listing import show_list
from tailrace.cli.options import WholeNumber, output_option
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
    read = partial(views.list_jobs, limit=limit)
    show_list(read, JOB_COLUMNS, job_row, output=output, empty="no jobs yet", limit=limit)
