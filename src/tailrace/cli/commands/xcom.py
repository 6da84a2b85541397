"""``tailrace xcom``: the values that tasks have left for others of their run."""

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command, Lazy, LazyGroup
from tailrace.cli.options import dag_argument, map_index_option, output_option, run_argument, stores_with, task_argument
from tailrace.cli.tables import Column, show_table
from tailrace.model.keys import index_suffix
from tailrace.model.moments import moment_text
from tailrace.model.plain_text import visible_line
from tailrace.model.suggestions import joined
from tailrace.service import xcoms
from tailrace.service.encoding import json_of

_HERE = "tailrace.cli.commands.xcom"
_SHOWN = 60
_COLUMNS = (Column("task_id"), Column("key"), Column("characters", number=True), Column("pushed"), Column("value"))


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(f"{_HERE}:list_", "List the XComs of a run."),
        "get": Lazy(f"{_HERE}:get", "Print the value of one."),
    },
)
def xcom() -> None:
    """XComs: the values that tasks leave for others of their run."""


@click.command("list", cls=Command)
@dag_argument
@run_argument
@output_option
def list_(dag_id: str, run: str, output: str) -> None:
    """List the XComs that RUN, a run id or a logical date, has recorded. Of long values only the beginning."""
    with stores_with() as stores:
        found = xcoms.list_xcoms(stores, dag_id, run)
    if output == "json":
        current_console().print_json(found)
        return
    rows = [
        (
            each.task_id + index_suffix(each.map_index),
            each.key,
            f"{each.characters:,}",
            moment_text(each.pushed),
            visible_line(each.begins, _SHOWN),
        )
        for each in found
    ]
    show_table(_COLUMNS, rows, empty=f"no XComs of {run}")


@click.command(cls=Command)
@dag_argument
@task_argument
@run_argument
@click.option("--key", default="return_value", show_default=True, metavar="KEY", help="Which of its XComs.")
@map_index_option
@output_option
def get(dag_id: str, task_id: str, run: str, key: str, map_index: int | None, output: str) -> None:
    """Print the value that a task has left in RUN, a run id or a logical date: text as it is, all else as JSON.

    Of a mapped task without --map-index it is the list of all its values.
    """
    with stores_with() as stores:
        value, lacking = xcoms.get_xcom(stores, dag_id, task_id, run, key, map_index)
    console = current_console()
    if lacking:
        console.notice(f"not in it, for nothing was recorded: {joined(lacking)}")
    if output == "json":
        console.print_json(value)
    else:
        console.print(value if isinstance(value, str) else json_of(value, indent=2))
