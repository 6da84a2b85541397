"""What becomes of a task instance when a try ends: retry, fail, or stand as it is.

The delay is deterministic: the same task instance and try wait the same time in every history.
"""

import hashlib
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from tailrace.model.keys import TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import RetryAction, TaskSpec
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.calling import event_of_task

MAX_LOST_TRIES = 3
LONGEST_DELAY = timedelta(hours=24)


class AfterTry(Struct, frozen=True):
    """The step that ends a try, or its stay in a worker: then it goes on at the moment ``resumes_at``.

    ``retry_delay`` counts from the metastore's now; None unless up_for_retry.
    """

    state: TaskInstanceState
    cause: Cause
    reason: str
    max_tries: int
    lost_tries: int
    retry_delay: timedelta | None = None
    event: str = ""  # the callback that is to be called for it
    resumes_at: datetime | None = None


def retry_delay(task: TaskSpec, key: TryKey) -> timedelta:
    """How long the next try waits after ``key`` failed.

    Without backoff it is ``retry_delay``. With it: base = ceil(retry_delay * 2 ** (try - 1)) seconds plus a jitter
    in [0, base) that is a hash of the task instance and try, capped by ``max_retry_delay`` and 24 hours.
    """
    if not task.retry_exponential_backoff:
        return task.retry_delay
    cap = min(task.max_retry_delay or LONGEST_DELAY, LONGEST_DELAY)
    doublings = min(key.try_number - 1, 64)  # beyond that every delay is at its cap
    base = -int(-task.retry_delay.total_seconds() * 2**doublings // 1)
    if base <= 0:
        return min(task.retry_delay, cap)
    ti = key.task_instance
    text = f"{ti.dag_id}#{ti.task_id}#{ti.run_id}#{ti.map_index}#{key.try_number}"
    jitter = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % base
    return min(timedelta(seconds=min(base + jitter, LONGEST_DELAY.total_seconds())), cap)


def after_try(
    task: TaskSpec,
    key: TryKey,
    kind: OutcomeKind,
    error: str,
    *,
    max_tries: int,
    lost_tries: int,
    disable_retry: bool,
    rule: int | None = None,
    resumes_at: datetime | None = None,
    awaits: bool = False,
) -> AfterTry:
    """Decide what ``key``'s task instance becomes after an outcome of this kind.

    ``rule``: which rule of the task's retry policy fits the exception (another number: none); None where nothing was
    raised. ``resumes_at``: when it goes on that is rescheduled; ``awaits``: or before, by what it has named.
    """
    if kind is OutcomeKind.RESCHEDULED:  # it ended well: the next losses count from none
        waits = TaskInstanceState.UP_FOR_RESCHEDULE
        cause = Cause.AWAITS if awaits else Cause.RESCHEDULED
        return AfterTry(waits, cause, error, max_tries, 0, resumes_at=resumes_at)
    budget = {"max_tries": max_tries, "lost_tries": lost_tries}
    after = _after(task, key, kind, error, disable_retry=disable_retry, rule=rule, **budget)
    if not task.calls:
        return after
    return replace(after, event=event_of_task(task, TaskInstanceState.RUNNING, after.state, after.cause))


def _after(
    task: TaskSpec,
    key: TryKey,
    kind: OutcomeKind,
    error: str,
    *,
    max_tries: int,
    lost_tries: int,
    disable_retry: bool,
    rule: int | None,
) -> AfterTry:
    state = {
        OutcomeKind.SUCCESS: TaskInstanceState.SUCCESS,
        OutcomeKind.SKIPPED: TaskInstanceState.SKIPPED,
    }.get(kind)
    if state is not None:
        return AfterTry(state, Cause.OUTCOME, error or str(kind), max_tries, lost_tries)
    if kind is OutcomeKind.LOST:
        return after_loss(error, max_tries=max_tries, lost_tries=lost_tries)
    if kind is OutcomeKind.LOST_TOGETHER:
        again = TaskInstanceState.UP_FOR_RETRY
        return AfterTry(again, Cause.LOST_TOGETHER, error, max_tries + 1, lost_tries, timedelta(0))
    if kind is OutcomeKind.FAILED_FOR_GOOD:
        return AfterTry(TaskInstanceState.FAILED, Cause.OUTCOME, error, max_tries, lost_tries)
    delay: timedelta | None = None
    if rule is not None and task.retry_policy is not None:
        action, delay, why = task.retry_policy.action_for(rule)
        if action is RetryAction.FAIL:
            reason = f"{error}; no retry: {why}"
            return AfterTry(TaskInstanceState.FAILED, Cause.OUTCOME, reason, max_tries, lost_tries)
        error = f"{error}; retry: {why}" if action is RetryAction.RETRY else error
    if disable_retry or key.try_number >= max_tries:
        return AfterTry(TaskInstanceState.FAILED, Cause.OUTCOME, error, max_tries, lost_tries)
    delay = retry_delay(task, key) if delay is None else delay
    return AfterTry(TaskInstanceState.UP_FOR_RETRY, Cause.RETRY, error, max_tries, lost_tries, delay)


def after_loss(error: str, *, max_tries: int, lost_tries: int) -> AfterTry:
    """A lost try spends its own budget, never a retry, and its successor waits for nothing."""
    lost = lost_tries + 1
    if lost >= MAX_LOST_TRIES:
        reason = f"lost {lost} times (the limit): {error}"
        return AfterTry(TaskInstanceState.FAILED, Cause.LOST, reason, max_tries, lost)
    return AfterTry(TaskInstanceState.UP_FOR_RETRY, Cause.LOST, error, max_tries + 1, lost, timedelta(0))


def after_stop(error: str, stopping_to: TaskInstanceState, *, max_tries: int, lost_tries: int) -> AfterTry:
    """A stopping try whose process is gone ends where the person wanted it to end, and spends no budget."""
    return AfterTry(stopping_to, Cause.LOST, error, max_tries, lost_tries)
