"""A try that a job found lost is told once, as it was recorded: nobody else will report it."""

from typing import Any, cast

import pytest

from tailrace.effects.requests import ApplyPlan
from tailrace.effects.results import Applied
from tailrace.effects.tries import FailedTry
from tailrace.execution.system.identity import own_identity
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.plan import Plan, TaskTransition
from tailrace.runtime.driver import JobDriver
from tailrace.runtime.signals import Interrupts
from tests.unit.planning.builders import dag

KEY = TaskInstanceKey("dag", "run", "a")
RUNNING, RETRY, FAILED, NONE = (TaskInstanceState(state) for state in ("running", "up_for_retry", "failed", "none"))


class Store:
    """Every step lands, but for those that are named."""

    def __init__(self, *refused: int) -> None:
        self.refused = refused

    def apply(self, plan: Plan, write_id: str) -> Applied:
        return Applied(won=tuple(step for n, step in enumerate(plan.transitions) if n not in self.refused))


def step(after: TaskInstanceState, cause: Cause, most: int = 2) -> TaskTransition:
    return TaskTransition(7, 1, KEY, RUNNING, 1, after, 1, cause, "try 1 was lost: its worker died", max_tries=most)


def told(*steps: TaskTransition, refused: tuple[int, ...] = ()) -> list[FailedTry]:
    heard: list[FailedTry] = []
    driver = JobDriver(
        cast(Any, Store(*refused)),
        cast(Any, None),
        Interrupts(),
        own_identity(),
        15.0,
        plenty=1,
        on_event=lambda event: None,
        on_failure=heard.append,
        watch=lambda woken: None,
    )
    driver.perform(ApplyPlan(Plan(dag("a b"), 1, transitions=steps)))
    return heard


@pytest.mark.parametrize("after", [RETRY, FAILED])
def test_a_loss_is_told(after: TaskInstanceState) -> None:
    error = "try 1 was lost: its worker died"
    assert told(step(after, Cause.LOST)) == [FailedTry(TryKey(KEY, 1), after, True, error, 2)]


def test_what_was_refused_or_is_no_loss_is_not_told() -> None:
    assert told(step(RETRY, Cause.LOST), refused=(0,)) == []
    assert told(step(NONE, Cause.LOST), step(RETRY, Cause.DEPENDENCIES_MET)) == []
