"""How long a job's wait goes on once something has happened."""

from typing import Any, cast

from tailrace.effects.requests import Wait, WaitResult
from tailrace.execution.system.identity import own_identity
from tailrace.runtime.driver import JobDriver
from tailrace.runtime.signals import Interrupts

PLENTY = 4


class Scripted:
    """An executor that answers each wait with the next of these; no more may be asked."""

    def __init__(self, *answers: WaitResult) -> None:
        self.answers = list(answers)

    def wait(self, seconds: float) -> WaitResult:
        return self.answers.pop(0)

    def submit(self, submissions: object) -> None:
        raise AssertionError("nothing is submitted here")


def waited(seconds: float, *answers: WaitResult) -> tuple[WaitResult, int]:
    """What one wait answers, and how much of the script is left."""
    executor = cast(Any, Scripted(*answers))
    metastore = cast(Any, None)
    driver = JobDriver(
        metastore,
        executor,
        Interrupts(),
        own_identity(),
        15.0,
        plenty=PLENTY,
        on_event=lambda event: None,
        watch=lambda woken: None,
    )
    return driver.perform(Wait(seconds)), len(executor.answers)


def test_ends_are_gathered_while_the_workers_have_plenty() -> None:
    woken, left = waited(
        1.0, WaitResult(finished=1, busy=PLENTY + 2), WaitResult(finished=2, busy=PLENTY), WaitResult()
    )
    assert (woken.finished, woken.busy, left) == (3, PLENTY, 1)


def test_with_little_in_hand_the_first_end_wakes() -> None:
    assert waited(1.0, WaitResult(finished=1, busy=PLENTY), WaitResult()) == (WaitResult(finished=1, busy=PLENTY), 1)


def test_a_step_that_could_follow_at_once_waits_for_a_worker_to_need_it() -> None:
    woken, left = waited(0.0, WaitResult(busy=PLENTY + 1), WaitResult(finished=1, busy=PLENTY), WaitResult())
    assert (woken.finished, left) == (1, 1)
    assert waited(0.0, WaitResult(busy=PLENTY), WaitResult()) == (WaitResult(busy=PLENTY), 1)


def test_a_wait_that_nothing_ended_is_over() -> None:
    assert waited(1.0, WaitResult(busy=PLENTY + 1), WaitResult()) == (WaitResult(busy=PLENTY + 1), 1)


def test_a_lost_worker_is_urgent() -> None:
    lost = WaitResult(finished=1, worker_lost=True, busy=PLENTY + 1)
    assert waited(1.0, lost, WaitResult()) == (lost, 1)
