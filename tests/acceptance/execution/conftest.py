"""Real processes without a metastore: a zygote over a DAG file written by the test, and one worker's port to it."""

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tailrace.effects.requests import AwaitTask, Parked, ParkTask, StartTask, StillRunning
from tailrace.effects.tries import Claim, Submission, TryOutcome, XComQuery
from tailrace.execution.logs.files import log_path
from tailrace.execution.workers.task_runner import TaskRunner
from tailrace.execution.zygote.handle import ZygoteHandle, start_zygote
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import TaskInstanceKey, TryKey

DAY = datetime(2016, 1, 1, tzinfo=UTC)

HEAD = """
import os, signal, subprocess, sys, time
from datetime import datetime, timedelta
from tailrace import DAG, BashOperator, EmptyOperator, PythonOperator, task

dag = DAG("d", schedule="@daily", start_date=datetime(2016, 1, 1))

def work(function):
    PythonOperator(task_id=function.__name__, python_callable=function, dag=dag)
    return function
"""


def submission(task_id: str, try_number: int = 1, id: int = 1) -> Submission:
    """The offer of one try of a task."""
    return Submission(id, TryKey(TaskInstanceKey("d", "run", task_id), try_number))


def claim_of(offer: Submission, **changes: Any) -> Claim:
    """A won claim of an offered try."""
    facts: dict[str, Any] = {
        "id": offer.id,
        "key": offer.key,
        "token": 1,
        "max_tries": 1,
        "lost_tries": 0,
        "logical_date": DAY,
        "data_interval": DataInterval(DAY, DAY + timedelta(days=1)),
        "run_type": "backfill",
        "run_conf": {},
        "disable_retry": False,
        "mark_success": False,
        "started_at": DAY,
    }
    return Claim(**{**facts, **changes})


@dataclass
class OneWorker:
    """The orders of a job to one worker, given by the test through a pipe."""

    pipe: tuple[int, int] = field(default_factory=os.pipe)
    told: bool = False
    at_once: bool = False

    def fileno(self) -> int:
        return self.pipe[0]

    def terminate(self) -> bool:
        if select.select([self.pipe[0]], [], [], 0)[0]:
            self.at_once = self.at_once or os.read(self.pipe[0], 1) == b"9"
            self.told = True
        return self.told

    def say_terminate(self, *, at_once: bool = False) -> None:
        os.write(self.pipe[1], b"9" if at_once else b"!")


@dataclass
class Bench:
    """A zygote and one worker's port: parks, starts and awaits tries of the test's DAG file."""

    zygote: ZygoteHandle
    port: TaskRunner
    home: Path
    orders: OneWorker = field(default_factory=OneWorker)
    lease_seconds: float = 15.0

    def park(self, task_id: str, try_number: int = 1) -> Parked:
        parked = self.port.park(ParkTask(submission(task_id, try_number)))
        assert parked is not None
        return parked

    def start(self, task_id: str, try_number: int = 1, **changes: Any) -> Parked:
        """Park and let go."""
        parked = self.park(task_id, try_number)
        claim = claim_of(submission(task_id, try_number), **changes)
        self.port.start(StartTask(claim, parked.task_spec, self.lease_seconds))
        return parked

    def news(self, seconds: float) -> TryOutcome | XComQuery | StillRunning | None:
        return self.port.wait(AwaitTask(seconds), self.orders)

    def outcome(self, within: float = 30.0) -> TryOutcome:
        """The outcome of what runs; it must come."""
        until = time.monotonic() + within
        while True:
            news = self.news(5.0)
            if isinstance(news, TryOutcome):
                return news
            assert isinstance(news, StillRunning), f"expected an outcome, found {news}"
            assert time.monotonic() < until, "no outcome came"

    def run(self, task_id: str, try_number: int = 1, **changes: Any) -> TryOutcome:
        self.start(task_id, try_number, **changes)
        return self.outcome()

    def log(self, task_id: str, try_number: int = 1) -> str:
        """The log of a try, without how long that took: no two tries take the same time."""
        text = log_path(self.home, submission(task_id, try_number).key).read_text()
        return re.sub(r"(?m)^(--- [a-z ]+) after [0-9:.]+(?: s)?", r"\1", text)


NewBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[NewBench]:
    """``bench(tasks, isolation="fork", grace=5.0)``: a zygote that has loaded a DAG ``d`` with these tasks."""
    made: list[Bench] = []

    def new(tasks: str, isolation: str = "fork", grace: float = 5.0) -> Bench:
        file = tmp_path / "dag.py"
        file.write_text(HEAD + tasks)
        zygote = start_zygote(file, tmp_path / "home", isolation=isolation)
        report = zygote.loaded()
        assert report.mistakes == ()
        port = TaskRunner(zygote.connect(), report.specs, report.reusable, grace)
        made.append(Bench(zygote, port, tmp_path / "home"))
        return made[-1]

    yield new
    for each in made:
        each.port.close()
        each.zygote.stop()
        for descriptor in each.orders.pipe:
            os.close(descriptor)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def eventually(condition: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until it holds; fail if it does not in time."""
    until = time.monotonic() + within
    while True:
        looked_at = time.monotonic()  # before it looks: a test that is held up meanwhile has not seen it late
        if condition():
            return
        assert looked_at < until, "it never came about"
        time.sleep(0.01)


def pid_in(path: Path) -> int:
    """The pid a process has written to a file, once it is there."""
    eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def stop_hard(pid: int) -> None:
    """Kill -9, if it still runs."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
