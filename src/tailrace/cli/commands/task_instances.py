"""``tailrace tasks list --state STATE``: task instances of many runs, as the metastore has them."""

from functools import partial

from tailrace.cli.listing import show_list
from tailrace.cli.views import OF_RUNS_COLUMNS, task_instance_of_run_row
from tailrace.service import views


def list_instances(
    wanted: tuple[str | None, str | None, str | None, int],
    states: tuple[str, ...],
    task_ids: tuple[str, ...],
    output: str,
) -> None:
    """List the task instances of ``wanted`` (DAG, start, end, at most how many) in these states, of these tasks."""
    asked = views.Wanted(*wanted)
    read = partial(views.list_task_instances, wanted=asked, states=states, task_ids=task_ids)
    none = "no task instances"
    show_list(read, OF_RUNS_COLUMNS, task_instance_of_run_row, output=output, empty=none, limit=asked.limit)
