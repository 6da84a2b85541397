"""Which previous run a task looked at, and what that let it do, as the world stood at one moment: a second opinion.

The previous run is the chronologically previous one that counts for the task. An open run counts if schedulers drive it
or an unfinished backfill wants it; a closed one if it has a task instance of the task that is not *removed*. On a DAG
with a schedule nobody looks at a run that was triggered by hand.
"""

from collections.abc import Iterator, Mapping

from tailrace.audit.records import HistoryRecord, Violation
from tailrace.audit.replay import Replay, Run, RunKey, name_of
from tailrace.audit.rules import FAIL, RUN, WAIT
from tailrace.audit.structure import Structure
from tailrace.model.keys import RunType
from tailrace.model.spec import ScheduleKind, TaskSpec
from tailrace.model.states import BACKFILL_CLOSED, CLOSED, FINISHED, TaskInstanceState

#: The previous run's outcome holds the task back, and may be changed while that run is open.
HELD = "held"

_FINE = (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)


def looks_back(task: TaskSpec) -> bool:
    """Whether the task waits for a previous run at all."""
    return task.depends_on_past or task.wait_for_downstream


def ignores_past(replay: Replay, key: RunKey) -> bool:
    """Whether the run was created to ignore its previous run."""
    run, record = replay.runs.get(key), replay.run_records.get(key)
    if run is not None and run.told:
        return run.ignores_past
    return record is not None and record.ignore_depends_on_past


def previous_run(replay: Replay, structure: Structure, key: RunKey, task_id: str) -> str | None:
    """The run that the task looks at; None where no earlier one counts for it."""
    for earlier in replay.earlier(key):
        if _counts(replay, structure, (key[0], earlier), task_id):
            return earlier
    return None


def _counts(replay: Replay, structure: Structure, key: RunKey, task_id: str) -> bool:
    run, record = replay.runs.get(key), replay.run_records[key]
    if run is None or run.state is None:
        return False  # it was created later
    by_hand = record.run_type == RunType.MANUAL
    if by_hand and structure.dag.schedule.kind is not ScheduleKind.NONE:
        return False
    states = [instance.state for instance in run.of_task(task_id)]
    has_it = any(state not in (None, TaskInstanceState.REMOVED) for state in states)
    if run.state in CLOSED:
        return has_it
    scheduled = by_hand or record.run_type == RunType.SCHEDULED or run.live
    wanting = (replay.backfills.get(id) for id in replay.wanted_by.get(key, ()))
    driven = scheduled or any(state is not None and state not in BACKFILL_CLOSED for state in wanting)
    return driven and (has_it or not states or task_id in run.to_clear)


def past_lets(replay: Replay, structure: Structure, key: RunKey, task: TaskSpec) -> str:
    """What the previous run lets the task do.

    RUN; WAIT while that may still change by itself; HELD where it has decided against it and is still open; FAIL where
    it is closed.
    """
    if not looks_back(task) or ignores_past(replay, key):
        return RUN
    found = previous_run(replay, structure, key, task.task_id)
    if found is None:
        return RUN
    past = replay.runs[key[0], found]
    needed = (task.task_id, *(task.downstream if task.wait_for_downstream else ()))
    says = {_one(past, task_id) for task_id in needed}
    if WAIT in says:
        return WAIT
    if says == {RUN}:
        return RUN
    return FAIL if past.state in CLOSED else HELD


def _one(past: Run, task_id: str) -> str:
    if task_id in past.to_clear:
        return WAIT
    found = [each.state for each in past.of_task(task_id)]
    states = [state for state in found if state not in (None, TaskInstanceState.REMOVED)]
    is_open = past.state not in CLOSED
    if not states:
        return WAIT if is_open else RUN
    if all(state in _FINE for state in states):
        return RUN
    stopping = TaskInstanceState.STOPPING in states
    return WAIT if stopping or (is_open and any(state not in FINISHED for state in states)) else FAIL


def check_past(
    replay: Replay, row: HistoryRecord, structure: Structure, wrong: Mapping[str, str]
) -> Iterator[Violation]:
    """What a step leans on in the past: the previous run it says it looked at stood there, and let it.

    ``wrong`` says what is wrong with the step by what the previous run lets its task do.
    """
    key, task = (row.dag_id, row.run_id or ""), structure.tasks[row.task_id or ""]
    looked_at = None if row.evidence is None else row.evidence.looked_at
    if replay.tells_past and not (looked_at and is_gone(replay, row.dag_id, looked_at)):
        says = past_lets(replay, structure, key, task)
        if says in wrong:
            yield Violation("previous run", name_of(row), wrong[says], row.id)
    yield from _looked_at(replay, row, structure)


def is_gone(replay: Replay, dag_id: str, run_id: str) -> bool:
    """Whether what remains of history knows nothing of the run: one of the same id may have been created since."""
    run = replay.runs.get((dag_id, run_id))
    return run is None or run.state is None


def _looked_at(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    """A start or a skip says which previous run it was decided by, and that is the one that stood there."""
    key, task = (row.dag_id, row.run_id or ""), structure.tasks[row.task_id or ""]
    if not looks_back(task) or ignores_past(replay, key):
        return
    looked_at = None if row.evidence is None else row.evidence.looked_at
    if looked_at is None:
        if replay.tells_past:
            yield Violation("evidence", name_of(row), "it does not say which previous run it looked at", row.id)
        else:
            replay.untold["steps from before history told of previous runs"] += 1
        return
    yield from compare_previous(replay, row, structure, task.task_id, looked_at or None)


def compare_previous(
    replay: Replay, row: HistoryRecord, structure: Structure, task_id: str, looked_at: str | None
) -> Iterator[Violation]:
    """Whether the previous run that a decision names is the one that stood there."""
    key = row.dag_id, row.run_id or ""
    stood = previous_run(replay, structure, key, task_id)
    if looked_at == stood:
        return
    text = f"it looked at {looked_at or 'no previous run'}, its previous run was {stood or 'none'}"
    found = Violation("previous run", name_of(row), text, row.id)
    if stood is not None and (looked_at is None or replay.is_earlier(row.dag_id, looked_at, stood)):
        yield found
    else:  # what made that run count may have been cleaned away since, or the run itself
        replay.unless_cleaned.append(found)
