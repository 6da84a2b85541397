"""``tailrace runs``: what became of the runs of a DAG."""

import json
from functools import partial

import click

from tailrace.cli.callback_lines import callback_lines
from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.listing import show_list
from tailrace.cli.options import (
    WholeNumber,
    dag_argument,
    dates_options,
    optional_dag_argument,
    output_option,
    run_argument,
    stores_with,
)
from tailrace.cli.tables import show_table
from tailrace.cli.views import (
    RUN_COLUMNS,
    TASK_INSTANCE_COLUMNS,
    interval_text,
    run_reason,
    run_row,
    task_instance_row,
)
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import visible_line
from tailrace.model.states import DagRunState
from tailrace.service import views

_HERE = "tailrace.cli.commands.runs"
_LONGEST_CONF = 200


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(f"{_HERE}:list_", "List runs, newest logical date first."),
        "show": Lazy(f"{_HERE}:show", "Show one run and its task instances."),
        "explain": Lazy("tailrace.cli.commands.explain:explain_run_command", "Say what a run waits for, and why."),
        "clear": Lazy("tailrace.cli.commands.runs_change:clear", "Have every task of runs done again."),
        "mark": Lazy("tailrace.cli.commands.runs_change:mark", "Give runs a verdict without running anything."),
    },
)
def runs() -> None:
    """Runs: one for each logical date of a DAG."""


@click.command("list", cls=Command)
@optional_dag_argument
@click.option("--state", type=click.Choice([str(state) for state in DagRunState]), help="Only runs in this state.")
@click.option("--failed-tasks", is_flag=True, help="Only runs in which a task failed, those that succeeded too.")
@dates_options
@click.option("--limit", type=WholeNumber(1), default=100, show_default=True, help="At most so many.")
@output_option
def list_(
    dag_id: str | None,
    state: str | None,
    failed_tasks: bool,
    start: str | None,
    end: str | None,
    limit: int,
    output: str,
) -> None:
    """List the runs of DAG_ID, or of every DAG, newest logical date first."""
    wanted = views.Wanted(dag_id, start, end, limit)
    read = partial(views.list_runs, wanted=wanted, state=state, failed_tasks=failed_tasks)
    chosen = " with these options" if state or failed_tasks or start or end else ""
    none = f"no runs{f' of {dag_id}' if dag_id else ''}{chosen}"
    show_list(read, RUN_COLUMNS, run_row, output=output, empty=none, limit=limit)


@click.command(cls=Command)
@dag_argument
@run_argument
@output_option
def show(dag_id: str, run: str, output: str) -> None:
    """Show one run and its task instances. RUN is a run id or a logical date."""
    with stores_with() as stores:
        found = views.show_run(stores, dag_id, run)
    console = current_console()
    if output == "json":
        console.print_json(found)
        return
    beside = run_reason(found)
    more = f", {beside}" if beside and beside != found.reason else ""
    console.tell(f"{found.dag_id} / {found.run_id}: {found.state}{more}", found.state)
    if found.reason and not (found.last_command and found.reason.startswith(found.last_command.what)):
        console.tell(found.reason)
    if found.last_command is not None:
        console.tell(found.last_command.text)
    console.tell(interval_text(*found.data_interval))
    if found.conf:
        console.tell(conf_line(found.conf))
    if found.start is not None:
        ended = f", ended {moment_text(found.end)}" if found.end else ""
        console.tell(f"started {moment_text(found.start)}{ended}")
    if (of := found.dag_version) is not None and of.versions > 1:
        console.tell(f"version {of.version} of {of.versions} of the DAG: `tailrace dags versions {found.dag_id}`")
    if found.part is not None:
        none = f"; in no part yet: {', '.join(found.in_no_part)}" if found.in_no_part else ""
        console.tell(f"a part of its DAG: {', '.join(found.part)}{none}")
    for line in callback_lines(found.dag_id, found.run_id, found.callbacks):
        console.tell(line)
    rows = [task_instance_row(line) for line in found.task_instances]
    show_table(TASK_INSTANCE_COLUMNS, rows, empty="it has not been activated: no task instances yet")


def conf_line(conf: object) -> str:
    """A conf as a line for a person. Somebody may have stored what is no JSON: that is shown too, and ends nothing."""
    if isinstance(conf, dict):
        return f"conf {json.dumps(conf)}"
    stored = conf if isinstance(conf, str) else json.dumps(conf)
    return f"conf is no JSON object: {visible_line(stored, _LONGEST_CONF)}"
