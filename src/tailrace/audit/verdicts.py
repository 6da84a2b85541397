"""Checks of runs and backfills: legal steps, windows kept, every verdict a function of final states."""

from collections.abc import Iterator

from tailrace.audit.circles import check_circle, stuck_places
from tailrace.audit.dependencies import doomed
from tailrace.audit.expansions import check_complete_at_verdict
from tailrace.audit.past import compare_previous, is_gone, looks_back, previous_run
from tailrace.audit.records import BackfillRecord, HistoryRecord, Violation
from tailrace.audit.replay import STOPS, Replay, Run, name_of
from tailrace.audit.stops import check_stop, check_stopped_verdict
from tailrace.audit.structure import Structure
from tailrace.model.keys import index_suffix
from tailrace.model.states import CLOSED, FINISHED, OCCUPYING, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, backfill_may, dag_run_may

_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)
_GOING_ON = (TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.UP_FOR_RESCHEDULE)


def check_run(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Everything wrong with one step of a run, looked at in the world before it."""
    was = replay.run(row).state
    if was != row.before:
        yield _found("chain", row, f"it was {was}, the row says {row.before} → {row.after}")
    if row.before is None:
        if (row.after, row.cause) != (DagRunState.QUEUED, Cause.CREATED):
            yield _found("transition", row, f"created {row.after} for {row.cause}")
    elif not dag_run_may(DagRunState(row.before), DagRunState(row.after), Actor(row.actor), Cause(row.cause)):
        yield _found("transition", row, f"{row.before} → {row.after} by {row.actor} for {row.cause}")
    if row.actor == Actor.PERSON and row.after in CLOSED:
        yield from _left_behind(replay, row)
    if row.cause in STOPS:
        yield from check_stop(replay, row)
    if row.cause == Cause.YIELDED:
        yield from _stepped_back(replay, row)
    if row.cause != Cause.JUDGED:
        return
    structure = replay.structure(row)
    if structure is not None:
        yield from check_stopped_verdict(replay, row, structure)
        if replay.run(row).stopped_by is None:
            yield from _verdict(replay, row, structure)
    yield from check_complete_at_verdict(replay, row)
    yield from _evidence(replay, row)
    yield from check_circle(replay, row)


def _left_behind(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """A run that a person ends has nothing queued any more or waiting to go on, and what ran is stopping."""
    for (task_id, index), instance in sorted(replay.run(row).instances.items()):
        if instance.state in _GOING_ON:
            yield _found("left behind", row, f"{row.after} while {task_id}{index_suffix(index)} is {instance.state}")


def _stepped_back(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """A run that gives its place back has nothing under way, and waits for one that is queued."""
    for (task_id, index), instance in sorted(replay.run(row).instances.items()):
        if instance.state in OCCUPYING:
            yield _found(
                "yield", row, f"it gave its place back while {task_id}{index_suffix(index)} is {instance.state}"
            )
    structure, key = replay.structure(row), (row.dag_id, row.run_id or "")
    if structure is None or not replay.tells_past:
        return
    looking = (task_id for task_id, task in structure.tasks.items() if looks_back(task))
    found = {previous_run(replay, structure, key, task_id) for task_id in looking} - {None}
    states = {replay.runs[row.dag_id, run_id].state for run_id in found if run_id is not None}
    if DagRunState.QUEUED not in states:
        there = ", ".join(sorted(map(str, states))) or "none"
        found_so = _found("yield", row, f"it gave its place back while no previous run of it is queued ({there})")
        if _may_have_waited(replay, row):
            replay.unless_cleaned.append(found_so)
        else:
            yield found_so


def _may_have_waited(replay: Replay, row: HistoryRecord) -> bool:
    """Whether the run that it waited for is gone, or was queued: then what made that count may be gone by now."""
    waited_for = "" if row.evidence is None else row.evidence.looked_at or ""
    if not waited_for:
        return False
    return is_gone(replay, row.dag_id, waited_for) or (replay.runs[row.dag_id, waited_for].state is DagRunState.QUEUED)


def check_window(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """The DAG's window, looked at in the world after a run was activated."""
    structure = replay.structure(row)
    if row.cause != Cause.ACTIVATED or structure is None:
        return
    running, limit = replay.running_runs[row.dag_id], structure.dag.max_active_runs
    if running > limit:
        yield _found("max_active_runs", row, f"{running} runs are running, the limit is {limit}")


def check_backfill(replay: Replay, row: HistoryRecord, record: BackfillRecord | None) -> Iterator[Violation]:
    """Everything wrong with one step of a backfill, looked at in the world before it."""
    was = replay.backfills.get(row.backfill_id or 0)
    if was != row.before:
        yield _found("chain", row, f"it was {was}, the row says {row.before} → {row.after}")
    if row.before is None:
        if (row.after, row.cause) != (BackfillState.QUEUED, Cause.CREATED):
            yield _found("transition", row, f"created {row.after} for {row.cause}")
    elif not backfill_may(BackfillState(row.before), BackfillState(row.after), Actor(row.actor), Cause(row.cause)):
        yield _found("transition", row, f"{row.before} → {row.after} by {row.actor} for {row.cause}")
    if row.cause == Cause.JUDGED and record is not None:
        yield from _backfill_verdict(replay, row, record)


def _verdict(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    run = replay.run(row)
    unfinished = [
        task_id
        for task_id in structure.tasks
        if structure.part.holds(task_id) and any(state not in FINISHED for state in run.states(task_id))
    ]
    left_out = [
        task_id
        for (task_id, _), each in run.instances.items()
        if not structure.part.holds(task_id) and each.state not in FINISHED
    ]
    if row.after == DagRunState.DEADLOCKED:
        yield from _deadlock(replay, row, structure, unfinished)
    elif unfinished:
        yield _found("verdict", row, f"{row.after} while {', '.join(unfinished)} is unfinished")
    else:
        failed = bool(left_out) or any(state in _BAD for state in run.upstream(structure.leaves))
        expected = DagRunState.FAILED if failed else DagRunState.SUCCESS
        if row.after != expected:
            yield _found("verdict", row, f"{row.after}, its leaves say {expected}")


def _deadlock(replay: Replay, row: HistoryRecord, structure: Structure, unfinished: list[str]) -> Iterator[Violation]:
    """The proof is true, and it names exactly what is blocked."""
    named_by = {} if row.evidence is None else row.evidence.blocked_by or {}
    gone = {task_id for task_id, run_id in named_by.items() if is_gone(replay, row.dag_id, run_id)}
    key = (row.dag_id, row.run_id or "")
    proof = doomed(replay, structure, key, gone, stuck_places(replay, key, row.evidence))
    free = [task_id for task_id in unfinished if not proof[task_id]]
    if free or not unfinished:
        yield _found("false deadlock", row, f"{', '.join(free) or 'nothing'} could still run")
    blocked = None if row.evidence is None else row.evidence.blocked
    named = sorted({each.place[0] for each in blocked or ()})
    if not free and blocked is not None and named != sorted(unfinished):
        text = f"it names {', '.join(named) or 'nothing'}, unfinished are {', '.join(unfinished)}"
        yield _found("deadlock proof", row, text)
    for task_id, looked_at in sorted(named_by.items()):
        yield from compare_previous(replay, row, structure, task_id, looked_at)


def _evidence(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """What the verdict says that it was drawn from is what was there."""
    evidence = row.evidence
    if evidence is None:
        if row.structure is not None:
            yield _found("evidence", row, "a verdict without evidence")
        return
    if evidence.assumed is not None:
        there = {each.row_id or 0: str(each.state) for each in replay.run(row).instances.values()}
        for id in sorted(there.keys() | evidence.assumed.keys()):
            was, named = there.get(id, "nothing"), evidence.assumed.get(id, "nothing")
            if was != named:
                yield _found("evidence", row, f"it names task instance {id} as {named}, it was {was}")
    for id, state in sorted((evidence.past or {}).items()):
        key = replay.keys_by_row.get(id)
        if key is not None and replay.runs.get(key, Run()).state != state:
            yield _found("evidence", row, f"it names {key[1]} as {state}, it was {replay.runs.get(key, Run()).state}")
    for name, slots in sorted((evidence.pools or {}).items()):
        if name in replay.pools and replay.pools[name] != slots:
            yield _found("evidence", row, f"it names pool {name} with {slots} slots, it had {replay.pools[name]}")


def _backfill_verdict(replay: Replay, row: HistoryRecord, record: BackfillRecord) -> Iterator[Violation]:
    states = [replay.ended(record, run_id) for run_id in record.wanted]
    still_open = [state for state in states if state not in CLOSED]
    bad = any(state in (DagRunState.FAILED, DagRunState.DEADLOCKED, DagRunState.CANCELLED) for state in states)
    stopped = record.stop_on_failure and bad and DagRunState.RUNNING not in states
    if still_open and not stopped:
        yield _found("backfill verdict", row, f"{row.after} while {len(still_open)} of its runs are open")
    elif DagRunState.DEADLOCKED in states:
        yield from _expect(row, BackfillState.DEADLOCKED)
    else:
        yield from _expect(row, BackfillState.FAILED if bad else BackfillState.SUCCESS)


def _expect(row: HistoryRecord, expected: BackfillState) -> Iterator[Violation]:
    if row.after != expected:
        yield _found("backfill verdict", row, f"{row.after}, its runs say {expected}")


def _found(check: str, row: HistoryRecord, text: str) -> Violation:
    return Violation(check, name_of(row), text, row.id)
