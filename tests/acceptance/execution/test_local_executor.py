"""LocalExecutor with real workers: every try offered is run or given back, whoever dies meanwhile."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tailrace.effects.tries import Submission
from tailrace.errors import EnvironmentBroken, InternalError
from tailrace.execution.executors.local import LocalExecutor
from tailrace.execution.workers.worker_channel import WorkerChannel
from tailrace.execution.zygote.handle import start_zygote
from tailrace.model.keys import TryKey
from tests.acceptance.execution.conftest import HEAD, alive, eventually, submission
from tests.acceptance.execution.ledger import Ledger, Working

TASKS = """
@work
def noop(): pass
@work
def slow(): time.sleep(1.0)
@work
def endless(): time.sleep(1000)
@work
def crash(): os._exit(1)
@work
def pulls(ti):
    assert ti.xcom_pull("other") == "OTHER"
"""

Make = Callable[..., LocalExecutor]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def wakeup() -> Iterator[tuple[int, int]]:
    """The pipe by which a signal handler wakes the job."""
    pipe = os.pipe()
    yield pipe
    os.close(pipe[0])
    os.close(pipe[1])


@pytest.fixture
def executor(tmp_path: Path, ledger: Ledger, wakeup: tuple[int, int]) -> Iterator[Make]:
    """``executor(workers=2, worker_main=…, before_fork=…)`` over the tasks above."""
    made = []

    def new(
        workers: int = 2,
        worker_main: Callable[[WorkerChannel], None] | None = None,
        before_fork: Callable[[], None] = lambda: None,
    ) -> LocalExecutor:
        file = tmp_path / "dag.py"
        file.write_text(HEAD + TASKS)
        zygote = start_zygote(file, tmp_path / "home")
        main = worker_main or Working(ledger)
        executor = LocalExecutor(workers, zygote, main, before_fork=before_fork, wakeup=wakeup[0], grace_seconds=5.0)
        made.append((executor, zygote))
        return executor

    yield new
    for each, zygote in made:
        each.terminate()
        each.stop()
        zygote.stop()


def offers(task_id: str, numbers: range) -> list[Submission]:
    return [submission(task_id, number, id=number) for number in numbers]


def run_all(executor: LocalExecutor, within: float = 30.0) -> int:
    """Wait until nothing is in hand; how many tries ended."""
    finished, until = 0, time.monotonic() + within
    while True:
        woken = executor.wait(1.0)
        finished += woken.finished
        if not woken.busy:
            return finished
        assert time.monotonic() < until, f"{woken.busy} tries are still in hand"


def workers_of(executor: LocalExecutor) -> list[int]:
    return [worker.pid for worker in executor._workers]


def test_every_try_is_run_once(executor: Make, ledger: Ledger) -> None:
    local = executor()
    local.submit(offers("noop", range(1, 41)))
    local.submit(offers("noop", range(1, 41)))  # in hand already
    assert run_all(local) == 40
    assert sorted(ledger.of("success")) == [("noop", number) for number in range(1, 41)]
    assert len({line[3] for line in ledger.lines()}) == 2


def test_a_crash_of_a_task_costs_its_try_alone(executor: Make, ledger: Ledger) -> None:
    local = executor()
    local.submit([*offers("crash", range(1, 4)), *offers("pulls", range(1, 4))])
    assert run_all(local) == 6
    assert sorted(ledger.of("failed")) == [("crash", 1), ("crash", 2), ("crash", 3)]
    assert len(ledger.of("success")) == 3


def test_the_most_important_goes_first(executor: Make, ledger: Ledger) -> None:
    local = executor(workers=1)
    waiting = [Submission(n, submission("noop", n).key, priority=n) for n in range(1, 11)]
    local.submit(waiting)
    run_all(local)
    assert [number for _, number in ledger.of("success")] == list(range(10, 0, -1))


def test_a_killed_worker_is_replaced_and_its_try_can_be_offered_again(executor: Make, ledger: Ledger) -> None:
    local = executor()
    local.submit([submission("endless"), *offers("noop", range(1, 21))])
    eventually(lambda: ("endless", 1) in ledger.of("claim"))
    victim = next(int(line[3]) for line in ledger.lines() if line[:2] == ("claim", "endless"))
    os.kill(victim, signal.SIGKILL)
    lost = False
    while not lost:
        lost = local.wait(5.0).worker_lost
    run_all(local)
    assert len(ledger.of("success")) == 20
    assert victim not in workers_of(local) and len(workers_of(local)) == 2
    local.submit([submission("endless")])
    eventually(lambda: ledger.of("claim").count(("endless", 1)) == 2)


def test_the_job_lets_go_of_its_connection_before_each_fork(executor: Make) -> None:
    forks: list[int] = []
    local = executor(before_fork=lambda: forks.append(1))
    assert len(forks) == 2
    os.kill(workers_of(local)[0], signal.SIGKILL)
    while not local.wait(5.0).worker_lost:
        pass
    assert len(forks) == 3


def test_a_worker_that_cannot_be_started_ends_the_others(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they wait for the job, the zygote for them, and the job for the zygote."""
    (tmp_path / "dag.py").write_text(HEAD + TASKS)
    zygote = start_zygote(tmp_path / "dag.py", tmp_path / "home")
    zygote.loaded()
    fork, pids = os.fork, list[int]()

    def fork_twice() -> int:
        if len(pids) == 2:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        pids.append(fork())
        return pids[-1]

    monkeypatch.setattr(os, "fork", fork_twice)
    with pytest.raises(EnvironmentBroken, match="2 of 3 workers could be started"):
        LocalExecutor(3, zygote, Working(ledger), before_fork=lambda: None, wakeup=-1, grace_seconds=5.0)
    zygote.stop()
    assert not any(map(alive, pids))


def test_workers_that_keep_being_killed_lose_no_offer(executor: Make, ledger: Ledger) -> None:
    local = executor()
    everything = offers("noop", range(1, 61))
    local.submit(everything)
    until = time.monotonic() + 60
    kills = 0
    while len(set(ledger.of("success"))) < 60:
        woken = local.wait(0.05)
        if kills < 15 and not woken.worker_lost:
            os.kill(workers_of(local)[kills % 2], signal.SIGKILL)
            kills += 1
        done = set(ledger.of("success"))
        if not woken.busy:  # as the job does: what is still queued is offered again
            local.submit([each for each in everything if ("noop", each.key.try_number) not in done])
        assert time.monotonic() < until, f"{60 - len(done)} tries were never run"
    assert kills == 15


def test_a_try_that_died_with_its_worker_unannounced_is_given_back(
    executor: Make, ledger: Ledger, tmp_path: Path
) -> None:
    """Killed between taking the try and saying so: it must not stay in hand for ever."""
    died = tmp_path / "died"

    def dies_once(channel: WorkerChannel) -> None:
        if not died.exists():
            died.touch()
            channel._queue.recv(1 << 20)
            os.kill(os.getpid(), signal.SIGKILL)
        Working(ledger)(channel)

    local = executor(workers=1, worker_main=dies_once)
    local.submit([submission("noop")])
    while not local.wait(5.0).worker_lost:
        pass
    assert local.wait(0).busy == 0
    local.submit([submission("noop")])
    assert run_all(local) == 1


@pytest.mark.parametrize("when", ["before its workers", "with its workers", "at rest"])
def test_a_zygote_that_is_killed_is_followed_by_another(
    tmp_path: Path, ledger: Ledger, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dag.py").write_text(HEAD + TASKS)
    zygote = start_zygote(tmp_path / "dag.py", tmp_path / "home")
    zygote.loaded()
    messages: list[str] = []
    if when == "before its workers":
        os.kill(zygote.pid, signal.SIGKILL)
        eventually(zygote.has_ended)
    local = LocalExecutor(
        2, zygote, Working(ledger), before_fork=lambda: None, wakeup=-1, grace_seconds=5.0, notify=messages.append
    )
    if when == "with its workers":
        os.kill(zygote.pid, signal.SIGKILL)
    elif when == "at rest":
        local.submit(offers("noop", range(1, 11)))
        run_all(local)
        os.kill(zygote.pid, signal.SIGKILL)
        while not messages:
            local.wait(0.5)
    (tmp_path / "dag.py").write_text("what came later\n")
    local.submit(offers("noop", range(11, 41)))
    until = time.monotonic() + 30
    while len(ledger.of("success")) < (40 if when == "at rest" else 30):
        local.wait(0.5)
        assert time.monotonic() < until, messages
    assert messages == [
        "the process that starts tasks ended (killed by SIGKILL), with no try; another runs the code that was loaded"
    ]
    local.stop()
    zygote.stop()


def test_tries_that_are_lost_with_the_zygote_are_reported_before_another_can_begin(
    tmp_path: Path, ledger: Ledger
) -> None:
    (tmp_path / "dag.py").write_text(HEAD + TASKS)
    zygote = start_zygote(tmp_path / "dag.py", tmp_path / "home")
    together: list[TryKey] = []
    local = LocalExecutor(
        3,
        zygote,
        Working(ledger),
        before_fork=lambda: None,
        wakeup=-1,
        grace_seconds=5.0,
        lost_together=together.append,
    )
    local.submit(offers("endless", range(1, 3)))
    eventually(lambda: len(ledger.of("claim")) == 2)
    os.kill(zygote.pid, signal.SIGKILL)
    eventually(lambda: len(ledger.of("lost_together")) == 2)
    local.catch_up()
    assert sorted(key.try_number for key in together) == [1, 2]
    assert local.wait(0).worker_lost
    local.terminate()
    local.stop()
    zygote.stop()


def test_drain_gives_back_what_has_not_begun(executor: Make, ledger: Ledger) -> None:
    local = executor(workers=1)
    local.submit([Submission(1, submission("slow").key, priority=9), *offers("noop", range(1, 21))])
    eventually(lambda: ("slow", 1) in ledger.of("claim"))
    local.drain()
    assert local.wait(0).busy == 1
    assert run_all(local) == 1
    assert ledger.of("success") == [("slow", 1)]


def test_terminate_reports_what_runs_as_lost(executor: Make, ledger: Ledger) -> None:
    local = executor()
    local.submit(offers("endless", range(1, 3)))
    eventually(lambda: len(ledger.of("claim")) == 2)
    began = time.monotonic()
    local.drain()
    local.terminate()
    run_all(local)
    assert time.monotonic() - began < 5
    assert sorted(ledger.of("lost")) == [("endless", 1), ("endless", 2)]


def test_stop_sees_the_try_in_hand_through(executor: Make, ledger: Ledger) -> None:
    local = executor(workers=1)
    local.submit([submission("slow"), *offers("noop", range(1, 5))])
    eventually(lambda: ("slow", 1) in ledger.of("claim"))
    local.stop()
    assert ledger.of("success") == [("slow", 1)]


def test_a_signal_while_stopping_terminates(executor: Make, ledger: Ledger, wakeup: tuple[int, int]) -> None:
    local = executor()
    local.submit([submission("endless")])
    eventually(lambda: len(ledger.of("claim")) == 1)
    os.write(wakeup[1], b"!")
    local.stop()
    assert ledger.of("lost") == [("endless", 1)]


def test_a_signal_ends_the_wait(executor: Make, wakeup: tuple[int, int]) -> None:
    local = executor()
    os.write(wakeup[1], b"!")
    began = time.monotonic()
    assert local.wait(30.0).finished == 0
    assert time.monotonic() - began < 10


def test_workers_do_not_get_the_terminals_signals(executor: Make, ledger: Ledger) -> None:
    local = executor()
    local.submit([submission("slow")])
    eventually(lambda: len(ledger.of("claim")) == 1)
    for pid in workers_of(local):
        eventually(lambda pid=pid: os.getpgid(pid) == pid)  # type: ignore[misc]  # as soon as it has begun
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    run_all(local)
    assert ledger.of("success") == [("slow", 1)]


@pytest.mark.parametrize(("error", "raised"), [(EnvironmentBroken, EnvironmentBroken), (KeyError, InternalError)])
def test_workers_that_cannot_work_end_the_job_in_one_line(
    executor: Make, error: type[Exception], raised: type[Exception]
) -> None:
    def fails(channel: WorkerChannel) -> None:
        raise error("no such database")

    local = executor(worker_main=fails)
    with pytest.raises(raised, match="the workers cannot work: .*no such database") as failed:
        for _ in range(20):
            local.wait(5.0)
    assert "\n" not in str(failed.value)
    assert "Traceback" in failed.value.__notes__[0]


def test_a_worker_that_came_to_a_bad_end_is_reported(executor: Make, tmp_path: Path, ledger: Ledger) -> None:
    """Its try is lost and starts again, so nobody would hear of the reason otherwise."""
    failed = tmp_path / "failed"

    def fails_once(channel: WorkerChannel) -> None:
        if not failed.exists():
            failed.touch()
            raise KeyError("a bug")
        Working(ledger)(channel)

    local = executor(workers=1, worker_main=fails_once)
    messages: list[str] = []
    local._notify = messages.append
    while not local.wait(5.0).worker_lost:
        pass
    os.kill(workers_of(local)[0], signal.SIGKILL)
    while not local.wait(5.0).worker_lost:
        pass
    assert messages == [
        "a worker failed: KeyError: 'a bug'; another takes its place",
        "a worker was killed by SIGKILL; another takes its place",
    ]


def test_a_worker_whose_job_was_killed_reports_its_try_then_ends(tmp_path: Path, ledger: Ledger) -> None:
    """kill -9 of the job: the running try is seen through, nothing else is begun, and no process stays."""
    (tmp_path / "dag.py").write_text(HEAD + TASKS)
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tests.acceptance.execution.ledger import Ledger, Working\n"
        "from tests.acceptance.execution.conftest import submission\n"
        "from tailrace.execution.executors.local import LocalExecutor\n"
        "from tailrace.execution.zygote.handle import start_zygote\n"
        "folder = Path(sys.argv[1])\n"
        "zygote = start_zygote(folder / 'dag.py', folder / 'home')\n"
        "main = Working(Ledger(folder / 'ledger'))\n"
        "local = LocalExecutor(1, zygote, main, before_fork=lambda: None, wakeup=-1, grace_seconds=5.0)\n"
        "local.submit([submission('slow'), submission('noop')])\n"
        "print(zygote.pid, *[worker.pid for worker in local._workers], flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        pids = [int(pid) for pid in job.stdout.readline().split()]
        assert len(pids) == 2
        eventually(lambda: ("slow", 1) in ledger.of("claim"))
        job.kill()
    eventually(lambda: not any(map(alive, pids)))
    assert ledger.of("success") == [("slow", 1)]
    assert ledger.of("claim") == [("slow", 1)]


def test_a_stopped_worker_loses_its_task_and_reports_it(executor: Make, tmp_path: Path) -> None:
    """SIGSTOP beyond the lease: the zygote ends the task; SIGCONT: the worker reports it lost."""
    ledger = Ledger(tmp_path / "ledger")
    local = executor(workers=1, worker_main=Working(ledger, lease_seconds=1.0))
    local.submit([submission("endless")])
    eventually(lambda: len(ledger.of("claim")) == 1)
    (worker,) = workers_of(local)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(1.5)
    assert ledger.of("lost") == []
    os.kill(worker, signal.SIGCONT)
    assert run_all(local) == 1
    assert ledger.of("lost") == [("endless", 1)]
