"""``tailrace demo``: a month of the bundled weather example, the mart it filled, and what to look at next."""

import importlib
import os
from pathlib import Path

import click

from tailrace.authoring.loading.load import bundled_examples_path
from tailrace.cli.commands.backfill_run import carry_out
from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.cli.options import output_option, settings_with
from tailrace.cli.tables import Column, plain_table
from tailrace.runtime.settings import Settings
from tailrace.service.backfill_report import BackfillCommand

_DAG = "example_weather"
_START, _END = "2012-01-01", "2012-01-31"
_SHOWN = {
    "day": "day",
    "weather": "weather",
    "temp_min": "min °C",
    "temp_max": "max °C",
    "precipitation": "rain mm",
    "week_temp_max": "7-day max °C",
    "week_precipitation": "7-day rain mm",
}
NEXT = f"""\
what to look at next:
  tailrace dags show {_DAG}                 its tasks as a tree
  tailrace runs list {_DAG}                 the {{days}} runs
  tailrace runs show {_DAG} 2012-01-31      one run, task by task
  tailrace tasks logs {_DAG} monthly_rollup 2012-01-31
  tailrace backfill {_DAG} -s 2012-02-01 -e 2012-12-31     the rest of the year
  tailrace demo                                         again: nothing is left to do
  tailrace init                                         a DAG of your own"""


@click.command(cls=Command)
@output_option
def demo(output: str) -> int:
    """Backfill a month of real weather with the bundled example, then show what it made.

    A real job: real processes, a real metastore in this folder's .tailrace, and nothing outside it.
    """
    console = current_console()
    settings = settings_with(dags=bundled_examples_path() / f"{_DAG}.py")
    command = BackfillCommand(_DAG, _START, _END, bundled=True, typed=f"tailrace backfill {_DAG} -s {_START} -e {_END}")
    code = carry_out(command, settings, {}, output)
    if code == 0 and output != "json":
        console.print("")
        console.print(_mart(settings))
        console.print(NEXT.format(days=31))
    return code


def _mart(settings: Settings) -> str:
    """The last days of the mart that the example filled."""
    example = importlib.import_module(f"tailrace.examples.{_DAG}")
    named = os.environ.get("WEATHER_MART")
    rows = example.mart_table(Path(named) if named else settings.home / "weather_mart.sqlite", limit=7)
    columns = [Column(heading, number=name not in ("day", "weather")) for name, heading in _SHOWN.items()]
    return plain_table(columns, [[str(row[name]) for name in _SHOWN] for row in rows])
