"""How a backfill ended, for a person: the root failure first, its log, and what repairs it."""

import sys
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from tailrace.cli.command_line import command_words
from tailrace.cli.console import counted, plural, state_styled, styled
from tailrace.cli.failure_lines import log_words, with_error
from tailrace.cli.fitting import columns_of, command_lines, cut, wrapped
from tailrace.cli.remedies import text_of
from tailrace.model.durations import duration
from tailrace.model.plain_text import without_colours
from tailrace.model.states import TaskInstanceState
from tailrace.planning.backfills import Reprocess
from tailrace.planning.failure_groups import Failed
from tailrace.planning.plan import Blocker, Dependency
from tailrace.service.backfill_report import BackfillCommand, BackfillEnding, BackfillReport, RootFailure

LOG_LINES = 10
_MOST_BLOCKED = 5
_MOST_GROUPS = 50
#: So many task instances are listed unless more are asked for.
_MOST_LISTED = 100
_FAILED = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)
_BAD = (BackfillEnding.FAILED, BackfillEnding.DEADLOCKED)


def summary(report: BackfillReport, command: BackfillCommand, settings_options: Mapping[str, object]) -> str:
    """The last lines of ``tailrace backfill``; none is longer than the terminal."""
    columns = columns_of(sys.stdout)
    lines = []
    if report.state in _BAD and report.root_failure is not None:
        lines += _root(report.root_failure, columns)
    lines += _head(report, columns)
    lines += _inside(report, columns)
    lines += _failures(report, command, settings_options, columns)
    if report.blocked:
        lines += _blocked(report.blocked, columns)
    if report.left_failed:
        lines += wrapped(f"{plural(report.left_failed, 'run')} had failed before and stayed so", columns)
    lines += _next(report, command, settings_options, columns)
    return "\n".join(lines)


def _head(report: BackfillReport, columns: int) -> list[str]:
    runs = sum(report.runs.values())
    name, state = f"backfill {report.backfill_id} of {report.dag_id}", str(report.state)
    ended = f"{name}: {state}"
    if report.state is BackfillEnding.SUCCESS and report.failed_inside:
        ended += f", {report.failed_inside.counted}"
    if runs:
        ended += ", done already" if report.done_already else f" in {duration(report.seconds)}"
        ended += f": {plural(runs, 'run')} ({counted(report.runs)}), "
        ended += f"task instances: {counted(report.task_instances)}"
        ended += "; nothing was written" if report.done_already else ""
    else:
        ended += ", nothing to do"
    first, *more = wrapped(ended, columns)
    first = first.replace(f": {state}", f": {state_styled(state, sys.stdout)}", 1)
    return [first.replace(name, styled(name, sys.stdout, bold=True), 1), *more]


def _root(root: RootFailure, columns: int) -> list[str]:
    key = root.task_instance
    where = "" if root.is_own else "before this range: "
    state = root.state if root.state in _FAILED else "did not succeed"
    said = with_error(f"{where}{key.place} of {key.run_id} {state}", ": ", root.reason, columns)
    lines = [styled(line, sys.stdout, fg="red") for line in said]
    tail = log_tail(Path(root.log)) if root.log else []
    if tail:
        lines += wrapped(f"last lines of its log, {root.log}:", columns)
        lines += [cut(f"  | {line}", columns) for line in tail]
    return lines


def _failures(
    report: BackfillReport, command: BackfillCommand, options: Mapping[str, object], columns: int
) -> list[str]:
    """All that failed, by task and error, the greatest group first, and the command that lists it."""
    if not report.failures:
        return []
    count = sum(report.failed.failed.values())
    of = plural(len(report.failed.failed), "task")
    lines = wrapped(f"{plural(count, 'task instance')} of {of} failed:", columns)
    shown = report.failures[:_MOST_GROUPS]
    dates = [_dates(group) for group in shown]
    names, counts = max(len(each.task_id) for each in shown), max(len(f"{each.count:,}") for each in shown)
    for group, between in zip(shown, dates, strict=True):
        head = f"  {group.count:>{counts},} × {group.task_id:<{min(names, 30)}}  {between:<{max(map(len, dates))}}"
        lines += with_error(head, "  ", group.error.partition("\n")[0], columns)
    if len(report.failures) > _MOST_GROUPS:
        left = report.failures[_MOST_GROUPS:]
        instances = plural(sum(each.count for each in left), "task instance")
        lines += wrapped(f"  and {plural(len(left), 'more kind')}, {instances}", columns)
    words = ["tailrace", "tasks", "list", "--state", "failed", report.dag_id]
    first, last = command.start or command.end, command.end or command.start
    words += ["-s", first, "-e", last] if first and last else []
    if command.tasks:  # others may have failed there
        words += [word for task_id in sorted(report.failed.failed) for word in ("--task", task_id)]
    words += ["--limit", str(count)] if count > _MOST_LISTED else []
    return [*lines, "all of them:", *command_lines(words, columns)]


def _dates(group: Failed) -> str:
    first, last = _date(group.first), _date(group.last)
    return first if first == last else f"{first} to {last}"


def _date(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes").replace("+00:00", "Z").removesuffix("T00:00Z")


def _blocked(blocked: tuple[Blocker, ...], columns: int) -> list[str]:
    lines = [f"{plural(len(blocked), 'task instance')} can never run:"]
    for blocker in sorted(blocked, key=_only_follows)[:_MOST_BLOCKED]:
        key = blocker.key
        reasons = "; ".join(f"{why.dependency}: {text_of(why.reason)}" for why in blocker.reasons)
        lines += wrapped(f"  {key.place} of {key.run_id}: {reasons}", columns, "    ")
    if len(blocked) > _MOST_BLOCKED:
        lines += wrapped(f"  and {len(blocked) - _MOST_BLOCKED:,} more: -o json lists them all", columns)
    return lines


def _inside(report: BackfillReport, columns: int) -> list[str]:
    """What failed in runs that succeeded all the same, and why that is, or is not, a failure."""
    if not report.failed_inside:
        return []
    if report.state is not BackfillEnding.SUCCESS:
        return wrapped(f"in runs that succeeded, {report.failed_inside.named}", columns)
    lines = wrapped(f"{report.failed_inside.names} (a run is judged by its last tasks)", columns)
    if report.exit_code:
        lines += wrapped(f"exit code {report.exit_code} for that, as fail_on_task_failure asks", columns)
    return lines


def _only_follows(blocker: Blocker) -> bool:
    """Whether it is blocked by those above it in its own run alone: the others show more."""
    return all(why.dependency is Dependency.TRIGGER_RULE for why in blocker.reasons)


def _next(report: BackfillReport, command: BackfillCommand, options: Mapping[str, object], columns: int) -> list[str]:
    """What to type now, for every ending that leaves something to do."""
    again = command_lines(command_words(command, options), columns)
    failed = command_lines(command_words(command, options, reprocess=Reprocess.FAILED), columns)
    match report.state:
        case BackfillEnding.FAILED | BackfillEnding.DEADLOCKED:
            return _repair(report, command, options, columns)
        case BackfillEnding.INTERRUPTED:
            return [*wrapped("what is finished is kept; the same command continues it:", columns), *again]
        case BackfillEnding.PAUSED:
            resume = f"tailrace backfill resume {report.backfill_id}"
            paused = f"{_who(report)}; after `{resume}` the same command continues it:"
            return [*wrapped(paused, columns), *again]
        case BackfillEnding.RUNNING | BackfillEnding.QUEUED:
            return [*wrapped("it is not finished; the same command goes on with it:", columns), *again]
        case BackfillEnding.SUCCESS if report.failed_inside:
            return ["to run them again:", *failed]
        case BackfillEnding.SUCCESS if report.done_already:
            everything = command_words(command, options, reprocess=Reprocess.ALL)
            return ["to run all of it again:", *command_lines(everything, columns)]
        case BackfillEnding.CANCELLED:
            return [*wrapped(f"{_who(report)}; the same command does what was left:", columns), *again]
        case _:
            return []


def _who(report: BackfillReport) -> str:
    """Who cancelled or paused it, where that was recorded."""
    command = report.last_command
    if command is not None and command.stands:
        return command.text
    return "a person cancelled it" if report.state is BackfillEnding.CANCELLED else "the backfill is paused"


def _repair(report: BackfillReport, command: BackfillCommand, options: Mapping[str, object], columns: int) -> list[str]:
    root = report.root_failure
    repair = None if root is None else root.repair
    lines = []
    if root is not None and root.log:
        key = root.task_instance
        lines += ["whole log:", *command_lines(log_words(key), columns)]
    pool = _pool_too_small(report.blocked)
    if pool:
        lines += wrapped(f"{pool}; make it larger with `tailrace pools set`, then:", columns)
    else:
        lines += wrapped("fix the cause, then run what failed again:", columns)
    start = repair.since.isoformat() if repair is not None and not repair.alone else None
    for date in () if repair is None else repair.alone:
        alone = replace(command, start=date.isoformat(), end=None)
        lines += command_lines(command_words(alone, options, reprocess=Reprocess.FAILED), columns)
    again = command_words(command, options, reprocess=Reprocess.FAILED, start=start)
    return [*lines, *command_lines(again, columns)]


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
    return list(deque(without_colours(text).splitlines(), maxlen=lines))
