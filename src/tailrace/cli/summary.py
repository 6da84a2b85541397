"""How a backfill ended, for a person: the root failure first, its log, and what repairs it."""

import sys
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tailrace.cli.command_line import command_line, shell_line
from tailrace.cli.console import bullet_lines, counted, duration, plural, state_styled, styled
from tailrace.cli.remedies import text_of
from tailrace.model.keys import UNMAPPED, TaskInstanceKey
from tailrace.planning.backfills import Reprocess
from tailrace.planning.plan import Blocker, Dependency
from tailrace.service.backfill_report import BackfillCommand, BackfillEnding, BackfillReport, RootFailure

LOG_LINES = 10
_MOST_BLOCKED = 5
_BAD = (BackfillEnding.FAILED, BackfillEnding.DEADLOCKED)


def summary(report: BackfillReport, command: BackfillCommand, settings_options: Mapping[str, object]) -> str:
    """The last lines of ``tailrace backfill``."""
    lines = []
    if report.state in _BAD and report.root_failure is not None:
        lines += _root(report.root_failure)
    lines.append(_head(report))
    if report.blocked:
        lines += _blocked(report.blocked)
    if report.left_failed:
        lines.append(f"{plural(report.left_failed, 'run')} had failed before and stayed so")
    lines += _inside(report)
    lines += _next(report, command, settings_options)
    return "\n".join(lines)


def _head(report: BackfillReport) -> str:
    runs = sum(report.runs.values())
    name = styled(f"backfill {report.backfill_id} of {report.dag_id}", sys.stdout, bold=True)
    ended = f"{name}: {state_styled(str(report.state), sys.stdout)}"
    if report.state is BackfillEnding.SUCCESS and report.failed_inside:
        ended += f", {report.failed_inside.counted}"
    if not runs:
        return f"{ended}, nothing to do"
    return (
        f"{ended} in {duration(report.seconds)}: {plural(runs, 'run')} ({counted(report.runs)}), "
        f"task instances: {counted(report.task_instances)}"
    )


def _root(root: RootFailure) -> list[str]:
    key = root.task_instance
    lines = [styled(f"{key.place} of {key.run_id} {root.state}: {root.reason}", sys.stdout, fg="red")]
    tail = log_tail(Path(root.log)) if root.log else []
    if tail:
        lines += [f"last lines of its log, {root.log}:", bullet_lines(tail, "  | ")]
    return lines


def _blocked(blocked: tuple[Blocker, ...]) -> list[str]:
    lines = [f"{plural(len(blocked), 'task instance')} can never run:"]
    for blocker in sorted(blocked, key=_only_follows)[:_MOST_BLOCKED]:
        key = blocker.key
        reasons = "; ".join(f"{why.dependency}: {text_of(why.reason)}" for why in blocker.reasons)
        lines.append(f"  {key.place} of {key.run_id}: {reasons}")
    if len(blocked) > _MOST_BLOCKED:
        lines.append(f"  and {len(blocked) - _MOST_BLOCKED:,} more: -o json lists them all")
    return lines


def _inside(report: BackfillReport) -> list[str]:
    """What failed in runs that succeeded all the same, and why that is, or is not, a failure."""
    if not report.failed_inside:
        return []
    if report.state is not BackfillEnding.SUCCESS:
        return [f"in runs that succeeded, {report.failed_inside.named}"]
    lines = [f"{report.failed_inside.names} (a run is judged by its last tasks)"]
    if report.exit_code:
        lines.append(f"exit code {report.exit_code} for that, as fail_on_task_failure asks")
    return lines


def _only_follows(blocker: Blocker) -> bool:
    """Whether it is blocked by those above it in its own run alone: the others show more."""
    return all(why.dependency is Dependency.TRIGGER_RULE for why in blocker.reasons)


def _next(report: BackfillReport, command: BackfillCommand, options: Mapping[str, object]) -> list[str]:
    """What to type now, for every ending that leaves something to do."""
    again = command_line(command, options)
    match report.state:
        case BackfillEnding.FAILED | BackfillEnding.DEADLOCKED:
            return _repair(report, command, options)
        case BackfillEnding.INTERRUPTED:
            return ["what is finished is kept; the same command continues it:", f"  {again}"]
        case BackfillEnding.PAUSED:
            resume = f"tailrace backfill resume {report.backfill_id}"
            return [f"the backfill is paused; after `{resume}` the same command continues it:", f"  {again}"]
        case BackfillEnding.RUNNING | BackfillEnding.QUEUED:
            return ["it is not finished; the same command goes on with it:", f"  {again}"]
        case BackfillEnding.SUCCESS if report.failed_inside:
            return ["to run them again:", f"  {command_line(command, options, reprocess=Reprocess.FAILED)}"]
        case BackfillEnding.CANCELLED:
            return ["a person cancelled it; the same command does what was left:", f"  {again}"]
        case _:
            return []


def _repair(report: BackfillReport, command: BackfillCommand, options: Mapping[str, object]) -> list[str]:
    root = report.root_failure
    lines = []
    pool = _pool_too_small(report.blocked)
    if pool:
        lines.append(f"{pool}; make it larger with `tailrace pools set`, then:")
    else:
        lines.append("fix the cause, then run what failed again:")
    start = None
    if root is not None:
        key = root.task_instance
        if root.log:
            index = () if key.map_index == UNMAPPED else ("--map-index", str(key.map_index))
            words = ("tailrace", "tasks", "logs", key.dag_id, key.task_id, key.run_id, *index)
            lines.insert(0, f"whole log: {shell_line(*words)}")
        start = _earlier_start(key, command)
    lines.append(f"  {command_line(command, options, reprocess=Reprocess.FAILED, start=start)}")
    return lines


def _earlier_start(key: TaskInstanceKey, command: BackfillCommand) -> str | None:
    _, _, date = key.run_id.partition("__")
    try:
        failed = datetime.fromisoformat(date)
        first = datetime.fromisoformat(command.start or command.end or "")
    except ValueError:
        return None
    if first.tzinfo is None:  # naive text is in the DAG's zone, less than a day from UTC
        first = first.replace(tzinfo=failed.tzinfo)
    return date if (first - failed).total_seconds() >= 86400 else None


def _pool_too_small(blocked: tuple[Blocker, ...]) -> str | None:
    for blocker in blocked:
        for why in blocker.reasons:
            if why.dependency is Dependency.POOL_SLOTS:
                return text_of(why.reason)
    return None


def log_tail(path: Path, lines: int = LOG_LINES) -> list[str]:
    """The last lines of a log file, from its last 64 KiB at most; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 65_536))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return list(deque(text.splitlines(), maxlen=lines))
