"""What becomes of one idle task instance: every dependency checked, the statuses joined into one verdict.

Also says whether the task instance is *doomed*: it waits, and what it waits for is terminal or doomed
itself. Evaluated in topological order this is the least fixpoint, because a run's tasks form no cycle. Retry,
reschedule, limits, pauses and other jobs' work are never doom.
"""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from tailrace.model.keys import TaskInstanceKey
from tailrace.model.spec import TaskSpec
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.board import Board
from tailrace.planning.dependencies import (
    dagrun_running,
    not_in_retry_period,
    not_previously_skipped,
    pool_can_hold,
    previous_dagrun_state,
    ready_to_reschedule,
    trigger_rule,
)
from tailrace.planning.plan import Decision, DependencyStatus, Verdict
from tailrace.planning.reasons import AwaitedDecided
from tailrace.planning.snapshot import PoolSnapshot, TaskInstanceSnapshot


class Evaluation(Struct, frozen=True):
    """A decision with the cause a transition would carry, before limits are looked at."""

    decision: Decision
    cause: Cause

    @property
    def resumed_by(self) -> str:
        """What has a rescheduled try go on before its time, in one line; empty: nothing but the time."""
        reasons = (status.reason for status in self.decision.statuses)
        return next((str(reason) for reason in reasons if isinstance(reason, AwaitedDecided)), "")

    @property
    def reason(self) -> str:
        """The reasons that decided, in one line."""
        blocking = self.decision.failed
        return " ".join(str(status.reason) for status in blocking or self.decision.statuses[-1:])


def pool_of(board: Board, task: TaskSpec) -> str:
    """The pool whose slots the task takes in this run."""
    return board.run.options.pool or task.pool


def evaluate_task_instance(
    board: Board, task: TaskSpec, ti: TaskInstanceSnapshot, pools: Mapping[str, PoolSnapshot], now: datetime
) -> Evaluation:
    """Ask every dependency of an idle task instance (none or up_for_retry), or of one that waits to go on."""
    if ti.state is TaskInstanceState.UP_FOR_RESCHEDULE:
        return _evaluate_resume(board, task, ti, pools, now)
    if task.mapped_over is None or task.mapped_group or ti.state is not TaskInstanceState.NONE:
        return _evaluate(board, task, ti, pools, now)
    # What has not begun of a mapped task that is in no group is all alike: by its place in topological order all that
    # is above it has been decided.
    known = board.alike.get(task.task_id)
    if known is None:
        known = board.alike[task.task_id] = _evaluate(board, task, ti, pools, now)
    found = known.decision
    key = TaskInstanceKey(board.dag.dag_id, board.run.run_id, ti.task_id, ti.map_index)
    return Evaluation(Decision(key, ti.state, found.verdict, found.statuses, found.doomed), known.cause)


def _evaluate(
    board: Board, task: TaskSpec, ti: TaskInstanceSnapshot, pools: Mapping[str, PoolSnapshot], now: datetime
) -> Evaluation:
    key = TaskInstanceKey(board.dag.dag_id, board.run.run_id, ti.task_id, ti.map_index)
    statuses: list[DependencyStatus] = [dagrun_running(board)]

    def decided(verdict: Verdict, cause: Cause, doomed: bool = False) -> Evaluation:
        return Evaluation(Decision(key, ti.state, verdict, tuple(statuses), doomed), cause)

    def skipped(cause: Cause) -> Evaluation:
        """A skip waits for the previous run too: skipped at once, a date would overtake the one before it."""
        past = previous_dagrun_state(board, task)
        if past.undecided:
            statuses.append(past.status)
            return decided(Verdict.WAIT, cause)
        return decided(Verdict.SKIP, cause)

    gate, gate_verdict = not_previously_skipped(board, task, ti.map_index)
    statuses.append(gate)
    if gate_verdict is Verdict.SKIP:
        return skipped(Cause.BRANCH)
    if gate_verdict is Verdict.WAIT:
        return decided(
            Verdict.WAIT, Cause.BRANCH, doomed=_all_doomed(board, task, ti.map_index, board.dag.deciders[task.task_id])
        )

    rule, rule_verdict, counts = trigger_rule(board, task, ti.map_index)
    statuses.append(rule)
    if rule_verdict is Verdict.SKIP:
        return skipped(Cause.TRIGGER_RULE)
    if rule_verdict is Verdict.FAIL_UPSTREAM:
        return decided(rule_verdict, Cause.TRIGGER_RULE)
    if rule_verdict is Verdict.WAIT:
        doomed = counts.pending > 0 and _all_doomed(board, task, ti.map_index, task.upstream)
        return decided(Verdict.WAIT, Cause.TRIGGER_RULE, doomed=doomed)

    past = previous_dagrun_state(board, task)
    name = pool_of(board, task)
    pool, pool_never = pool_can_hold(name, pools.get(name), task.pool_slots)
    statuses += (past.status, not_in_retry_period(ti, now), ready_to_reschedule(ti, now), pool)
    if all(status.passed for status in statuses):
        return decided(Verdict.RUN, Cause.DEPENDENCIES_MET)
    return decided(Verdict.WAIT, Cause.DEPENDENCIES_MET, doomed=past.never or pool_never)


def _evaluate_resume(
    board: Board, task: TaskSpec, ti: TaskInstanceSnapshot, pools: Mapping[str, PoolSnapshot], now: datetime
) -> Evaluation:
    """Whether a try that has given its slot back goes on: its time has come, and its pool can hold it.

    What is above it was decided once, as the try was queued first; what has become of that since then is no more to it
    than to a task that runs.
    """
    key = TaskInstanceKey(board.dag.dag_id, board.run.run_id, ti.task_id, ti.map_index)
    name = pool_of(board, task)
    pool, pool_never = pool_can_hold(name, pools.get(name), task.pool_slots)
    statuses = (dagrun_running(board), ready_to_reschedule(ti, now, board.waits.get(ti.id)), pool)
    verdict = Verdict.RUN if all(status.passed for status in statuses) else Verdict.WAIT
    return Evaluation(Decision(key, ti.state, verdict, statuses, pool_never), Cause.RESUMED)


def _all_doomed(board: Board, task: TaskSpec, map_index: int, above: tuple[str, ...]) -> bool:
    """Whether each unfinished instance of these that the task's looks at is doomed; one that is not there is not."""
    for task_id in above:
        instances = board.seen_by(task, map_index, task_id)
        if not instances or any(ti.id not in board.doomed for ti in board.unfinished_among(instances)):
            return False
    return True
