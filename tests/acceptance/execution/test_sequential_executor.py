"""SequentialExecutor: one try at a time, stepped by the job's own waits."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tailrace.effects.tries import Submission
from tailrace.execution.sequential import SequentialExecutor
from tailrace.execution.worker import worker_loop
from tailrace.execution.zygote import start_zygote
from tests.acceptance.execution.answering import Ledger, answering
from tests.acceptance.execution.conftest import HEAD, submission
from tests.acceptance.execution.test_local_executor import TASKS, offers


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def wakeup() -> Iterator[tuple[int, int]]:
    pipe = os.pipe()
    yield pipe
    os.close(pipe[0])
    os.close(pipe[1])


@pytest.fixture
def executor(tmp_path: Path, ledger: Ledger, wakeup: tuple[int, int]) -> Iterator[SequentialExecutor]:
    (tmp_path / "dag.py").write_text(HEAD + TASKS)
    zygote = start_zygote(tmp_path / "dag.py", tmp_path / "home")
    made = SequentialExecutor(
        zygote, worker_loop(15.0), partial(answering, ledger), wakeup=wakeup[0], grace_seconds=5.0
    )
    yield made
    made.stop()
    zygote.stop()


def test_tries_run_one_after_another_by_importance(executor: SequentialExecutor, ledger: Ledger) -> None:
    executor.submit([Submission(n, submission("noop", n).key, priority=n % 3) for n in range(1, 7)])
    executor.submit(offers("noop", range(1, 7)))
    while executor.wait(5.0).busy:
        pass
    assert [number for _, number in ledger.of("success")] == [2, 5, 1, 4, 3, 6]
    words = [line[0] for line in ledger.lines()]
    assert words == ["claim", "success"] * 6


def test_a_task_is_a_process_of_its_own(executor: SequentialExecutor, ledger: Ledger) -> None:
    executor.submit([submission("crash"), submission("pulls")])
    while executor.wait(5.0).busy:
        pass
    assert (ledger.of("failed"), ledger.of("success")) == ([("crash", 1)], [("pulls", 1)])


def test_the_wait_ends_on_time_while_a_task_runs(executor: SequentialExecutor) -> None:
    executor.submit([submission("slow")])
    began = time.monotonic()
    woken = executor.wait(0.2)
    assert (woken.finished, woken.busy) == (0, 1)
    assert time.monotonic() - began < 0.9
    assert executor.wait(0).busy == 1
    assert executor.wait(5.0).finished == 1


def test_a_signal_ends_the_wait(executor: SequentialExecutor, wakeup: tuple[int, int]) -> None:
    for task_ids in ([], ["endless"]):
        executor.submit([submission(task_id) for task_id in task_ids])
        os.write(wakeup[1], b"!")
        began = time.monotonic()
        executor.wait(30.0)
        assert time.monotonic() - began < 10


def test_drain_forgets_what_has_not_begun_and_terminate_ends_the_rest(
    executor: SequentialExecutor, ledger: Ledger
) -> None:
    executor.submit([submission("endless"), *offers("noop", range(1, 4))])
    executor.wait(0.3)
    executor.drain()
    assert executor.wait(0).busy == 1
    executor.terminate()
    while executor.wait(5.0).busy:
        pass
    assert ledger.of("lost") == [("endless", 1)]
    assert ledger.of("success") == []
