"""A job that has tries which wait for other DAGs is woken by a step there, and by all that wakes it otherwise."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from tailrace.effects.requests import WaitResult, Watch
from tailrace.runtime import watching
from tailrace.runtime.signals import Interrupts
from tailrace.runtime.watching import Watching

WATCH = Watch(frozenset({"raw"}), 7)


class Time:
    """Stands still until somebody waits."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Scene:
    """An executor that has nothing to say until then, and a metastore in which something changes then."""

    def __init__(self, time: Time, *, ends: float = 1e9, changes: float = 1e9) -> None:
        self.time, self.ends, self.changes, self.looks = time, time.now + ends, time.now + changes, 0

    def wait(self, seconds: float) -> WaitResult:
        until = min(self.time.now + seconds, max(self.ends, self.time.now))
        self.time.now = until
        return WaitResult(finished=int(until >= self.ends), busy=1)

    def read(self, work: Callable[[Any], bool]) -> bool:
        self.looks += 1
        return self.time.now >= self.changes


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(watching, "time", made)
    return made


def waited(time: Time, scene: Scene, seconds: float = 5.0, *, step: float = 0.0) -> tuple[WaitResult, float]:
    """What one wait comes to, and how long it took; the step before it took so long."""
    waits = Watching(cast(Any, scene), cast(Any, scene), Interrupts())
    time.now += step
    began = time.now
    found = waits.wait(seconds, WATCH)
    return found, round(time.now - began, 3)


def test_a_change_wakes_it_within_a_moment(time: Time) -> None:
    assert waited(time, Scene(time, changes=1.05)) == (WaitResult(busy=1, changed=True), 1.2)


def test_the_end_of_a_try_wakes_it_as_before(time: Time) -> None:
    assert waited(time, Scene(time, ends=1.05, changes=3)) == (WaitResult(finished=1, busy=1), 1.05)


def test_without_anything_it_lasts_as_long_as_was_asked(time: Time) -> None:
    scene = Scene(time)
    assert waited(time, scene, 1.0) == (WaitResult(busy=1), 1.0)
    assert scene.looks == 4
    assert waited(time, scene, 0.0) == (WaitResult(busy=1), 0.0)


def test_the_more_a_step_costs_the_less_often_it_is_woken(time: Time) -> None:
    assert waited(time, Scene(time), 5.0, step=0.1)[1] == 5.0
    assert waited(time, Scene(time, changes=0.2), 5.0, step=0.1) == (WaitResult(busy=1, changed=True), 2.5)
