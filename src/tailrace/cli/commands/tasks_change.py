"""``tailrace tasks clear|mark``: single tasks of runs done again, or given an outcome by a person."""

from functools import partial

import click

from tailrace.cli.change_options import ChangeOptions, change, change_options, range_options
from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, map_index_option, runs_argument, tasks_argument
from tailrace.model.states import TaskInstanceState
from tailrace.planning.clearing import ClearRequest
from tailrace.planning.marking import MarkRequest
from tailrace.service import changes
from tailrace.service.scopes import RunsNamed


@click.command(cls=Command)
@dag_argument
@tasks_argument
@runs_argument
@map_index_option
@range_options
@click.option("--upstream", is_flag=True, help="Every task above it too.")
@click.option(
    "--downstream/--only",
    default=True,
    help="Every task below it too (the default); --only leaves them as they are.",
)
@click.option("--only-failed", is_flag=True, help="Of all these only what failed, and what followed from it.")
@change_options
def clear(
    dag_id: str,
    task_id: str,
    runs: tuple[str, ...],
    map_index: int | None,
    start: str | None,
    end: str | None,
    upstream: bool,
    downstream: bool,
    only_failed: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> int:
    """Have a task, and what is below it, done again. RUN is a run id or a logical date.

    Its next try has a new number and all its retries. A running try is stopped first. TASK_ID may be that of a task
    group, or a pattern such as 'load.*'.
    """
    request = ClearRequest(
        (task_id,), map_index=map_index, upstream=upstream, downstream=downstream, only_failed=only_failed
    )
    named = RunsNamed(dag_id, runs, start, end)
    return change(partial(changes.clear, named=named, request=request), ChangeOptions(dry_run, yes, output))


@click.command(cls=Command)
@dag_argument
@tasks_argument
@runs_argument
@map_index_option
@range_options
@click.option("--state", type=click.Choice(["success", "failed", "skipped"]), required=True, help="The outcome.")
@click.option("--upstream", is_flag=True, help="Every task above it too.")
@click.option("--downstream", is_flag=True, help="Every task below it too.")
@click.option("--downstream-failed", is_flag=True, help="Clear what is upstream_failed below it: it runs again.")
@change_options
def mark(
    dag_id: str,
    task_id: str,
    runs: tuple[str, ...],
    map_index: int | None,
    start: str | None,
    end: str | None,
    state: str,
    upstream: bool,
    downstream: bool,
    downstream_failed: bool,
    dry_run: bool,
    yes: bool,
    output: str,
) -> int:
    """Give a task an outcome without running it. RUN is a run id or a logical date. A running try is stopped.

    A closed run is judged again by what its tasks are then. TASK_ID may be that of a task group, or a pattern such as
    'load.*'.
    """
    outcome = TaskInstanceState(state)
    request = MarkRequest(
        outcome,
        (task_id,),
        map_index=map_index,
        upstream=upstream,
        downstream=downstream,
        downstream_failed=downstream_failed,
    )
    named = RunsNamed(dag_id, runs, start, end)
    return change(partial(changes.mark_tasks, named=named, request=request), ChangeOptions(dry_run, yes, output))
