"""``tailrace tasks test``: runs a task at this terminal. It needs only the DAG files."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from tailrace.cli.console import current_console
from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, dags_option, settings_with
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.errors import CommandError
from tailrace.execution.task_test import run_task_once
from tailrace.model.keys import RunType, TaskInstanceKey, TryKey, run_id_for
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.plain_text import visible_line
from tailrace.model.spec import DagSpec
from tailrace.model.suggestions import did_you_mean
from tailrace.planning.triggering import interval_for
from tailrace.service.dagfiles import load_one
from tailrace.service.dates import bound_text, parse_bound
from tailrace.timetable import intervals_between, zone_named

_FAILED = 1
_WELL = (OutcomeKind.SUCCESS, OutcomeKind.SKIPPED)


@click.command(cls=Command)
@dag_argument
@click.argument("task_id")
@click.argument("run")
@dags_option
def test(dag_id: str, task_id: str, run: str, dags: Path | None) -> int:
    """Run one task for RUN, a logical date or a run id, here and now, and write no state.

    Its dependencies are not looked at, its output goes to this terminal, XCom pulls find nothing. Its
    execution_timeout counts, and no process of it stays behind. Exits with 1 if it fails.
    """
    settings = settings_with(dags=dags)
    spec, path = load_one(dag_id, settings, current_console().notice)
    if task_id not in spec.by_id:
        guess = did_you_mean(task_id, spec.by_id) or f"; `tailrace tasks list {dag_id}` lists them"
        raise CommandError(f"no task {task_id!r} in DAG {dag_id}{guess}")
    claim = test_claim(spec, task_id, run, datetime.now(UTC))
    timeout = spec.by_id[task_id].execution_timeout
    outcome = run_task_once(path, spec.file, claim, settings.home, timeout, settings.grace_seconds)
    _report(claim, outcome)
    return 0 if outcome.kind in _WELL else _FAILED


def test_claim(dag: DagSpec, task_id: str, run: str, now: datetime) -> Claim:
    """A claim nobody holds: what the task of that run would be given, without any metastore.

    A date alone means that day's first schedule point; a moment that is no point has the interval it would be
    triggered with.
    """
    _, _, dated = run.rpartition("__")
    day = parse_bound(dated, zone_named(dag.schedule.timezone))
    points = intervals_between(dag.schedule, dag.start_date, day.earliest, day.latest)
    date = points[0].start if points else day.earliest
    run_type, run_id = RunType.MANUAL, run if "__" in run else run_id_for(RunType.MANUAL, date)
    key = TryKey(TaskInstanceKey(dag.dag_id, run_id, task_id), 1)
    return Claim(
        id=0,
        key=key,
        token=0,
        max_tries=1,
        lost_tries=0,
        logical_date=date,
        data_interval=interval_for(dag, date),
        run_type=str(run_type),
        run_conf={},
        disable_retry=True,
        mark_success=False,
        started_at=now,
    )


def _report(claim: Claim, outcome: TryOutcome) -> None:
    console = current_console()
    when = bound_text(claim.logical_date, ZoneInfo("UTC"))
    summary = f"{claim.task_instance.task_id} @ {when}: {outcome.kind.text}"
    if outcome.error:
        summary += f": {outcome.error}"
    console.note(f"{summary} (nothing was recorded)")
    for key, value in outcome.xcoms.items():
        console.note(visible_line(f"would push {key} = {value!r}"))
