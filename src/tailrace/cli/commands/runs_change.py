"""``tailrace runs clear|mark``: whole runs done again, or given a verdict by a person."""

from functools import partial

import click

from tailrace.cli.change_options import ChangeOptions, change, change_options, range_options
from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, part_options, runs_argument
from tailrace.model.states import DagRunState
from tailrace.planning.choosing import Choice, require_patterns
from tailrace.planning.clearing import ClearRequest
from tailrace.service import changes
from tailrace.service.scopes import RunsNamed


@click.command(cls=Command)
@dag_argument
@runs_argument
@range_options
@part_options
@click.option("--only-failed", is_flag=True, help="Only what failed, and what followed from it.")
@change_options
def clear(
    dag_id: str,
    runs: tuple[str, ...],
    start: str | None,
    end: str | None,
    tasks: tuple[str, ...],
    upstream: bool,
    downstream: bool,
    only_failed: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> int:
    """Have every task of these runs done again, or (--tasks) a part. RUN is a run id or a logical date.

    A part does not wait for what it leaves out. What runs is stopped. A closed run opens again, and so does a later
    one that it had deadlocked; who drives it from then on is reported. A judged backfill stays judged.
    """
    choice = Choice(tasks, upstream, downstream)
    require_patterns(choice)
    named, request = RunsNamed(dag_id, runs, start, end), ClearRequest(only_failed=only_failed, choice=choice)
    return change(partial(changes.clear, named=named, request=request), ChangeOptions(dry_run, yes, output))


@click.command(cls=Command)
@dag_argument
@runs_argument
@range_options
@click.option(
    "--state",
    type=click.Choice(["success", "failed"]),
    required=True,
    help="success: all that is unfinished or failed succeeds. failed: what runs fails, the rest is skipped.",
)
@change_options
def mark(
    dag_id: str,
    runs: tuple[str, ...],
    start: str | None,
    end: str | None,
    state: str,
    dry_run: bool,
    yes: bool,
    output: str,
) -> int:
    """Give these runs a verdict without running anything. RUN is a run id or a logical date. What runs is stopped."""
    named = RunsNamed(dag_id, runs, start, end)
    command = partial(changes.mark_runs, named=named, state=DagRunState(state))
    return change(command, ChangeOptions(dry_run, yes, output))
