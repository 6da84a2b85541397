"""The named dependency checks, one function each: met or not, and why, under the names Airflow logs them by.

A check only answers. What follows from the answers (run, skip, fail, wait) is ``evaluation``'s, and whether the limits
have room is ``capacity``'s, because room depends on what else was decided in the same step.
"""

from datetime import datetime
from typing import NamedTuple

from tailrace.model.spec import TaskSpec
from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.planning.board import Board
from tailrace.planning.plan import DependencyStatus, Verdict
from tailrace.planning.rules import Counts, evaluate, explain
from tailrace.planning.snapshot import PoolView, PreviousRun, TaskInstanceView

UNLIMITED = -1

_PAST_MET = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED})


def dagrun_running(board: Board) -> DependencyStatus:
    """The run is active."""
    passed = board.run.state is DagRunState.RUNNING
    return DependencyStatus("Dagrun Running", passed, f"Task instance's dagrun is {board.run.state}.")


def not_in_retry_period(ti: TaskInstanceView, now: datetime) -> DependencyStatus:
    """The delay of the last try has passed."""
    name = "Not In Retry Period"
    if ti.retry_at is None or ti.state is not TaskInstanceState.UP_FOR_RETRY:
        return DependencyStatus(name, True, "The task instance is not marked for retrying.")
    if ti.retry_at <= now:
        return DependencyStatus(name, True, f"The retry delay of try {ti.try_number} has passed.")
    reason = f"Try {ti.try_number} failed; the next may start at {ti.retry_at.isoformat(timespec='seconds')}."
    return DependencyStatus(name, False, reason)


def ready_to_reschedule(ti: TaskInstanceView, now: datetime) -> DependencyStatus:
    """A rescheduled task's time has come."""
    name = "Ready To Reschedule"
    if ti.state is not TaskInstanceState.UP_FOR_RESCHEDULE or ti.retry_at is None or ti.retry_at <= now:
        return DependencyStatus(name, True, "The task instance is not waiting for its reschedule time.")
    return DependencyStatus(name, False, f"It is rescheduled for {ti.retry_at.isoformat(timespec='seconds')}.")


def not_previously_skipped(board: Board, task: TaskSpec) -> tuple[DependencyStatus, Verdict]:
    """No branch or short circuit above excludes the task; while one of them is unfinished, nothing is known yet.

    Gates come first whatever the trigger rule (DESIGN 7), so that a rule cannot run a task which a branch excludes
    a moment later.
    """
    name = "Not Previously Skipped"
    waiting: list[str] = []
    for decider in board.dag.deciders[task.task_id]:
        instances = board.by_task.get(decider)
        if not instances or any(True for _ in board.unfinished_of((decider,))):
            waiting.append(decider)
            continue
        for ti in instances:
            succeeded = board.state(ti) is TaskInstanceState.SUCCESS
            if succeeded and board.dag.excludes(decider, ti.followed, task.task_id):
                chosen = ", ".join(ti.followed or ()) or "nothing"
                reason = f"Task {decider} followed {chosen}, which excludes this task."
                return DependencyStatus(name, False, reason), Verdict.SKIP
    if waiting:
        reason = f"Waiting for the decision of {', '.join(waiting)}."
        return DependencyStatus(name, False, reason), Verdict.WAIT
    return DependencyStatus(name, True, "No branch or short circuit excludes this task."), Verdict.RUN


def trigger_rule(board: Board, task: TaskSpec) -> tuple[DependencyStatus, Verdict, Counts]:
    """What the task's trigger rule says of its direct upstreams."""
    counts = board.upstream_counts(task.task_id)
    verdict = evaluate(task.trigger_rule, counts)
    reason = (
        "The task has no upstream tasks." if not task.upstream else explain(task.trigger_rule, counts, task.upstream)
    )
    return DependencyStatus("Trigger Rule", verdict is Verdict.RUN, reason), verdict, counts


class Past(NamedTuple):
    """What a task's previous run says: whether it lets the task run, whether it may still change, or never will."""

    status: DependencyStatus
    undecided: bool = False  # it may still go either way: nothing is decided before it, not even a skip
    never: bool = False


def previous_dagrun_state(board: Board, task: TaskSpec) -> Past:
    """depends_on_past and wait_for_downstream.

    The previous run is the chronologically previous one that counts for the task: an open one that somebody drives, or
    a closed one that has the task. Without one the dependency is met. Its states are final once it is closed and
    nothing of it is stopping: what is unmet then stays so until a person changes something.
    """
    name = "Previous Dagrun State"
    needed = task.looks_back_at
    if not needed:
        return Past(DependencyStatus(name, True, "The task does not have depends_on_past set."))
    if board.run.options.ignore_depends_on_past:
        return Past(DependencyStatus(name, True, "This run was created to ignore its previous run."))
    previous = board.previous.get(task.task_id)
    if previous is None:
        return Past(DependencyStatus(name, True, "There is no previous run."))
    found = {task_id: _of_previous(previous, task_id) for task_id in needed}
    unmet = [f"its {task_id} {text}" for task_id, (text, _) in found.items() if text]
    if not unmet:
        return Past(DependencyStatus(name, True, f"{', '.join(needed)} succeeded in {previous.run_id}."))
    undecided = any(still_open for _, still_open in found.values())
    never = previous.state in CLOSED and not undecided
    begun = " after it had begun" if previous.state is DagRunState.CANCELLED else ""
    reason = f"depends_on_past: previous run {previous.run_id} is {previous.state}{begun}; {'; '.join(unmet)}."
    return Past(DependencyStatus(name, False, reason), undecided, never)


def _of_previous(previous: PreviousRun, task_id: str) -> tuple[str, bool]:
    """Why a task of the previous run does not let its later one run (empty: it does), and whether that may change.

    A task that a closed previous run does not have is no obstacle: only tasks below the one that counts can be absent.
    """
    if task_id in previous.to_clear:
        return "is stored to run again", True
    states = [state for state in previous.states.get(task_id, ()) if state is not TaskInstanceState.REMOVED]
    is_open = previous.state not in CLOSED
    if not states:
        return ("has not begun", True) if is_open else ("", False)
    unmet = sorted({str(state) for state in states if state not in _PAST_MET})
    if not unmet:
        return "", False
    changes = any(state not in FINISHED if is_open else state is TaskInstanceState.STOPPING for state in states)
    return f"is {', '.join(unmet)}", changes


def pool_can_hold(pool_name: str, pool: PoolView | None, slots: int) -> tuple[DependencyStatus, bool]:
    """The pool exists and is large enough at all; the second answer is whether it never will be, as it stands.

    One of 0 slots was frozen by a person, who will give it slots again: that is a wait.
    """
    name = "Pool Slots Available"
    if pool is None:
        reason = f"Pool {pool_name!r} does not exist; create it with `tailrace pools set {pool_name} SLOTS`."
        return DependencyStatus(name, False, reason), True
    if pool.slots == 0:
        reason = (
            f"Pool {pool_name!r} has 0 slots, it is frozen; it goes on after `tailrace pools set {pool_name} SLOTS`."
        )
        return DependencyStatus(name, False, reason), False
    if pool.slots != UNLIMITED and slots > pool.slots:
        reason = f"The task needs {slots} slots and pool {pool_name!r} has {pool.slots} in all."
        return DependencyStatus(name, False, reason), True
    return DependencyStatus(name, True, f"Pool {pool_name!r} has {pool.slots} slots in all."), False
