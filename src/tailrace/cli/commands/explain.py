"""``tailrace runs explain`` and ``tailrace tasks explain``: the planner's decisions, with what would release them."""

import click

from tailrace.cli.console import current_console
from tailrace.cli.explaining import (
    DEPENDENCY_COLUMNS,
    EXPLAINED_COLUMNS,
    TRY_COLUMNS,
    dependency_rows,
    explained_row,
    run_lines,
    task_lines,
    try_rows,
)
from tailrace.cli.lazy import Command
from tailrace.cli.options import (
    dag_argument,
    map_index_option,
    output_option,
    run_argument,
    stores_with,
    tasks_argument,
    tasks_option,
)
from tailrace.cli.remedies import command_of
from tailrace.cli.tables import show_table
from tailrace.model.keys import UNMAPPED
from tailrace.service import explanations


@click.command("explain", cls=Command)
@dag_argument
@run_argument
@tasks_option("Only of this task; of all in a group, or whose ids fit a pattern such as 'load.*'.")
@output_option
def explain_run_command(dag_id: str, run: str, task_ids: tuple[str, ...], output: str) -> None:
    """Say what a run and each of its task instances wait for, and what would release them.

    RUN is a run id or a logical date. Asks the planner itself about what is recorded now; needs no DAG file and writes
    nothing.
    """
    with stores_with() as stores:
        explained = explanations.explained(stores, dag_id, run)
    console = current_console()
    instances = explanations.instances_of_all(explained, task_ids, command_of)
    if output == "json":
        console.print_json(explanations.explained_run(explained, instances, command_of))
        return
    console.tell("\n".join(run_lines(explained)), str(explained.facts.run.state))
    rows = [explained_row(each) for each in instances]
    show_table(EXPLAINED_COLUMNS, rows, empty="it has not been activated: no task instances yet")


@click.command("explain", cls=Command)
@dag_argument
@tasks_argument
@run_argument
@map_index_option
@output_option
def explain_task_command(dag_id: str, task_id: str, run: str, map_index: int | None, output: str) -> None:
    """Say what a task instance waits for, or why it ended as it did, and what would release it.

    RUN is a run id or a logical date. Asks the planner itself about what is recorded now; needs no DAG file and writes
    nothing. Of a mapped task it explains every instance, with -o json as a list; so it does of a task group, or of a
    pattern such as 'load.*'.
    """
    with stores_with() as stores:
        explained = explanations.explained(stores, dag_id, run)
    console = current_console()
    instances = explanations.instances_of(explained, task_id, map_index, command_of)
    if output == "json":
        shown = [explanations.explained_task(explained, each, command_of) for each in instances]
        key = instances[0].key
        several = key.task_id != task_id or (map_index is None and key.map_index != UNMAPPED)
        console.print_json(shown if several else shown[0])
        return
    for instance in instances:
        console.tell("\n".join(task_lines(instance, explained.facts)), str(instance.facts.view.state))
        if instance.statuses:
            show_table(DEPENDENCY_COLUMNS, dependency_rows(instance), empty="")
        if instance.facts.tries:
            show_table(TRY_COLUMNS, try_rows(instance), empty="")
