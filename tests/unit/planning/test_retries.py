"""What a try leads to: retry, fail, or lose; and how long the next one waits."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import TaskSpec
from tailrace.model.states import TaskInstanceState
from tailrace.planning.retries import LONGEST_DELAY, after_try, retry_delay

KEY = TaskInstanceKey("dag", "run", "task")


@given(st.integers(1, 90), st.integers(0, 100_000))
def test_backoff_is_between_one_and_two_bases_and_capped(number: int, seconds: int) -> None:
    task = TaskSpec("task", retry_delay=timedelta(seconds=seconds), retry_exponential_backoff=True)
    delay = retry_delay(task, TryKey(KEY, number))
    base = seconds * 2 ** (number - 1)
    assert delay == retry_delay(task, TryKey(KEY, number))
    assert min(base, 86400) <= delay.total_seconds() <= min(2 * base, LONGEST_DELAY.total_seconds())


def test_backoff_is_capped_by_the_task_too() -> None:
    longest = timedelta(seconds=70)
    task = TaskSpec("t", retry_delay=timedelta(minutes=1), retry_exponential_backoff=True, max_retry_delay=longest)
    assert retry_delay(task, TryKey(KEY, 5)) == longest


def test_without_backoff_the_delay_is_always_the_same() -> None:
    task = TaskSpec("task", retry_delay=timedelta(seconds=7))
    assert {retry_delay(task, TryKey(KEY, number)) for number in range(1, 9)} == {timedelta(seconds=7)}


def ended(
    kind: OutcomeKind, number: int = 1, most: int = 2, lost: int = 0, *, disable: bool = False
) -> TaskInstanceState:
    key, task = TryKey(KEY, number), TaskSpec("task")
    return after_try(task, key, kind, "why", max_tries=most, lost_tries=lost, disable_retry=disable).state


def test_a_failure_is_tried_again_while_there_are_tries() -> None:
    assert ended(OutcomeKind.FAILED, 1, 2) is TaskInstanceState.UP_FOR_RETRY
    assert ended(OutcomeKind.FAILED, 2, 2) is TaskInstanceState.FAILED
    assert ended(OutcomeKind.FAILED, 1, 2, disable=True) is TaskInstanceState.FAILED
    assert ended(OutcomeKind.FAILED_FOR_GOOD, 1, 2) is TaskInstanceState.FAILED


def test_losing_a_try_has_a_budget_of_its_own() -> None:
    assert ended(OutcomeKind.LOST, 1, 1) is TaskInstanceState.UP_FOR_RETRY
    assert ended(OutcomeKind.LOST, 3, 3, 2) is TaskInstanceState.FAILED


@given(number=st.integers(1, 90), lost=st.integers(0, 2), disable=st.booleans())
def test_a_try_that_was_lost_with_others_spends_nothing(number: int, lost: int, disable: bool) -> None:
    """It may have been any of them that took the others along."""
    key, kind = TryKey(KEY, number), OutcomeKind.LOST_TOGETHER
    budget = {"max_tries": number, "lost_tries": lost, "disable_retry": disable}
    after = after_try(TaskSpec("task"), key, kind, "why", **budget)
    assert (after.state, after.cause, after.reason) == ("up_for_retry", "lost_together", "why")
    assert (after.lost_tries, after.max_tries, after.retry_delay) == (lost, number + 1, timedelta(0))


def test_success_and_skip_stand() -> None:
    assert ended(OutcomeKind.SUCCESS) is TaskInstanceState.SUCCESS
    assert ended(OutcomeKind.SKIPPED) is TaskInstanceState.SKIPPED
