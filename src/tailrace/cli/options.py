"""Options and arguments that several commands share, and the settings they lead to."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from tailrace.cli.completing import complete_runs, complete_tasks, complete_tasks_and_groups
from tailrace.cli.console import current_console
from tailrace.cli.remedies import command_of
from tailrace.errors import CommandError, TailraceError
from tailrace.model.keys import GREATEST_MAP_INDEX, UNMAPPED
from tailrace.model.plain_text import visible_line
from tailrace.runtime.settings import Settings, load_settings
from tailrace.service.dag_names import dag_names_in

if TYPE_CHECKING:
    from tailrace.service.stores import Stores

F = TypeVar("F", bound=Callable[..., Any])

#: No number that is stored may be greater, on either database.
_MOST = 2**31 - 1


class WholeNumber(click.IntRange):
    """A whole number from ``least`` on, up to ``most``; ``what`` it is, for whoever types something else."""

    name = "number"

    def __init__(self, least: int, most: int | None = None, *, what: str = "a whole number") -> None:
        super().__init__(least, _MOST if most is None else most)
        self._expected = what + (f", {least} or more" if most is None else f" from {least} to {most}")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Fails with one line that says what is expected."""
        try:
            number: int = super().convert(value, param, ctx)
        except click.BadParameter:
            digits = str(value).lstrip("0")
            too_much = digits.isdecimal() and (len(digits) > len(str(_MOST)) or int(digits) > _MOST)
            shown = visible_line(repr(value), 100)
            self.fail(f"{shown} is {f'more than {_MOST}' if too_much else f'not {self._expected}'}", param, ctx)
        return number


#: How a backfill is named on the command line.
BACKFILL_ID = WholeNumber(1, what="a backfill's id (`tailrace backfill list` lists them): a whole number")


def map_index_option(command: F) -> F:
    """--map-index N, as ``map_index`` (None when not typed)."""
    return click.option(
        "--map-index",
        type=WholeNumber(UNMAPPED, GREATEST_MAP_INDEX, what="a map index: a whole number"),
        metavar="N",
        help="Of a mapped task only the instance of this index (-1: the one that is not mapped, or not yet).",
    )(command)


def output_option(command: F) -> F:
    """-o/--output table|json, as ``output``."""
    return output_or()(command)


def output_or(**others: str) -> Callable[[F], F]:
    """The same with other formats, each with what it is, as the help says it."""
    also = "".join(f" {name}: {what}." for name, what in others.items())
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", *others]),
        default="table",
        show_default=True,
        help=f"json prints one value on stdout and nothing else there.{also}",
    )


def part_options(command: F) -> F:
    """--tasks, any number of times, --upstream and --downstream: a part of the DAG."""
    tasks = click.option(
        "--tasks",
        metavar="REGEX",
        multiple=True,
        shell_complete=complete_tasks_and_groups,
        help="Only a part of the DAG: the tasks whose whole ids fit, or those of the group of that id. More add up.",
    )
    upstream = click.option("--upstream", is_flag=True, help="With --tasks: all tasks above those too.")
    downstream = click.option("--downstream", is_flag=True, help="With --tasks: all tasks below those too.")
    return tasks(upstream(downstream(command)))


def dags_option(command: F) -> F:
    """--dags PATH, as ``dags`` (None when not typed)."""
    return click.option(
        "--dags",
        type=click.Path(path_type=Path),
        help="A file or folder of DAG files (also TAILRACE_DAGS; default ./dags).",
    )(command)


class DagId(click.types.StringParamType):
    """A DAG's id; completed from the text of the DAG files: their code is not run, so that a Tab costs milliseconds."""

    name = "DAG_ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id as typed. Fails for an empty one, which no DAG has: a script's variable was not set."""
        if not value:
            raise CommandError("DAG_ID is empty; `tailrace dags list` names the DAGs")
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The ids that the DAG files seem to define."""
        try:
            settings = load_settings({"dags": ctx.params.get("dags")})
        except TailraceError:
            return []
        return [CompletionItem(name) for name in sorted(dag_names_in(settings.dags)) if name.startswith(incomplete)]


def dag_argument(command: F) -> F:
    """DAG_ID, as ``dag_id``."""
    return click.argument("dag_id", type=DagId())(command)


def optional_dag_argument(command: F) -> F:
    """[DAG_ID], as ``dag_id``; None when not typed."""
    return click.argument("dag_id", required=False, type=DagId())(command)


def task_argument(command: F) -> F:
    """TASK_ID, as ``task_id``."""
    return click.argument("task_id", shell_complete=complete_tasks)(command)


def tasks_argument(command: F) -> F:
    """TASK_ID, as ``task_id``, which may mean several: the id of a task or a group, or a pattern."""
    return click.argument("task_id", shell_complete=complete_tasks_and_groups)(command)


def tasks_option(text: str) -> Callable[[F], F]:
    """--task, as often as wanted, as ``task_ids``: ids, groups and patterns."""
    return click.option(
        "--task", "task_ids", metavar="TASK_ID", multiple=True, shell_complete=complete_tasks_and_groups, help=text
    )


def run_argument(command: F) -> F:
    """RUN, as ``run``: a run id or a logical date."""
    return click.argument("run", shell_complete=complete_runs)(command)


def runs_argument(command: F) -> F:
    """[RUN]..., as ``runs``."""
    return click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_runs)(command)


def dates_options(command: F) -> F:
    """-s and -e, as ``start`` and ``end``: which logical dates are listed."""
    for given in (
        click.option("-e", "--end", metavar="DATE", help="Up to this logical date, its whole day included."),
        click.option("-s", "--start", metavar="DATE", help="From this logical date on."),
    ):
        command = given(command)
    return command


def stores_with() -> "Stores":
    """The metastore of the settings. The database library is loaded by the first command that needs one."""
    stores: Stores = importlib.import_module("tailrace.service.stores").Stores(settings_with(), command_of)
    return stores


def note_empty(settings: Settings) -> None:
    """Say that nothing is remembered yet, and what would change that."""
    current_console().note(
        f"no metastore at {settings.sqlite_file or settings.database_url} yet; `tailrace backfill` makes one"
    )


def settings_with(**options: object) -> Settings:
    """The settings, with these options over them; None values are options that were not typed."""
    settings = load_settings(options)
    for notice in settings.notices:
        current_console().notice_once(notice)
    return settings
