"""A history as a person reads it: who did what, and what they saw. Nothing here is part of the history itself."""

from typing import Any

from tailrace.effects.events import EventClaim, OutboxLeft
from tailrace.effects.requests import Accepted, CreateDueRuns, Effect, Event, StillRunning, Submit, WaitResult
from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, Refused, Renewal, Submission, TryOutcome
from tailrace.model.keys import TaskInstanceKey, index_suffix
from tailrace.planning.snapshot import Snapshot

_WIDTHS = (8, 12, 14)


def line(seconds: float, who: str, what: str, seen: str) -> str:
    """One step, in columns: simulated seconds, who acts, what they ask for, what they get."""
    return f"{seconds:{_WIDTHS[0]}.2f}  {who:<{_WIDTHS[1]}} {what:<{_WIDTHS[2]}} {seen}".rstrip()


def describe(effect: Effect[Any], result: Any, several: bool) -> str:
    """What an effect saw or did. ``several``: the world has several dates, so that tasks are shown with theirs."""
    match result:
        case Snapshot():
            return _snapshot(result, several)
        case Applied():
            return _applied(result, several)
        case Claim():
            return f"{_name(result.task_instance, several)} try {result.key.try_number}, token {result.token}"
        case EventClaim():
            return f"{result.event.callback} of {result.event.after}, token {result.token}"
        case OutboxLeft():
            return f"{result.count} left"
        case Refused():
            return f"refused: {result.found}"
        case Accepted():
            return result.state
        case Submission():
            return f"{_name(result.key.task_instance, several)} try {result.key.try_number}"
        case TryOutcome():
            return str(result.kind)
        case StillRunning():
            return "still running"
        case WaitResult():
            return _last_wait(result)
        case Renewal():
            return "" if result is Renewal.HELD else str(result)
        case bool():
            return "" if result else "no"
        case frozenset():
            return f"{len(result)} lost"
    if isinstance(effect, Event):
        return "" if effect.text is None else str(effect.text)
    if isinstance(effect, CreateDueRuns):
        return f"runs created: {result}"
    if isinstance(effect, Submit):
        return ", ".join(_name(submission.key.task_instance, several) for submission in effect.submissions)
    return ""


def _name(key: TaskInstanceKey, several: bool) -> str:
    return f"{key.place}@{_date(key.run_id)}" if several else key.place


def _date(run_id: str) -> str:
    return run_id.split("__")[-1][5:10]


def _snapshot(snapshot: Snapshot, several: bool) -> str:
    seen = [
        f"{ti.task_id}{index_suffix(ti.map_index)}{'@' + _date(run.run_id) if several else ''} {ti.state}"
        for run in snapshot.runs
        for ti in run.task_instances
    ]
    if snapshot.candidates:
        seen.append(f"runs waiting: {len(snapshot.candidates)}")
    return ", ".join(seen) or (f"backfill {snapshot.backfill.state}" if snapshot.backfill is not None else "nothing")


def _applied(applied: Applied, several: bool) -> str:
    parts = [f"{_name(step.key, several)} {step.before} → {step.after}" for step in applied.won]
    parts += [f"run {_date(verdict.run_id)} {verdict.state}" for verdict in applied.judged]
    parts += [f"mapped tasks expanded in runs: {len(applied.expanded)}"] if applied.expanded else []
    parts += [f"runs activated: {len(applied.activated)}"] if applied.activated else []
    parts += [f"runs taken over: {len(applied.taken_over)}"] if applied.taken_over else []
    parts += [f"too late for {_name(step.key, several)} → {step.after}" for step in applied.lost]
    parts += [f"no room for {_name(step.key, several)}" for step in applied.deferred]
    parts += ["backfill judged"] if applied.backfill_judged else []
    return ", ".join([*parts, *map(str, applied.stale)]) or "nothing landed"


def _last_wait(waited: WaitResult) -> str:
    parts = [f"tries ended: {waited.finished}"] if waited.finished else []
    parts += ["a worker died"] if waited.worker_lost else []
    parts += ["Ctrl-C twice"] if waited.terminate else ["Ctrl-C"] if waited.drain else []
    return ", ".join(parts)
