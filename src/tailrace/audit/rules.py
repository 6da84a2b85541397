"""Trigger rules a second time, from what each is said to mean, over sets of states: what planning must agree with."""

from collections.abc import Sequence

from tailrace.model.rules import TriggerRule
from tailrace.model.states import TaskInstanceState as T

RUN, SKIP, FAIL, WAIT = "run", "skip", "upstream_failed", "wait"

#: What it depends on is not recorded any more.
UNKNOWN = "unknown"

_DONE = (T.SUCCESS, T.FAILED, T.SKIPPED, T.UPSTREAM_FAILED, T.REMOVED)
_BAD = (T.FAILED, T.UPSTREAM_FAILED)


def outcome(rule: TriggerRule, upstream: Sequence[T]) -> str:
    """What becomes of a task under ``rule`` above which these states stand."""
    if not upstream or rule is TriggerRule.ALWAYS:
        return RUN
    waiting = [state for state in upstream if state not in _DONE]
    some = set(upstream)
    bad = any(state in _BAD for state in upstream)
    early = _early(rule, some, bad)
    if early is not None:
        return early
    return WAIT if waiting else _late(rule, some, bad)


def _early(rule: TriggerRule, some: set[T], bad: bool) -> str | None:
    """What one upstream alone decides, whatever the others still do."""
    fails = {TriggerRule.ALL_SUCCESS, TriggerRule.NONE_FAILED, TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS}
    if rule in fails and bad:
        return FAIL
    if rule is TriggerRule.ONE_FAILED and bad:
        return RUN
    if rule is TriggerRule.ONE_SUCCESS and T.SUCCESS in some:
        return RUN
    if rule is TriggerRule.ONE_DONE and some & {T.SUCCESS, T.FAILED}:
        return RUN
    if rule is TriggerRule.ALL_FAILED and some & {T.SUCCESS, T.SKIPPED}:
        return SKIP
    if rule in (TriggerRule.NONE_SKIPPED, TriggerRule.ALL_DONE_MIN_ONE_SUCCESS) and T.SKIPPED in some:
        return SKIP
    if rule is TriggerRule.ALL_SKIPPED and (T.SUCCESS in some or bad):
        return SKIP
    return None


def _late(rule: TriggerRule, some: set[T], bad: bool) -> str:
    """What all of them together decide, once all are done and none decided alone."""
    if rule is TriggerRule.ALL_SUCCESS:
        return SKIP if T.SKIPPED in some else RUN
    if rule in (TriggerRule.ONE_FAILED, TriggerRule.ONE_DONE):
        return SKIP
    needs_success = {
        TriggerRule.ONE_SUCCESS,
        TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    }
    if rule in needs_success and T.SUCCESS not in some:
        return FAIL if bad else SKIP
    return RUN
