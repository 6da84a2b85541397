"""Shows what a command of a person changes, asks before it does, and tells what it did: the same for all of them."""

import sys
from collections.abc import Callable
from datetime import datetime, tzinfo
from typing import Any, TypeVar

import click
from msgspec import Struct

from tailrace.cli.options import output_option, settings_with
from tailrace.cli.speaking import current_speaker, plural
from tailrace.cli.stored import existing, require_known
from tailrace.cli.tables import Column, show_table
from tailrace.cli.views import find_run
from tailrace.errors import CommandError
from tailrace.metastore.store import Metastore
from tailrace.planning.commands import CommandFacts, CommandPlan, CommandScope
from tailrace.runtime.commanding import carry_out, decide
from tailrace.runtime.dates import parse_moment
from tailrace.timetable import zone_named

F = TypeVar("F", bound=Callable[..., Any])

_MOST_SHOWN = 40
_COLUMNS = (
    Column("run"),
    Column("task"),
    Column("is", state=True),
    Column("becomes", state=True),
    Column("note"),
)


class Manner(Struct, frozen=True):
    """How a command was typed: whether to write, to ask first, and what to answer in."""

    dry_run: bool
    yes: bool
    output: str


def manner_options(command: F) -> F:
    """-n, -y and -o, as ``dry_run``, ``yes`` and ``output``."""
    dry = click.option("-n", "--dry-run", is_flag=True, help="Say what would change; write nothing.")
    sure = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
    return dry(sure(output_option(command)))


def range_options(command: F) -> F:
    """-s and -e, as ``start`` and ``end``."""
    start = click.option("-s", "--start", metavar="DATE", help="Every run from this logical date on.")
    end = click.option("-e", "--end", metavar="DATE", help="Every run up to this logical date, its whole day included.")
    return start(end(command))


def scope_of(
    metastore: Metastore, dag_id: str, runs: tuple[str, ...], start: str | None, end: str | None
) -> CommandScope:
    """The runs that were typed: ids, logical dates, days, or a range. Raises CommandError."""
    require_known(metastore, dag_id)
    if not runs and start is None and end is None:
        raise CommandError("no runs given: name them (run ids or logical dates), or say -s START, -e END or both")
    dag = metastore.stored_dag(dag_id)
    zone = zone_named("UTC" if dag is None else dag.schedule.timezone)
    first, last = _bound(start, zone), _bound(end, zone)
    if first is not None and last is not None and first[0] > last[1]:
        raise CommandError(f"the range ends before it begins: start {start} is after end {end}")
    return CommandScope(
        dag_id,
        tuple(dict.fromkeys(find_run(metastore, dag_id, run).run_id for run in runs)),
        None if first is None else first[0],
        None if last is None else last[1],
    )


def _bound(text: str | None, zone: tzinfo) -> tuple[datetime, datetime] | None:
    if text is None:
        return None
    moment = parse_moment(text, zone)
    return moment.earliest, moment.latest


def change_runs(
    dag_id: str,
    runs: tuple[str, ...],
    start: str | None,
    end: str | None,
    planned: Callable[[CommandFacts], CommandPlan],
    manner: Manner,
) -> int:
    """Do a command over these runs of a DAG; answers the exit code."""
    return change(lambda metastore: scope_of(metastore, dag_id, runs, start, end), planned, manner, about=dag_id)


def change(
    scoped: Callable[[Metastore], CommandScope],
    planned: Callable[[CommandFacts], CommandPlan],
    manner: Manner,
    *,
    about: str,
    asks: bool = True,
) -> int:
    """Show what the command changes, ask if it may, do it, tell what it did. Answers the exit code."""
    with existing(settings_with()) as metastore:
        if metastore is None:
            raise CommandError(f"nothing has run here yet, so there is nothing of {about} to change")
        scope = scoped(metastore)
        plan = decide(metastore, scope, planned)
        if plan.writes and not manner.dry_run:
            if asks and not _sure(plan, manner):
                current_speaker().note("nothing was changed")
                return 0
            plan = carry_out(metastore, scope, planned)
    _answer(plan, manner)
    return 0


def _sure(plan: CommandPlan, manner: Manner) -> bool:
    """Whether the person wants it. Raises CommandError when nobody is there to be asked."""
    if manner.yes:
        return True
    if manner.output == "json" or not sys.stdin.isatty():
        raise CommandError(
            f"this would {_summary(plan)}; repeat it with -y to do it, or with -n to see what it changes"
        )
    show_table(_COLUMNS, _rows(plan), empty="")
    words = _summary(plan)
    return click.confirm(f"{words[:1].upper()}{words[1:]}?", err=True)


def _answer(plan: CommandPlan, manner: Manner) -> None:
    speaker = current_speaker()
    if manner.output == "json":
        speaker.answer_json(_json(plan, manner))
        return
    if plan.writes:
        rows = _rows(plan)
        if manner.dry_run or manner.yes or not rows:
            show_table(_COLUMNS, rows, empty="")
        speaker.note(f"would {_summary(plan)}" if manner.dry_run else f"done: {_summary(plan)}")
    for notice in plan.notices:
        speaker.note(notice)


def _summary(plan: CommandPlan) -> str:
    parts = []
    if plan.backfill is not None:
        parts.append(f"{plan.kind} backfill {plan.backfill.id}")
    instances = len(plan.task_instances) + len(plan.created)
    stops = sum(step.takes_back for step in plan.task_instances)
    if instances:
        verb = "take back" if plan.backfill is not None else str(plan.kind)
        stopping = f" ({plural(stops, 'running try', 'running tries')} stopped)" if stops else ""
        parts.append(f"{verb} {plural(instances, 'task instance')}{stopping}")
    for state in dict.fromkeys(change.after for change in plan.runs if change.after is not change.before):
        count = sum(change.after is state and change.before is not state for change in plan.runs)
        runs = plural(count, "run")
        parts.append(f"open {runs} again" if state == "queued" else f"set {runs} to {state}")
    return ", ".join(parts) or f"{plan.kind} nothing"


def _rows(plan: CommandPlan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (
            step.key.run_id,
            step.key.task_id,
            str(step.before),
            str(step.after),
            f"ends {step.stopping_to}" if step.stopping_to is not None else "",
        )
        for step in plan.task_instances
    ]
    rows += [(new.key.run_id, new.key.task_id, "-", str(new.state), "") for new in plan.created]
    rows += [
        (change.run_id, "", str(change.before), str(change.after), "the run")
        for change in plan.runs
        if change.after is not change.before
    ]
    if len(rows) > _MOST_SHOWN:
        current_speaker().note(f"the first {_MOST_SHOWN} of {len(rows):,} changes; -o json lists all")
    return rows[:_MOST_SHOWN]


def _json(plan: CommandPlan, manner: Manner) -> dict[str, object]:
    task_instances: list[dict[str, object]] = [
        {
            "run_id": step.key.run_id,
            "task_id": step.key.task_id,
            "map_index": step.key.map_index,
            "before": step.before,
            "after": step.after,
            "stopping_to": step.stopping_to,
        }
        for step in plan.task_instances
    ]
    task_instances += [
        {
            "run_id": new.key.run_id,
            "task_id": new.key.task_id,
            "map_index": new.key.map_index,
            "before": None,
            "after": new.state,
            "stopping_to": None,
        }
        for new in plan.created
    ]
    return {
        "schema": 1,
        "command": plan.kind,
        "dag_id": plan.dag_id,
        "backfill_id": None if plan.backfill is None else plan.backfill.id,
        "changed": plan.writes and not manner.dry_run,
        "task_instances": task_instances,
        "runs": [
            {"run_id": change.run_id, "before": change.before, "after": change.after}
            for change in plan.runs
            if change.after is not change.before
        ],
        "notices": list(plan.notices),
    }
