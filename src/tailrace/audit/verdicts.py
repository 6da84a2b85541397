"""Checks of runs and backfills: legal steps, windows kept, every verdict a function of final states."""

from collections.abc import Iterator

from tailrace.audit.dependencies import doomed
from tailrace.audit.records import BackfillRecord, HistoryRecord, Violation
from tailrace.audit.replay import Replay, Run, name_of
from tailrace.audit.structure import Structure
from tailrace.model.states import CLOSED, FINISHED, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, backfill_may, dag_run_may

_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)


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
    structure = replay.structure(row)
    if row.cause == Cause.JUDGED and structure is not None:
        yield from _verdict(replay, row, structure)


def check_window(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """The DAG's window, looked at in the world after a run was activated."""
    structure = replay.structure(row)
    if row.after != DagRunState.RUNNING or structure is None:
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


def check_final_rows(replay: Replay) -> Iterator[Violation]:
    """Rows that are not where their history led, and history that led to no row."""
    for ti in replay.records.task_instances:
        run = replay.runs.get((ti.dag_id, ti.run_id), Run())
        instance = run.instances.pop((ti.task_id, ti.map_index), None)
        about = f"{ti.dag_id} / {ti.run_id} / {ti.task_id}"
        if instance is None or instance.state != ti.state:
            led = None if instance is None else instance.state
            yield Violation("final state", about, f"history leads to {led}, the row says {ti.state}")
        elif (instance.try_number, instance.token) != (ti.try_number, ti.token):
            led_to = f"try {instance.try_number} with token {instance.token}"
            text = f"history leads to {led_to}, the row says try {ti.try_number} with token {ti.token}"
            yield Violation("final state", about, text)
    for key, led_run in replay.runs.items():
        record = replay.run_records.get(key)
        about = " / ".join(key)
        if record is None or record.state != led_run.state:
            found = "there is no such row" if record is None else f"the row says {record.state}"
            yield Violation("final state", about, f"history leads to {led_run.state}, {found}")
        for task_id, _ in led_run.instances:
            yield Violation("final state", f"{about} / {task_id}", "history leads to a task instance without a row")
    for key in replay.run_records.keys() - replay.runs.keys():
        yield Violation("final state", " / ".join(key), "a run without history")
    for backfill in replay.records.backfills:
        led_backfill = replay.backfills.get(backfill.id)
        if led_backfill != backfill.state:
            text = f"history leads to {led_backfill}, the row says {backfill.state}"
            yield Violation("final state", f"backfill {backfill.id}", text)


def _verdict(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    run = replay.run(row)
    unfinished = [task_id for task_id in structure.tasks if any(state not in FINISHED for state in run.states(task_id))]
    if row.after == DagRunState.DEADLOCKED:
        yield from _deadlock(replay, row, structure, unfinished)
    elif unfinished:
        yield _found("verdict", row, f"{row.after} while {', '.join(unfinished)} is unfinished")
    else:
        failed = any(state in _BAD for state in run.upstream(structure.leaves))
        expected = DagRunState.FAILED if failed else DagRunState.SUCCESS
        if row.after != expected:
            yield _found("verdict", row, f"{row.after}, its leaves say {expected}")


def _deadlock(replay: Replay, row: HistoryRecord, structure: Structure, unfinished: list[str]) -> Iterator[Violation]:
    """The proof is true, and it names exactly what is blocked."""
    proof = doomed(replay, structure, (row.dag_id, row.run_id or ""))
    free = [task_id for task_id in unfinished if not proof[task_id]]
    if free or not unfinished:
        yield _found("false deadlock", row, f"{', '.join(free) or 'nothing'} could still run")
    named = sorted({task_id for task_id, _ in row.blocked or ()})
    if not free and row.blocked is not None and named != sorted(unfinished):
        text = f"it names {', '.join(named) or 'nothing'}, unfinished are {', '.join(unfinished)}"
        yield _found("deadlock proof", row, text)


def _backfill_verdict(replay: Replay, row: HistoryRecord, record: BackfillRecord) -> Iterator[Violation]:
    states = [replay.runs.get((record.dag_id, run_id), Run()).state for run_id in record.wanted]
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
