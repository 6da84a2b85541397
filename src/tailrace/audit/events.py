"""Checks the events of which callbacks are to be called: one for each step that has a callback, and none for another.

A row of history says that it is an event; the outbox has a row for it, under that row's digest. So no step has two
events, and what nobody did, such as a result that was refused, has none.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tailrace.audit.records import EventRecord, HistoryRecord, Recorded, Violation
from tailrace.audit.replay import name_of
from tailrace.model.callbacks import LATE, CallbackName
from tailrace.model.chains import COVERED
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause

_AT, _REASON = COVERED.index("at"), COVERED.index("reason")
_BY_STATE: Mapping[str, str] = {
    TaskInstanceState.SUCCESS: CallbackName.ON_SUCCESS,
    TaskInstanceState.FAILED: CallbackName.ON_FAILURE,
    TaskInstanceState.UP_FOR_RETRY: CallbackName.ON_RETRY,
    TaskInstanceState.SKIPPED: CallbackName.ON_SKIPPED,
}
_OF_RUNS: Mapping[str, str] = {
    DagRunState.SUCCESS: CallbackName.ON_SUCCESS,
    DagRunState.FAILED: CallbackName.ON_FAILURE,
    DagRunState.DEADLOCKED: CallbackName.ON_FAILURE,
}


class Events:
    """What history says that there are, row by row; then compared with the outbox."""

    def __init__(self, records: Recorded) -> None:
        self._told: dict[str, tuple[Any, ...]] = {}
        self._found: list[Violation] = []
        self._always: dict[tuple[str, str], set[str]] = {}  # what each structure of a DAG calls, by task; "": for runs
        for dag in records.structures.values():
            for task_id, calls in (("", dag.calls), *((task.task_id, task.calls) for task in dag.tasks)):
                key = dag.dag_id, task_id
                self._always[key] = self._always.get(key, set(calls)).intersection(calls)

    def take(self, row: HistoryRecord) -> None:
        """The next row of history."""
        told = "" if row.evidence is None else row.evidence.event
        may = _callback_of(row)
        if told:
            self._told[row.digest or ""] = _parts(row)
            if told != may:
                self._wrong(row, f"it is an event of {told}, and no such step")
        elif may and may in self._always.get((row.dag_id, row.task_id or ""), ()) and not _is_marked(row):
            self._wrong(row, f"it is a step with an {may}, and no event")

    def check(self, outbox: Iterable[EventRecord]) -> Iterator[Violation]:
        """What is wrong with the steps, and with the outbox as it stands."""
        yield from self._found
        for event in outbox:
            told = self._told.pop(event.event_id, None)
            if told is None:
                yield Violation("events", event.name, f"event {event.event_id} is of no step that history knows")
            elif told != event.parts:
                differing = [name for name, led, stands in zip(PARTS, told, event.parts, strict=True) if led != stands]
                yield Violation(
                    "events", event.name, f"event {event.event_id}: other {', '.join(differing)} than its step"
                )
        for event_id, parts in self._told.items():
            yield Violation("events", " / ".join(map(str, filter(None, parts[2:6]))), f"event {event_id} is not there")

    def _wrong(self, row: HistoryRecord, text: str) -> None:
        self._found.append(Violation("events", name_of(row), text, row.id))


#: What an event has of its step, in the order of ``EventRecord.parts``.
PARTS = (
    *("at", "callback", "kind", "dag_id", "run_id", "task_id", "map_index", "try_number", "backfill_id", "after"),
    *("reason", "task_instance_id", "dag_run_id"),
)


def _parts(row: HistoryRecord) -> tuple[Any, ...]:
    event = "" if row.evidence is None else row.evidence.event
    kind, after = ("dag_run", LATE) if row.cause == Cause.LATE else (row.kind, row.after)
    names = (kind, row.dag_id, row.run_id, row.task_id, row.map_index, row.try_number, row.backfill_id, after)
    return (row.cells[_AT], event, *names, row.cells[_REASON], row.row_id, row.run_row)


def _callback_of(row: HistoryRecord) -> str:
    """Which callback a step is the event of, where there is one; a person's steps are nobody's."""
    if row.actor == Actor.PERSON:
        return ""
    if row.cause == Cause.LATE:
        return CallbackName.ON_LATE
    if row.kind == "dag_run":
        return _OF_RUNS.get(row.after, "") if row.cause == Cause.JUDGED else ""
    if row.kind == "backfill":
        return CallbackName.ON_BACKFILL_END if row.cause == Cause.JUDGED else ""
    if row.kind != "task_instance":
        return ""
    of_its_own = row.before == TaskInstanceState.RUNNING
    unexpanded = row.cause == Cause.EXPANDED and row.after == TaskInstanceState.FAILED and row.before is not None
    return _BY_STATE.get(row.after, "") if of_its_own or unexpanded else ""


def _is_marked(row: HistoryRecord) -> bool:
    """Whether nothing was run, as a person wished (`--mark-success`); of runs nobody can tell."""
    if row.kind == "dag_run":
        return row.after == DagRunState.SUCCESS
    return bool(row.cells[_REASON] == "marked as success without running")
