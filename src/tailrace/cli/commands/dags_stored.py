"""``tailrace dags pause|unpause|stats``: what the metastore knows of DAGs."""

import click

from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, optional_dag_argument, output_option, settings_with
from tailrace.cli.speaking import current_speaker
from tailrace.cli.stored import existing, new_write_id, require_known, say_empty
from tailrace.cli.tables import show_table
from tailrace.cli.views import STATS_COLUMNS, stats_json, stats_row
from tailrace.errors import CommandError
from tailrace.model.suggestions import did_you_mean


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
@optional_dag_argument
@output_option
def stats(dag_id: str | None, output: str) -> None:
    """Count runs and task instances by state, for DAG_ID or for every DAG that has run."""
    settings = settings_with()
    with existing(settings) as metastore:
        if dag_id is not None:
            require_known(metastore, dag_id)
        found = () if metastore is None else metastore.dag_stats(dag_id)
    if output == "json":
        current_speaker().answer_json([stats_json(line) for line in found])
    elif metastore is None:
        say_empty(settings)
    else:
        show_table(STATS_COLUMNS, [stats_row(line) for line in found], empty="no DAG has run yet")


def _set(dag_id: str, *, paused: bool) -> None:
    with existing(settings_with()) as metastore:
        known = metastore is not None and metastore.set_paused(dag_id, paused, new_write_id())
        if not known:
            names = () if metastore is None else metastore.known_dags()
            raise CommandError(
                f"{dag_id} has never run here, so there is nothing to {'pause' if paused else 'unpause'}"
                f"{did_you_mean(dag_id, names)}"
            )
    current_speaker().note(f"{dag_id} is {'paused' if paused else 'not paused'}")
