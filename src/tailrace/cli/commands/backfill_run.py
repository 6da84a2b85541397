"""``tailrace backfill [run] DAG_ID``: reads the options, hands the command over, shows what came of it.

Nothing here may import SQLAlchemy, directly or not: the zygote is forked first.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from msgspec.structs import replace

from tailrace.cli.command_line import command_line
from tailrace.cli.completing import complete_pools
from tailrace.cli.console import counted, current_console, plural
from tailrace.cli.lazy import Command
from tailrace.cli.options import WholeNumber, dag_argument, dags_option, output_option, part_options, settings_with
from tailrace.cli.preview import preview_text
from tailrace.cli.progress import choose_listener
from tailrace.cli.remedies import command_of, text_of
from tailrace.cli.summary import summary
from tailrace.errors import CommandError
from tailrace.planning.backfills import Reprocess
from tailrace.runtime.settings import EXECUTORS, ISOLATIONS, Settings
from tailrace.service.backfill_report import BackfillCommand, ended, previewed
from tailrace.service.confs import canonical_conf
from tailrace.service.dagfiles import bundled_file, require_dags
from tailrace.service.launch import detach_backfill, preview_backfill, run_backfill

F = TypeVar("F", bound=Callable[..., Any])
_SETTINGS_OPTIONS = ("dags", "workers", "executor", "isolation", "fail_on_task_failure")

_RANGE = (
    click.option("-s", "--start", metavar="DATE", help="First logical date, ISO 8601, inclusive."),
    click.option("-e", "--end", metavar="DATE", help="Last logical date, inclusive; a date alone is the whole day."),
    dags_option,
    click.option(
        "--reprocess",
        type=click.Choice([str(each) for each in Reprocess]),
        default="missing",
        show_default=True,
        help="What runs again: only what has no outcome, that and failures, or everything.",
    ),
    part_options,
    click.option("--new", is_flag=True, help="Another backfill, even if the same one is unfinished."),
)
_LIMITS = (
    click.option("--max-active-runs", type=WholeNumber(1), metavar="N", help="Lower the DAG's own limit to N."),
    click.option("-w", "--workers", type=WholeNumber(1), metavar="N", help="How many worker processes."),
    click.option(
        "--executor",
        type=click.Choice(EXECUTORS),
        help="Where tasks run; sequential: local with -w 1.  [default: local]",
    ),
    click.option(
        "--isolation",
        type=click.Choice(ISOLATIONS),
        help="A process per try (fork, spawn), or one per worker: fast, without isolation.  [default: fork]",
    ),
    click.option(
        "--pool", metavar="NAME", shell_complete=complete_pools, help="Use this pool in place of every task's own."
    ),
)
_CHOICES = (
    click.option("--backwards", is_flag=True, help="Newest date first."),
    click.option("--stop-on-failure", is_flag=True, help="Start no further run once one has failed."),
    click.option(
        "--fail-on-task-failure/--no-fail-on-task-failure",
        default=None,
        help="Exit with 1 also if a task failed inside a run that succeeded.",
    ),
    click.option("--disable-retry", is_flag=True, help="A failed try is final."),
    click.option("--mark-success", is_flag=True, help="Record success without running anything."),
    click.option(
        "--ignore-first-depends-on-past", is_flag=True, help="The first date does not look at the run before it."
    ),
    click.option(
        "--conf",
        metavar="JSON",
        help="A JSON object for every run, `{{dag_run.conf}}` in templates. Runs that exist keep theirs without it.",
    ),
    click.option("-n", "--dry-run", is_flag=True, help="Say what would be done about each date; write nothing."),
    click.option(
        "--detach", "detached", is_flag=True, help="Only create it; a scheduler (`tailrace scheduler`) drives it."
    ),
    output_option,
)


def _all_options(command: F) -> F:
    for option in reversed((*_RANGE, *_LIMITS, *_CHOICES)):
        command = option(command)
    return command


@click.command(
    cls=Command,
    epilog="""\b
Exit codes:
  0         every run succeeded, judged by its last tasks alone (unless
            --fail-on-task-failure asks for more), or nothing was to do
  1         some run failed
  2         the command is wrong
  3         deadlocked
  4         the environment is broken
  5         cancelled
  6         paused
  70        a bug in Tailrace
  130, 143  interrupted; the same command continues""",
)
@dag_argument
@_all_options
def run(dag_id: str, dry_run: bool, output: str, **typed: Any) -> int:
    """Create the backfill of a DAG over a range of dates, or continue it, here, with live progress.

    Dates are logical dates; naive ones are in the DAG's time zone; one alone means that one date. The same
    command typed again continues its unfinished backfill.
    """
    settings_options = {name: typed.pop(name) for name in _SETTINGS_OPTIONS}
    settings = settings_with(**settings_options)
    bundled = bundled_file(dag_id, settings)
    if bundled is None:
        require_dags(dag_id, settings)
    else:
        settings = settings_with(**{**settings_options, "dags": bundled})
    command = BackfillCommand(
        dag_id=dag_id,
        **{**typed, "reprocess": Reprocess(typed["reprocess"]), "conf": canonical_conf(typed["conf"])},
        bundled=bundled is not None,
    )
    command = replace(command, typed=command_line(command, settings_options))
    if command.detached and command.bundled:
        raise CommandError(
            f"{dag_id} is a bundled example, which no scheduler loads; leave out --detach to run it here"
        )
    if dry_run:
        return show_preview(command, settings, output)
    if command.detached:
        if settings_options["fail_on_task_failure"]:
            current_console().notice(
                "nothing has run yet: --fail-on-task-failure counts where this is driven to its end"
            )
        return detach(command, settings, output)
    return carry_out(command, settings, settings_options, output)


def carry_out(command: BackfillCommand, settings: Settings, settings_options: Mapping[str, object], output: str) -> int:
    """Run the backfill here with progress on stderr; its summary or JSON goes to stdout. Returns the exit
    code.
    """
    console = current_console()
    listener = choose_listener(console)
    try:
        report = run_backfill(command, settings, listener)
    finally:
        listener.close()
    for notice in report.notices:
        if notice not in listener.shown_notices:
            console.notice(text_of(notice))
    if output == "json":
        console.print_json(ended(report, command_of))
        return report.exit_code
    if not console.quiet or report.exit_code:
        console.print(summary(report, command, settings_options))
    return report.exit_code


def detach(command: BackfillCommand, settings: Settings, output: str) -> int:
    """Create the backfill for schedulers to drive, and say its id: nothing else when asked to be quiet."""
    console = current_console()
    report = detach_backfill(command, settings, console.notice)
    for notice in report.notices:
        console.notice(text_of(notice))
    if output == "json":
        console.print_json(ended(report, command_of))
    elif console.quiet:
        console.print(str(report.backfill_id))
    elif report.done_already:
        console.print(summary(report, command, {}))
    else:
        runs = plural(sum(report.runs.values()), "run")
        console.tell(
            f"backfill {report.backfill_id} of {report.dag_id}: {report.state}, {runs} ({counted(report.runs)}); "
            f"schedulers drive it, `tailrace backfill show {report.backfill_id}` says how it stands, "
            f"and this drives it here too:\n  {command.typed}"
        )
    return report.exit_code


def show_preview(command: BackfillCommand, settings: Settings, output: str) -> int:
    """Say what the command would do about each date. Writes nothing."""
    console = current_console()
    preview = preview_backfill(command, settings, current_console().notice)
    if preview.creation.refusals:
        raise CommandError("; ".join(map(text_of, preview.creation.refusals)))
    if output == "json":
        console.print_json(previewed(preview, command_of))
    else:
        # Not a part of ``typed``, which is recorded as what drives the backfill.
        console.print(preview_text(preview, command.typed + (" --detach" if command.detached else "")))
    return 0
