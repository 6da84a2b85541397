"""``tailrace dags trigger``: one run that a person asks for."""

from pathlib import Path

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, dags_option, output_option, settings_with
from tailrace.cli.remedies import command_of
from tailrace.cli.shell_line import shell_line
from tailrace.errors import CommandError
from tailrace.service.confs import canonical_conf
from tailrace.service.dagfiles import bundled_file, require_dags
from tailrace.service.launch import trigger_run


@click.command(cls=Command)
@dag_argument
@click.option("--logical-date", metavar="DATE", help="The run's logical date; now by default.")
@click.option(
    "--run-id",
    metavar="ID",
    help="Its name, in one line, no date; manual__ and the logical date by default.",
)
@click.option("--conf", metavar="JSON", help="A JSON object, `{{dag_run.conf}}` in templates.")
@dags_option
@output_option
def trigger(
    dag_id: str, logical_date: str | None, run_id: str | None, conf: str | None, dags: Path | None, output: str
) -> None:
    """Create one run of DAG_ID, whatever its schedule. A scheduler drives it.

    A logical date of the schedule has its own data interval; any other has the last that has ended by then.
    """
    settings = settings_with(dags=dags)
    if bundled_file(dag_id, settings) is not None:
        raise CommandError(
            f"{dag_id} is a bundled example, which no scheduler loads; run it with "
            f"`{shell_line('tailrace', 'backfill', dag_id)}`"
        )
    require_dags(dag_id, settings)
    console = current_console()
    triggered = trigger_run(dag_id, logical_date, run_id, canonical_conf(conf), settings, console.notice, command_of)
    if output == "json":
        console.print_json(triggered)
        return
    console.print(triggered.run_id)
    for notice in triggered.notices:
        console.notice(notice)
    shown = f"`{shell_line('tailrace', 'runs', 'show', dag_id, triggered.run_id)}`"
    console.note(f"created; a scheduler drives it (`tailrace scheduler`); {shown}")
