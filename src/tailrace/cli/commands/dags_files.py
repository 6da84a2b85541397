"""``tailrace dags list|show|check``: what is in the DAG files, or was when they were loaded."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from tailrace import __version__
from tailrace.cli.annotations import github_annotations, sarif
from tailrace.cli.console import current_console, plural
from tailrace.cli.lazy import Command
from tailrace.cli.options import dag_argument, dags_option, output_option, output_or, settings_with
from tailrace.cli.persons import pause_text
from tailrace.cli.tables import Column, show_table
from tailrace.cli.tree import task_tree
from tailrace.execution.messages.loading_process import LoadReport
from tailrace.graphs.mermaid import mermaid
from tailrace.graphs.svg import svg
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.runtime.settings import Settings
from tailrace.service.dag_views import DagListed, dag_details, dag_listed
from tailrace.service.dagfiles import load
from tailrace.service.known_dags import ShownDags, list_dags, show_dag

_MISTAKEN = 2
_GRAPHS = {"mermaid": mermaid, "svg": svg}
_COLUMNS = (
    Column("dag_id"),
    Column("schedule"),
    Column("paused"),
    Column("next run"),
    Column("tasks", number=True),
    Column("file"),
)


@click.command("list", cls=Command)
@dags_option
@output_option
def list_(dags: Path | None, output: str) -> int:
    """List the DAGs in the DAG files: schedule, whether paused, and when the next run is created (UTC).

    Files with mistakes are named on stderr; the others still count. A DAG that was loaded once and is in no file any
    more is listed with the file that had it.
    """
    settings, console = settings_with(dags=dags), current_console()
    shown = list_dags(settings, console.notice)
    if shown is None:
        _note_none(settings)
    now = datetime.now(UTC)
    if output == "json":
        console.print_json([_listed(shown, spec, settings, now) for spec in shown.specs] if shown else [])
    else:
        rows = [_row(shown, spec, settings, now) for spec in shown.specs] if shown else []
        show_table(_COLUMNS, rows, empty="no DAGs")
    for notice in () if shown is None else shown.notices:
        console.notice(notice)
    return 0


@click.command(cls=Command)
@dag_argument
@click.option("--fold", is_flag=True, help="Draw each task group as one line, without what is in it.")
@dags_option
@output_or(mermaid="a flowchart for Markdown", svg="a picture, to be redirected to a file")
def show(dag_id: str, fold: bool, dags: Path | None, output: str) -> None:
    """Draw one DAG's tasks as a tree, each below what it waits for, and those of a task group together.

    A text in parentheses is the label on the way. With -o mermaid and -o svg it is drawn as a graph.
    """
    settings, console = settings_with(dags=dags), current_console()
    shown = _shown(dag_id, settings)
    (spec,), pause = shown.specs, shown.pauses.get(dag_id)
    facts = shown.schedule_of(spec, settings)
    if output == "json":
        console.print_json(dag_details(spec, facts, pause))
        return
    if output in _GRAPHS:
        if fold:
            raise click.UsageError(f"--fold is for the tree: leave it out with -o {output}")
        console.print_bytes(f"{_GRAPHS[output](spec)}\n".encode())
        return
    grouped = f" in {plural(len(spec.groups), 'task group')}" if spec.groups else ""
    console.print(f"{spec.dag_id}  {schedule_text(spec.schedule)}, {plural(len(spec.tasks), 'task')}{grouped}")
    if spec.description:
        console.tell(spec.description)
    if said := pause_text(facts.paused, pause, facts.reason) or (pause.text if pause else ""):
        console.tell(said)
    for line in task_tree(spec, folded=fold):
        console.print(line)


@click.command(cls=Command)
@dags_option
@output_or(github="annotations for a workflow of GitHub's", sarif="a log for tools that show findings in code")
def check(dags: Path | None, output: str) -> int:
    """Load every DAG file and report every mistake with file and line, and what has no effect.

    Exits with 2 if there is any mistake; notes are none.
    """
    loaded = _load(dags, checks_secrets=True)
    mistakes, notes = ((), ()) if loaded is None else (loaded.mistakes, loaded.notes)
    found = [] if loaded is None else sorted(loaded.specs)
    console = current_console()
    if output == "json":
        console.print_json(
            {
                "dags": found,
                "mistakes": [
                    {"file": each.file, "line": each.line, "dag_id": each.dag_id, "message": each.message}
                    for each in mistakes
                ],
                "notes": [
                    {"file": each.file, "line": each.line, "dag_id": each.dag_id, "message": each.message}
                    for each in notes
                ],
            }
        )
    elif output == "sarif":
        console.print_json(sarif(mistakes, notes, __version__))
    elif output == "github":
        for line in github_annotations(mistakes, notes):
            console.print(line)
    else:
        for mistake in mistakes:
            console.tell(str(mistake))
        for note in notes:
            console.tell(str(note))
        for notice in () if loaded is None else loaded.notices:
            console.notice(notice)
        ended = plural(len(mistakes), "mistake") if mistakes else "no mistakes"
        ended += f", {plural(len(notes), 'note')}" if notes else ""
        console.note(f"{plural(len(found), 'DAG')} loaded, {ended}")
    return _MISTAKEN if mistakes else 0


def _load(dags: Path | None, *, checks_secrets: bool = False) -> LoadReport | None:
    """The DAG files; where there is no default folder, that is reported with what to do."""
    settings = settings_with(dags=dags)
    loaded = load(settings, current_console().notice, checks_secrets=checks_secrets)
    if loaded is None:
        _note_none(settings)
    return loaded


def _note_none(settings: Settings) -> None:
    current_console().note(f"no DAG files: {settings.dags} does not exist; `tailrace init` writes a first one")


def shown_dag(dag_id: str, dags: Path | None) -> DagSpec:
    """One DAG, as it was loaded or as its file has it now; which of the two, where that makes a difference, is
    reported.
    """
    return _shown(dag_id, settings_with(dags=dags)).specs[0]


def _shown(dag_id: str, settings: Settings) -> ShownDags:
    console = current_console()
    shown = show_dag(dag_id, settings, console.notice)
    for notice in shown.notices:
        console.notice(notice)
    return shown


def schedule_text(schedule: Schedule) -> str:
    """A schedule as a person reads it."""
    match schedule.kind:
        case ScheduleKind.NONE:
            return "no schedule"
        case ScheduleKind.ONCE:
            return "once"
        case ScheduleKind.INTERVAL:
            return f"every {timedelta(seconds=float(schedule.expression))}"
        case ScheduleKind.CRON:
            zone = "" if schedule.timezone == "UTC" else f" {schedule.timezone}"
            return f"{schedule.expression}{zone}"


def _listed(shown: ShownDags, spec: DagSpec, settings: Settings, now: datetime) -> DagListed:
    facts, pause = shown.schedule_of(spec, settings), shown.pauses.get(spec.dag_id)
    return dag_listed(spec, facts, pause, now, missing=spec.dag_id in shown.missing)


def _row(shown: ShownDags, spec: DagSpec, settings: Settings, now: datetime) -> tuple[str, ...]:
    line = _listed(shown, spec, settings, now)
    paused = pause_text(line.paused, line.last_pause, line.paused_reason or "")
    run = line.next_run
    due = "" if run is None else "now" if run.at <= now else f"{run.at.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    file = f"{spec.file} (no longer in it)" if line.missing else spec.file
    return (spec.dag_id, schedule_text(spec.schedule), paused, due, str(line.task_count), file)
