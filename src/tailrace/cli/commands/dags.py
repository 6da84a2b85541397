"""``tailrace dags``: the group. What needs only DAG files and what needs the metastore are in modules of their own."""

import click

from tailrace.cli.lazy import Lazy, LazyGroup

_FILES = "tailrace.cli.commands.dags_files"
_STORED = "tailrace.cli.commands.dags_stored"


@click.group(
    cls=LazyGroup,
    lazy={
        "list": Lazy(f"{_FILES}:list_", "List the DAGs in the DAG files."),
        "show": Lazy(f"{_FILES}:show", "Draw one DAG's tasks as a tree."),
        "check": Lazy(f"{_FILES}:check", "Report every mistake in the DAG files with file and line."),
        "trigger": Lazy("tailrace.cli.commands.dags_trigger:trigger", "Create one run; a scheduler drives it."),
        "pause": Lazy(f"{_STORED}:pause", "Pause a DAG: nothing of it is started by itself."),
        "unpause": Lazy(f"{_STORED}:unpause", "Let a paused DAG go on."),
        "versions": Lazy(f"{_STORED}:versions", "List the structures that a DAG has had, and what changed."),
        "stats": Lazy(f"{_STORED}:stats", "Count runs and task instances of each DAG by state."),
    },
)
def dags() -> None:
    """DAGs: what is in the files, and what the metastore knows of them."""
