"""``tailrace dags pause|unpause|versions|stats``: what the metastore knows of DAGs."""

from functools import partial

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.cli.listing import show_list
from tailrace.cli.options import dag_argument, optional_dag_argument, output_option, stores_with
from tailrace.cli.views import STATS_COLUMNS, VERSION_COLUMNS, stats_row, version_row
from tailrace.service import changes, views


@click.command(cls=Command)
@dag_argument
def pause(dag_id: str) -> None:
    """Pause a DAG: none of its runs is started by its schedule. A backfill that somebody types still runs."""
    _set(dag_id, paused=True)


@click.command(cls=Command)
@dag_argument
def unpause(dag_id: str) -> None:
    """Let a paused DAG go on."""
    _set(dag_id, paused=False)


@click.command(cls=Command)
@dag_argument
@output_option
def versions(dag_id: str, output: str) -> None:
    """List the structures that DAG_ID has had, what changed with each, and how many runs were last begun with it.

    A version is a DAG's tasks, their relations and arguments, not the code of their functions.
    """
    read = partial(views.dag_versions, dag_id=dag_id)
    show_list(read, VERSION_COLUMNS, version_row, output=output, empty=f"{dag_id} has never been loaded")


@click.command(cls=Command)
@optional_dag_argument
@output_option
def stats(dag_id: str | None, output: str) -> None:
    """Count runs and task instances by state, for DAG_ID or for every DAG that has run."""
    read = partial(views.dag_stats, dag_id=dag_id)
    show_list(read, STATS_COLUMNS, stats_row, output=output, empty="no DAG has run yet")


def _set(dag_id: str, *, paused: bool) -> None:
    with stores_with() as stores:
        changes.pause_dag(stores, dag_id, current_console().notice, paused=paused)
    current_console().note(f"{dag_id} is {'paused' if paused else 'not paused'}")
