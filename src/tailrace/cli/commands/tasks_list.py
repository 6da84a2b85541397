"""``tailrace tasks list``: the tasks of a DAG, or their instances in runs, by state and date."""

import importlib
from pathlib import Path

import click

from tailrace.cli.commands.dags_files import shown_dag
from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.cli.options import (
    WholeNumber,
    dags_option,
    dates_options,
    optional_dag_argument,
    output_option,
    tasks_option,
)
from tailrace.cli.tables import Column, show_table
from tailrace.errors import CommandError
from tailrace.model.states import TaskInstanceState
from tailrace.service.dag_views import task_shown

_MOST = 100
_COLUMNS = (Column("task_id"), Column("operator"), Column("trigger_rule"), Column("upstream"))


@click.command("list", cls=Command)
@optional_dag_argument
@click.option(
    "--state",
    "states",
    type=click.Choice([str(state) for state in TaskInstanceState]),
    metavar="STATE",
    multiple=True,
    help="Task instances in this state (failed, upstream_failed, running…), newest logical date first; may be given "
    "several times.",
)
@tasks_option("Task instances of this task; of all in a group, or whose ids fit a pattern such as 'load.*'.")
@dates_options
@click.option("--limit", type=WholeNumber(1), help="At most so many task instances.  [default: 100]")
@dags_option
@output_option
def list_(
    dag_id: str | None,
    states: tuple[str, ...],
    task_ids: tuple[str, ...],
    start: str | None,
    end: str | None,
    limit: int | None,
    dags: Path | None,
    output: str,
) -> None:
    """List a DAG's tasks in topological order; with --state, --task, -s or -e their instances instead.

    Task instances are those of DAG_ID, or of every DAG.
    """
    if states or task_ids or start or end:
        # The tasks of a DAG are listed without a database library.
        instances = importlib.import_module("tailrace.cli.commands.task_instances")
        if dags is not None:
            raise CommandError("--dags has no effect on task instances, which the metastore lists; leave it out")
        instances.list_instances((dag_id, start, end, limit or _MOST), states, task_ids, output)
    elif dag_id is None:
        raise CommandError("name a DAG, whose tasks are listed, or a --state, to list task instances of every DAG")
    elif limit is not None:
        raise CommandError("--limit is of task instances: say which with --state, --task, -s or -e, or leave it out")
    else:
        _list_tasks(dag_id, dags, output)


def _list_tasks(dag_id: str, dags: Path | None, output: str) -> None:
    spec = shown_dag(dag_id, dags)
    if output == "json":
        current_console().print_json([task_shown(spec, task) for task in spec.tasks])
        return
    rows = [(task.task_id, task.operator, str(task.trigger_rule), ", ".join(task.upstream)) for task in spec.tasks]
    show_table(_COLUMNS, rows, empty=f"{dag_id} has no tasks")
