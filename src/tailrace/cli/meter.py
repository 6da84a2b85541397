"""Arithmetic of progress: how much is done, how fast, how long it will take. Knows no terminal and reads no
clock.
"""

from collections import deque
from dataclasses import dataclass, field

from msgspec import Struct

from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.runtime.listeners import Progress

_WINDOW = 60.0  # seconds over which the rate is taken: long enough to be steady, short enough to follow


class Reading(Struct, frozen=True):
    """One moment's figures. ``rate`` is task instances per second, ``left`` seconds; None where not yet
    known.
    """

    runs_done: int
    runs: int
    tasks_done: int
    tasks: int
    running: int
    failed: int
    rate: float | None
    elapsed: float
    left: float | None
    waiting: int = 0  # they have given their workers back, until a moment that they named


@dataclass(slots=True)
class Meter:
    """Turns successive progress counts into readings."""

    _samples: deque[tuple[float, int]] = field(default_factory=deque)

    def read(self, progress: Progress) -> Reading:
        """Take in one progress and return its figures."""
        runs = sum(progress.runs.values())
        known = sum(progress.task_instances.values())
        done = sum(progress.task_instances.get(state, 0) for state in FINISHED)
        waiting = progress.runs.get(DagRunState.QUEUED, 0)
        tasks = known + waiting * progress.tasks_per_run
        rate = self._rate(progress.seconds, done)
        bad = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)
        return Reading(
            runs_done=sum(progress.runs.get(state, 0) for state in CLOSED),
            runs=runs,
            tasks_done=done,
            tasks=max(tasks, done),
            running=progress.task_instances.get(TaskInstanceState.RUNNING, 0),
            failed=sum(progress.task_instances.get(state, 0) for state in bad),
            rate=rate,
            elapsed=progress.seconds,
            left=(tasks - done) / rate if rate else None,
            waiting=progress.task_instances.get(TaskInstanceState.UP_FOR_RESCHEDULE, 0),
        )

    def _rate(self, seconds: float, done: int) -> float | None:
        self._samples.append((seconds, done))
        while len(self._samples) > 2 and seconds - self._samples[1][0] >= _WINDOW:
            self._samples.popleft()
        began, before = self._samples[0]
        if seconds - began < 0.5 or done <= before:
            return None
        return (done - before) / (seconds - began)


def rate_text(rate: float) -> str:
    """Task instances per second, or per minute where that reads better."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 0.5 else f"{rate * 60:.1f}/min"
