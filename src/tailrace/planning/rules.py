"""Trigger rules as total functions of what became of a task's direct upstreams: those of Airflow 3, but for one.

Under all_success a skip waits for what is pending, so that a verdict does not depend on when anybody looks.

Two properties, both proved by enumeration in tests/unit/planning/test_rules.py: *confluent* (a verdict given while
some upstream is pending is the verdict once all are done) and *total* (once all are done there is a verdict).
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tailrace.model.rules import TriggerRule
from tailrace.model.states import TaskInstanceState
from tailrace.planning.plan import Verdict


class Counts(NamedTuple):
    """How many direct upstream task instances are in each state; ``pending`` is every unfinished one."""

    success: int = 0
    skipped: int = 0
    failed: int = 0
    upstream_failed: int = 0
    removed: int = 0
    pending: int = 0

    @property
    def failures(self) -> int:
        """Failed and upstream_failed."""
        return self.failed + self.upstream_failed

    @property
    def done(self) -> int:
        """Every finished one."""
        return self.success + self.skipped + self.failed + self.upstream_failed + self.removed


_FIELD = {
    TaskInstanceState.SUCCESS: 0,
    TaskInstanceState.SKIPPED: 1,
    TaskInstanceState.FAILED: 2,
    TaskInstanceState.UPSTREAM_FAILED: 3,
    TaskInstanceState.REMOVED: 4,
}


def count(states: Iterable[TaskInstanceState]) -> Counts:
    """The counts of these states."""
    found = [0, 0, 0, 0, 0, 0]
    for state in states:
        found[_FIELD.get(state, 5)] += 1
    return Counts(*found)


def _all_success(c: Counts) -> Verdict:
    if c.failures:
        return Verdict.FAIL_UPSTREAM
    if c.pending:
        return Verdict.WAIT  # a skip seen now must not decide: a pending upstream may still fail
    return Verdict.SKIP if c.skipped else Verdict.RUN


def _all_failed(c: Counts) -> Verdict:
    if c.success or c.skipped:
        return Verdict.SKIP
    return Verdict.WAIT if c.pending else Verdict.RUN


def _all_done(c: Counts) -> Verdict:
    return Verdict.WAIT if c.pending else Verdict.RUN


def _one_success(c: Counts) -> Verdict:
    if c.success:
        return Verdict.RUN
    if c.pending:
        return Verdict.WAIT
    return Verdict.FAIL_UPSTREAM if c.failures else Verdict.SKIP


def _one_failed(c: Counts) -> Verdict:
    if c.failures:
        return Verdict.RUN
    return Verdict.WAIT if c.pending else Verdict.SKIP


def _one_done(c: Counts) -> Verdict:
    if c.success or c.failed:
        return Verdict.RUN
    return Verdict.WAIT if c.pending else Verdict.SKIP


def _none_failed(c: Counts) -> Verdict:
    if c.failures:
        return Verdict.FAIL_UPSTREAM
    return Verdict.WAIT if c.pending else Verdict.RUN


def _none_failed_min_one_success(c: Counts) -> Verdict:
    if c.failures:
        return Verdict.FAIL_UPSTREAM
    if c.pending:
        return Verdict.WAIT
    return Verdict.RUN if c.success else Verdict.SKIP


def _none_skipped(c: Counts) -> Verdict:
    if c.skipped:
        return Verdict.SKIP
    return Verdict.WAIT if c.pending else Verdict.RUN


def _all_skipped(c: Counts) -> Verdict:
    if c.success or c.failures:
        return Verdict.SKIP
    return Verdict.WAIT if c.pending else Verdict.RUN


def _all_done_min_one_success(c: Counts) -> Verdict:
    if c.skipped:
        return Verdict.SKIP
    if c.pending:
        return Verdict.WAIT
    if c.success:
        return Verdict.RUN
    return Verdict.FAIL_UPSTREAM if c.failures else Verdict.SKIP


def _always(c: Counts) -> Verdict:
    return Verdict.RUN


_RULES: Mapping[TriggerRule, Callable[[Counts], Verdict]] = MappingProxyType(
    {
        TriggerRule.ALL_SUCCESS: _all_success,
        TriggerRule.ALL_FAILED: _all_failed,
        TriggerRule.ALL_DONE: _all_done,
        TriggerRule.ONE_SUCCESS: _one_success,
        TriggerRule.ONE_FAILED: _one_failed,
        TriggerRule.ONE_DONE: _one_done,
        TriggerRule.NONE_FAILED: _none_failed,
        TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: _none_failed_min_one_success,
        TriggerRule.NONE_SKIPPED: _none_skipped,
        TriggerRule.ALL_SKIPPED: _all_skipped,
        TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: _all_done_min_one_success,
        # Without setups above it, the teardown's rule is all_done; setups cannot be written yet.
        TriggerRule.ALL_DONE_SETUP_SUCCESS: _all_done,
        TriggerRule.ALWAYS: _always,
    }
)

_REQUIRES: Mapping[TriggerRule, str] = MappingProxyType(
    {
        TriggerRule.ALL_SUCCESS: "all upstream tasks to have succeeded",
        TriggerRule.ALL_FAILED: "all upstream tasks to have failed",
        TriggerRule.ALL_DONE: "all upstream tasks to be done",
        TriggerRule.ONE_SUCCESS: "one upstream task to have succeeded",
        TriggerRule.ONE_FAILED: "one upstream task to have failed",
        TriggerRule.ONE_DONE: "one upstream task to have succeeded or failed",
        TriggerRule.NONE_FAILED: "all upstream tasks to have succeeded or been skipped",
        TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS: "all upstream tasks to have succeeded or been skipped, and one "
        "to have succeeded",
        TriggerRule.NONE_SKIPPED: "all upstream tasks to be done and none skipped",
        TriggerRule.ALL_SKIPPED: "all upstream tasks to have been skipped",
        TriggerRule.ALL_DONE_MIN_ONE_SUCCESS: "all upstream tasks to be done, none skipped and one succeeded",
        TriggerRule.ALL_DONE_SETUP_SUCCESS: "all upstream tasks to be done",
        TriggerRule.ALWAYS: "nothing",
    }
)


def evaluate(rule: TriggerRule, counts: Counts) -> Verdict:
    """What ``rule`` says of a task whose direct upstreams stand like this. A task without upstreams always runs."""
    if not sum(counts):
        return Verdict.RUN
    return _RULES[rule](counts)


def explain(rule: TriggerRule, counts: Counts, upstream: Iterable[str]) -> str:
    """The rule, the counts and the upstreams in one sentence, as an Airflow user knows it."""
    return (
        f"Task's trigger rule '{rule}' requires {_REQUIRES[rule]}; upstream_states: success={counts.success}, "
        f"skipped={counts.skipped}, failed={counts.failed}, upstream_failed={counts.upstream_failed}, "
        f"removed={counts.removed}, done={counts.done}, pending={counts.pending}; "
        f"upstream_task_ids: {', '.join(upstream)}"
    )
