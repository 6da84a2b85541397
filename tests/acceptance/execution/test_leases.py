"""A try is ended before its lease can be taken by somebody else, whichever of our processes is stopped or gone."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import FindLost, StartTask, StillRunning, WaitResult
from tailrace.effects.tries import TryOutcome
from tailrace.execution.system.identity import end_groups, identity_of, kill_group, own_identity
from tailrace.metastore.store import Metastore
from tailrace.model.keys import ProcessIdentity
from tailrace.model.outcomes import OutcomeKind
from tailrace.planning.snapshot import Holder
from tailrace.runtime.driver import JobDriver
from tailrace.runtime.signals import Interrupts
from tests.acceptance.execution.conftest import (
    Bench,
    NewBench,
    alive,
    claim_of,
    eventually,
    pid_in,
    stop_hard,
    submission,
)

#: A tenth of it is left when a task is ended: enough for a machine that is busy with other things.
LEASE = 8.0
TASKS = """
@work
def family():
    child = subprocess.Popen(["bash", "-c", "trap '' TERM HUP INT IO; sleep 1000 & echo $! > grandchild; wait"])
    open("child", "w").write(f"{child.pid}\\n")
    time.sleep(1000)
@work
def noop(): pass
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder as the working folder: of the tasks too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Family:
    """A running try whose process has a child, and that one a child too, all in one group."""

    def __init__(self, desk: Bench, here: Path) -> None:
        parked = desk.start("family")
        self.started = time.monotonic()
        assert parked.task is not None
        self.leader = parked.task
        self.pids = [self.leader.pid, pid_in(here / "child"), pid_in(here / "grandchild")]
        assert all(map(alive, self.pids))

    def stop(self) -> None:
        os.killpg(self.leader.pid, signal.SIGSTOP)

    def ends(self, within: float) -> None:
        """All of it must be over by then, counted from its start."""
        eventually(lambda: not any(map(alive, self.pids)), within=self.started + within - time.monotonic())


@pytest.fixture
def family(bench: NewBench, here: Path) -> Iterator[Callable[..., tuple[Bench, Family]]]:
    """``family(isolation="fork")``: the desk and its running family."""
    desks, families = [], []

    def new(isolation: str = "fork") -> tuple[Bench, Family]:
        desk = bench(TASKS, isolation)
        assert desk.run("noop").kind is OutcomeKind.SUCCESS  # an interpreter's start is no part of a lease
        desk.lease_seconds = LEASE
        desks.append(desk)
        families.append(Family(desk, here))
        return desk, families[-1]

    yield new
    for desk in desks:
        with suppress(ProcessLookupError):
            os.kill(desk.zygote.pid, signal.SIGCONT)
    for each in families:
        for pid in each.pids:
            stop_hard(pid)


MakeFamily = Callable[..., tuple[Bench, Family]]


def test_a_worker_stopped_right_after_it_sent_the_order(family: MakeFamily) -> None:
    """It never came to wait for its task: the deadline was told before the task began."""
    _, run = family()
    run.ends(within=LEASE)


@pytest.mark.parametrize("isolation", ["fork", "spawn", "worker"])
def test_worker_and_zygote_stopped_together(family: MakeFamily, isolation: str) -> None:
    """No process of ours can act: the kernel ends the zygote, and with it the whole group."""
    desk, run = family(isolation)
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    run.ends(within=LEASE)
    eventually(lambda: not alive(desk.zygote.pid), within=LEASE)


def test_everything_stopped_at_once(family: MakeFamily) -> None:
    """The task's own processes too: nothing of them runs again when all are continued."""
    desk, run = family()
    run.stop()
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    run.ends(within=LEASE)


def test_a_zygote_stopped_before_it_knew_the_task(bench: NewBench, here: Path) -> None:
    desk = bench(TASKS)
    assert desk.run("noop").kind is OutcomeKind.SUCCESS
    desk.lease_seconds = 15.0
    parked = desk.park("family")
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    desk.start("family")
    assert parked.task is not None
    pids = [parked.task.pid, pid_in(here / "child"), pid_in(here / "grandchild")]
    eventually(lambda: not any(map(alive, pids)), within=10.0)


def test_a_zygote_that_is_held_up_gives_no_more_time(bench: NewBench, here: Path) -> None:
    desk = bench(TASKS)
    assert desk.run("noop").kind is OutcomeKind.SUCCESS
    desk.lease_seconds = LEASE
    parked = desk.park("family")
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    desk.start("family")
    began = time.monotonic()
    assert parked.task is not None
    pids = [parked.task.pid, pid_in(here / "child"), pid_in(here / "grandchild")]
    time.sleep(began + 1.0 - time.monotonic())
    os.kill(desk.zygote.pid, signal.SIGCONT)
    eventually(lambda: not any(map(alive, pids)), within=began + LEASE - time.monotonic())


def test_a_try_whose_lease_is_over_is_never_begun(bench: NewBench, here: Path) -> None:
    desk = bench(TASKS + '@work\ndef begins(): open("begun", "w").close()\n')
    assert desk.run("noop").kind is OutcomeKind.SUCCESS
    desk.lease_seconds = 0.5
    parked = desk.park("begins")
    time.sleep(0.5)
    desk.port.start(StartTask(claim_of(submission("begins")), parked.task_spec, desk.lease_seconds))
    assert desk.outcome().kind is OutcomeKind.LOST
    assert not (here / "begun").exists()


def test_what_waits_for_another_try_is_no_reason_to_end_a_running_one(bench: NewBench) -> None:
    """A process kept for the next bash had a deadline that passed, and a zygote stopped just then died for it."""
    tasks = 'BashOperator(task_id="shell", bash_command="true", dag=dag)\n@work\ndef long(): time.sleep(8.2)\n'
    desk = bench(tasks)
    desk.lease_seconds = 8.0
    assert desk.run("shell").kind is OutcomeKind.SUCCESS
    zygote = desk.zygote.pid
    held_up = f"sleep 7.4; kill -STOP {zygote}; sleep 0.35; kill -CONT {zygote}"
    with subprocess.Popen(["bash", "-c", held_up]):
        desk.start("long")
        while isinstance(news := desk.news(1.0), StillRunning):
            pass
        assert isinstance(news, TryOutcome) and news.kind is OutcomeKind.SUCCESS, news


def test_a_zygote_that_has_nothing_to_do_lives(bench: NewBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.execution.zygote.server._SILENT_SECONDS", 0.5)
    desk = bench(TASKS)
    time.sleep(1.5)
    assert desk.run("noop").kind is OutcomeKind.SUCCESS


@pytest.mark.parametrize("isolation", ["fork", "spawn", "worker"])
def test_a_dead_zygote_leaves_no_task_running(family: MakeFamily, isolation: str) -> None:
    desk, run = family(isolation)
    os.kill(desk.zygote.pid, signal.SIGKILL)
    run.ends(within=LEASE / 2)


@pytest.mark.parametrize(("late", "kind"), [(True, OutcomeKind.LOST), (False, OutcomeKind.FAILED)])
def test_a_task_killed_by_others_after_its_deadline_is_lost_not_failed(
    family: MakeFamily, monkeypatch: pytest.MonkeyPatch, late: bool, kind: OutcomeKind
) -> None:
    """A job that found the lease run out was faster than the zygote: that spends no retry."""
    desk, run = family()
    if late:
        monkeypatch.setattr("tailrace.execution.system.lease_clock._DEADLINE_PART", 0.0)
    kill_group(run.leader)
    assert desk.outcome().kind is kind


# --- what a job does before it declares a try of this host lost ---------------------------------------------


@pytest.fixture
def find_lost(tmp_path: Path) -> Iterator[Callable[..., frozenset[int]]]:
    """The driver's own answer to FindLost."""
    metastore = Metastore.open(f"sqlite:///{tmp_path}/metastore.sqlite")
    nobody: Any = None
    driver = JobDriver(
        metastore,
        nobody,
        Interrupts(),
        own_identity(),
        LEASE,
        plenty=1,
        on_event=lambda note: None,
        watch=lambda woken: cast(WaitResult, None),
    )
    yield lambda held, expired: driver.perform(FindLost(held, expired))
    metastore.close()


def test_an_expired_lease_of_this_host_is_ended_first(family: MakeFamily, find_lost: Any) -> None:
    """The worker (this very process) lives, and everything else is stopped: the group is over before the answer."""
    desk, run = family()
    run.stop()
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    assert find_lost((), ((7, Holder(own_identity(), run.leader)),)) == frozenset()
    assert not any(map(alive, run.pids))


def test_a_holder_of_another_host_is_left_to_it(family: MakeFamily, find_lost: Any) -> None:
    _, run = family()
    elsewhere = ProcessIdentity("elsewhere", "boot", os.getpid(), 1)
    task = replace(run.leader, host="elsewhere", boot_id="boot")
    held = ((7, Holder(elsewhere, task)),)
    assert find_lost(held, held) == frozenset()
    assert all(map(alive, run.pids))


@pytest.mark.parametrize(
    "other", [{"namespace": "pid:[1]"}, {"namespace": ""}, {"boot_id": "another"}, {"start_time": 0}]
)
def test_a_worker_that_cannot_be_seen_from_here_is_left_to_its_lease(
    family: MakeFamily, find_lost: Any, other: dict[str, Any]
) -> None:
    """It may be in another container of this host, or on another host of this name, with the same pid as anybody's."""
    _, run = family()
    worker = replace(own_identity(), pid=2**22 - 1, **other)
    held = ((7, Holder(worker, replace(run.leader, **other))),)
    assert find_lost(held, held) == frozenset()
    assert all(map(alive, run.pids))


def test_a_dead_workers_task_is_over_before_it_is_called_lost(family: MakeFamily, find_lost: Any) -> None:
    desk, run = family()
    worker = own_identity()
    dead = replace(worker, start_time=worker.start_time - 1)
    os.kill(desk.zygote.pid, signal.SIGSTOP)  # its zombies are nobody's to reap
    assert find_lost(((7, Holder(dead, run.leader)),), ()) == {7}
    assert not any(map(alive, run.pids))


def test_a_group_whose_leader_is_gone_is_ended_too(family: MakeFamily) -> None:
    desk, run = family()
    os.kill(desk.zygote.pid, signal.SIGSTOP)
    os.kill(run.leader.pid, signal.SIGKILL)
    eventually(lambda: not alive(run.leader.pid))
    assert all(map(alive, run.pids[1:]))
    end_groups([run.leader])
    assert not any(map(alive, run.pids))


def test_a_pid_that_is_somebody_elses_by_now_is_spared(family: MakeFamily) -> None:
    _, run = family()
    now = identity_of(run.leader.pid)
    assert now is not None
    end_groups([replace(now, start_time=now.start_time - 1)])
    assert all(map(alive, run.pids))


def test_messages_go_on_while_the_lease_is_renewed(family: MakeFamily) -> None:
    desk, run = family()
    until = run.started + 1.4 * LEASE
    while time.monotonic() < until:
        assert isinstance(desk.news(LEASE / 3), StillRunning)
    assert all(map(alive, run.pids))
