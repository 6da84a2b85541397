"""``tailrace tasks list --state STATE``: task instances of many runs, as the metastore has them."""

from tailrace.cli.console import current_console
from tailrace.cli.options import note_empty, stores_with
from tailrace.cli.tables import show_table
from tailrace.cli.views import OF_RUNS_COLUMNS, task_instance_of_run_row
from tailrace.service import views


def list_instances(
    wanted: tuple[str | None, str | None, str | None, int],
    states: tuple[str, ...],
    task_ids: tuple[str, ...],
    output: str,
) -> None:
    """List the task instances of ``wanted`` (DAG, start, end, at most how many) in these states, of these tasks."""
    with stores_with() as stores:
        found = views.list_task_instances(stores, views.Wanted(*wanted), states, task_ids)
        empty = stores.reading() is None
    if output == "json":
        current_console().print_json(found)
    elif empty:
        note_empty(stores.settings)
    else:
        show_table(OF_RUNS_COLUMNS, [task_instance_of_run_row(each) for each in found], empty="no task instances")
        if len(found) == wanted[-1]:
            current_console().note(f"the newest {wanted[-1]}; --limit shows more")
