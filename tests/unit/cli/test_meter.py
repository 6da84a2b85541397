"""Progress arithmetic: what is done, how fast, how long it will take."""

import pytest

from tailrace.cli.meter import Meter, rate_text
from tailrace.cli.progress import progress_line
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.runtime.listeners import Progress

RUN, TASK = DagRunState, TaskInstanceState


def progress(seconds: float, success: int, *, queued_runs: int = 5) -> Progress:
    return Progress(
        runs={RUN.SUCCESS: 3, RUN.FAILED: 1, RUN.RUNNING: 1, RUN.QUEUED: queued_runs},
        task_instances={TASK.SUCCESS: success, TASK.FAILED: 1, TASK.RUNNING: 2, TASK.NONE: 4},
        tasks_per_run=6,
        seconds=seconds,
    )


def test_counts() -> None:
    reading = Meter().read(progress(1.0, 13))
    assert (reading.runs_done, reading.runs) == (4, 10)
    assert (reading.tasks_done, reading.tasks) == (14, 20 + 5 * 6)
    assert (reading.running, reading.failed) == (2, 1)
    assert reading.rate is None and reading.left is None


def test_rate_and_rest_are_of_this_job_alone() -> None:
    meter = Meter()
    meter.read(progress(0.0, 13))
    reading = meter.read(progress(2.0, 17))
    assert reading.rate == pytest.approx(2.0)
    assert reading.left == pytest.approx((reading.tasks - 18) / 2.0)


def test_rate_follows_the_last_minute() -> None:
    meter = Meter()
    for second in range(100):
        meter.read(progress(float(second), 13))  # a slow beginning
    for second in range(100, 200):
        reading = meter.read(progress(float(second), 13 + (second - 99) * 10))
    assert reading.rate == pytest.approx(10.0)


def test_nothing_left_over_when_more_is_done_than_expected() -> None:
    reading = Meter().read(Progress({RUN.SUCCESS: 1}, {TASK.SUCCESS: 6}, 6, 0.4))
    assert reading.tasks_done == reading.tasks == 6


def test_line() -> None:
    meter = Meter()
    meter.read(progress(0.0, 13))
    assert progress_line(meter.read(progress(20.0, 33, queued_runs=1))) == (
        "4/6 runs, 34/46 task instances, 2 running, 1 failed, 1.0/s, 20 s elapsed, about 12 s left"
    )


@pytest.mark.parametrize(("rate", "text"), [(1234.4, "1,234/s"), (10, "10/s"), (2.25, "2.2/s"), (0.1, "6.0/min")])
def test_rate_as_text(rate: float, text: str) -> None:
    assert rate_text(rate) == text
