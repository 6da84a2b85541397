"""The named dependency checks, one function each: met or not, and why, under the names Airflow logs them by.

A check only returns a status. What follows from the statuses (run, skip, fail, wait) is ``evaluation``'s, and whether
the limits have room is ``capacity``'s, because room depends on what else was decided in the same step.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from tailrace.model.spec import TaskSpec
from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.planning import reasons
from tailrace.planning.awaiting import Waits
from tailrace.planning.board import Board
from tailrace.planning.messages import Message
from tailrace.planning.plan import Dependency, DependencyStatus, Verdict
from tailrace.planning.rules import Counts, evaluate
from tailrace.planning.snapshot import PoolSnapshot, PreviousRun, TaskInstanceSnapshot

UNLIMITED = -1

_DECIDES_NOTHING = frozenset({TaskInstanceState.SKIPPED, TaskInstanceState.REMOVED})
_PAST_MET = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED})


def dagrun_running(board: Board) -> DependencyStatus:
    """The run is active."""
    passed = board.run.state is DagRunState.RUNNING
    return DependencyStatus(Dependency.DAGRUN_RUNNING, passed, reasons.RunIs(board.run.state))


def not_in_retry_period(ti: TaskInstanceSnapshot, now: datetime) -> DependencyStatus:
    """The delay of the last try has passed."""
    name = Dependency.RETRY_PERIOD
    if ti.retry_at is None or ti.state is not TaskInstanceState.UP_FOR_RETRY:
        return DependencyStatus(name, True, reasons.NotRetrying())
    if ti.retry_at <= now:
        return DependencyStatus(name, True, reasons.RetryDelayPassed(ti.try_number))
    return DependencyStatus(name, False, reasons.RetryDelay(ti.try_number, ti.retry_at))


def ready_to_reschedule(ti: TaskInstanceSnapshot, now: datetime, waits: Waits | None = None) -> DependencyStatus:
    """A rescheduled task's time has come, or what it has named in other runs is decided."""
    name = Dependency.RESCHEDULE
    if ti.state is not TaskInstanceState.UP_FOR_RESCHEDULE or ti.retry_at is None or ti.retry_at <= now:
        return DependencyStatus(name, True, reasons.NotRescheduled())
    if waits is not None:
        decided = waits.looked.is_decided
        return DependencyStatus(name, decided, waits.decided() if decided else waits.reason(ti, ti.retry_at))
    return DependencyStatus(name, False, reasons.Rescheduled(ti.try_number, ti.retry_at))


def not_previously_skipped(board: Board, task: TaskSpec, map_index: int) -> tuple[DependencyStatus, Verdict]:
    """No branch or short circuit above excludes the task; while one of them is unfinished, nothing is known yet.

    Gates come first whatever the trigger rule, so that a rule cannot run a task which a branch excludes
    a moment later.
    """
    name = Dependency.BRANCH
    waiting: list[str] = []
    for decider in board.dag.deciders[task.task_id]:
        instances = board.seen_by(task, map_index, decider)
        if not instances or any(True for _ in board.unfinished_among(instances)):
            waiting.append(decider)
        elif (followed := _excluding(board, task, instances)) is not None:
            return DependencyStatus(name, False, reasons.BranchExcludes(decider, followed)), Verdict.SKIP
    if waiting:
        return DependencyStatus(name, False, reasons.BranchUndecided(tuple(waiting))), Verdict.WAIT
    return DependencyStatus(name, True, reasons.NothingExcludes()), Verdict.RUN


def _excluding(board: Board, task: TaskSpec, instances: Sequence[TaskInstanceSnapshot]) -> tuple[str, ...] | None:
    """What the instances of a decider have followed that exclude the task; None where one of them does not.

    There are several only of one in a mapped group, for a task outside of it. Those that were skipped decide nothing.
    """
    followed: dict[str, None] = {}
    decided = False
    for ti in instances:
        state = board.state(ti)
        if state in _DECIDES_NOTHING:
            continue
        if state is not TaskInstanceState.SUCCESS or not board.dag.excludes(ti.task_id, ti.followed, task.task_id):
            return None
        decided = True
        followed.update(dict.fromkeys(ti.followed or ()))
    return tuple(followed) if decided else None


def trigger_rule(board: Board, task: TaskSpec, map_index: int) -> tuple[DependencyStatus, Verdict, Counts]:
    """What the task's trigger rule says of the direct upstreams of one of its instances."""
    counts = board.upstream_counts(task, map_index)
    verdict = evaluate(task.trigger_rule, counts)
    reason = _of_rule(board, task, counts)
    return DependencyStatus(Dependency.TRIGGER_RULE, verdict is Verdict.RUN, reason), verdict, counts


def _of_rule(board: Board, task: TaskSpec, counts: Counts) -> Message:
    if task.upstream:
        return reasons.UpstreamStates(task.trigger_rule, *counts, task.upstream)
    left_out = tuple(above for above, below in board.ignored if below == task.task_id)
    return reasons.AllLeftOut(left_out) if left_out else reasons.NoUpstream()


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
    needed = task.looks_back_at
    if not needed:
        return _met(reasons.NoDependsOnPast())
    if board.run.options.ignore_depends_on_past:
        return _met(reasons.PastIgnored())
    previous = board.previous.get(task.task_id)
    if previous is None:
        return _met(reasons.NoPreviousRun())
    found = [each for task_id in needed if (each := _of_previous(previous, task_id)) is not None]
    if not found:
        return _met(reasons.PastMet(previous.run_id, needed))
    undecided = any(still_open for _, still_open in found)
    never = previous.state in CLOSED and not undecided
    reason = reasons.PastUnmet(previous.run_id, previous.state, tuple(unmet for unmet, _ in found))
    return Past(DependencyStatus(Dependency.PREVIOUS_RUN, False, reason), undecided, never)


def _met(reason: Message) -> Past:
    return Past(DependencyStatus(Dependency.PREVIOUS_RUN, True, reason))


def _of_previous(previous: PreviousRun, task_id: str) -> tuple[reasons.UnmetTask, bool] | None:
    """How a task of the previous run does not let its later one run, and whether that may change; None: it does let it.

    A task that a closed previous run does not have is no obstacle: only tasks below the one that counts can be absent.
    """
    if task_id in previous.to_clear:
        return reasons.UnmetTask(task_id, "to run again"), True
    states = [state for state in previous.states.get(task_id, ()) if state is not TaskInstanceState.REMOVED]
    is_open = previous.state not in CLOSED
    if not states:
        return (reasons.UnmetTask(task_id, "has not begun"), True) if is_open else None
    unmet = tuple(sorted({state for state in states if state not in _PAST_MET}))
    if not unmet:
        return None
    changes = any(state not in FINISHED if is_open else state is TaskInstanceState.STOPPING for state in states)
    return reasons.UnmetTask(task_id, unmet), changes


def pool_can_hold(pool_name: str, pool: PoolSnapshot | None, slots: int) -> tuple[DependencyStatus, bool]:
    """The pool exists and is large enough at all; the second says whether it never will be, as it stands.

    One of 0 slots was frozen by a person, who will give it slots again: that is a wait.
    """
    name = Dependency.POOL_SLOTS
    if pool is None:
        return DependencyStatus(name, False, reasons.PoolMissing(pool_name)), True
    if pool.slots == 0:
        return DependencyStatus(name, False, reasons.PoolFrozen(pool_name)), False
    if pool.slots != UNLIMITED and slots > pool.slots:
        return DependencyStatus(name, False, reasons.PoolTooSmall(pool_name, pool.slots, slots)), True
    return DependencyStatus(name, True, reasons.PoolFits(pool_name, pool.slots)), False
