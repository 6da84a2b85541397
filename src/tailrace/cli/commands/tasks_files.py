"""``tailrace tasks test|render``: a task run at this terminal, or its templates alone; no state is written."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.cli.options import (
    dag_argument,
    dags_option,
    map_index_option,
    output_option,
    run_argument,
    settings_with,
    task_argument,
)
from tailrace.cli.remedies import text_of
from tailrace.cli.shell_line import shell_line
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.errors import CommandError
from tailrace.execution.tries.task_test import TaskTest, run_task_once
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.plain_text import visible_line
from tailrace.model.suggestions import did_you_mean
from tailrace.model.tagged_values import readable
from tailrace.service.dagfiles import load_one
from tailrace.service.dates import bound_text
from tailrace.service.encoding import json_of
from tailrace.service.trying import Trial

_FAILED = 1
_SUCCESSFUL = (OutcomeKind.SUCCESS, OutcomeKind.SKIPPED, OutcomeKind.RESCHEDULED)


@click.command(cls=Command)
@dag_argument
@task_argument
@run_argument
@map_index_option
@dags_option
def test(dag_id: str, task_id: str, run: str, map_index: int | None, dags: Path | None) -> int:
    """Run one task for RUN, a logical date or a run id, here and now, and write no state.

    Its dependencies are not looked at, its output goes to this terminal. XCom pulls find what the run has recorded, and
    what they do not find is said. Its execution_timeout counts, and no process of it stays behind. Exits with 1 if it
    fails.
    """
    claim, outcome = _tried(dag_id, task_id, run, map_index, dags)
    console = current_console()
    console.note(f"{_ended(claim, outcome)} (nothing was recorded)")
    for key, value in outcome.xcoms.items():
        console.note(visible_line(f"would push {key} = {readable(value)!r}"))
    return 0 if outcome.kind in _SUCCESSFUL else _FAILED


@click.command(cls=Command)
@dag_argument
@task_argument
@run_argument
@map_index_option
@dags_option
@output_option
def render(dag_id: str, task_id: str, run: str, map_index: int | None, dags: Path | None, output: str) -> int:
    """Show a task's templates as they are for RUN, a run id or a logical date. Nothing is run.

    Its DAG file is loaded; conf and XComs are those of the run, where there is one.
    """
    claim, outcome = _tried(dag_id, task_id, run, map_index, dags, only_render=True)
    console = current_console()
    if outcome.kind not in _SUCCESSFUL:
        console.error(_ended(claim, outcome))
        return _FAILED
    if output == "json":
        console.print_json(outcome.xcoms)
    else:
        console.print(_fields_text(outcome.xcoms) or f"{task_id} has no templated fields")
    return 0


def _tried(
    dag_id: str, task_id: str, run: str, map_index: int | None, dags: Path | None, *, only_render: bool = False
) -> tuple[Claim, TryOutcome]:
    settings, console = settings_with(dags=dags), current_console()
    spec, path = load_one(dag_id, settings, console.notice)
    if task_id not in spec.by_id:
        guess = did_you_mean(task_id, spec.by_id) or f"; `{shell_line('tailrace', 'tasks', 'list', dag_id)}` lists them"
        raise CommandError(f"no task {task_id!r} in DAG {dag_id}{guess}")
    trial = Trial(settings, spec, task_id, run, map_index, datetime.now(UTC))
    for notice in trial.notices:
        console.notice(notice)
    test = TaskTest(
        path,
        spec.file,
        trial.claim,
        settings.home,
        trial.read,
        trial.close,
        spec.by_id[task_id].execution_timeout,
        settings.grace_seconds,
        only_render,
    )
    told = len(trial.notices)
    outcome = run_task_once(test)
    for notice in trial.notices[told:]:
        console.notice(notice)
    if trial.missing is not None:
        console.notice(text_of(trial.missing))
    return trial.claim, outcome


def _ended(claim: Claim, outcome: TryOutcome) -> str:
    when = bound_text(claim.logical_date, ZoneInfo("UTC"))
    summary = f"{claim.task_instance.task_id} @ {when}: {outcome.kind.text}"
    return f"{summary}: {outcome.error}" if outcome.error else summary


def _fields_text(fields: Mapping[str, object]) -> str:
    """Each field that is set, and below it what it says."""
    shown = [(name, value if isinstance(value, str) else json_of(value, indent=2)) for name, value in fields.items()]
    return "\n".join(f"# {name}\n{text}" for name, text in shown if fields[name] is not None)
