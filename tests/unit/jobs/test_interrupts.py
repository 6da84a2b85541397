"""What a job asks of its executor at each interrupt: to begin no more, to end what runs, to do so at once."""

from collections.abc import Iterator

import pytest

from tailrace.effects.requests import StopStarting, TerminateTasks, WaitResult
from tailrace.jobs.lane_step import Ending, JobMemory, handle_interrupt

ONE = WaitResult(drain=True)
TWO = WaitResult(drain=True, terminate=True)
THREE = WaitResult(drain=True, terminate=True, kill=True)
BEGIN_NO_MORE, END, KILL = StopStarting(), TerminateTasks(), TerminateTasks(at_once=True)


def asked(*waited: WaitResult) -> Iterator[object]:
    memory = JobMemory()
    for each in waited:
        yield from handle_interrupt(each, memory)
    assert memory.stopping is (Ending.DRAINED if waited[-1] == ONE else Ending.TERMINATED)


@pytest.mark.parametrize(
    ("waited", "effects"),
    [
        ((ONE,), [BEGIN_NO_MORE]),
        ((ONE, ONE), [BEGIN_NO_MORE]),
        ((ONE, TWO, TWO), [BEGIN_NO_MORE, BEGIN_NO_MORE, END]),
        ((ONE, TWO, THREE, THREE), [BEGIN_NO_MORE, BEGIN_NO_MORE, END, KILL]),
        ((TWO, THREE), [BEGIN_NO_MORE, END, KILL]),
        ((ONE, THREE), [BEGIN_NO_MORE, BEGIN_NO_MORE, KILL]),
        ((THREE, THREE), [BEGIN_NO_MORE, KILL]),
    ],
)
def test_each_interrupt_is_passed_on_once(waited: tuple[WaitResult, ...], effects: list[object]) -> None:
    assert list(asked(*waited)) == effects
