"""A running try that must end is asked first: all of its group may clean up for a while, and only then is killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from tailrace.effects.requests import KillTask, Parked, StillRunning, StopTask
from tailrace.effects.tries import TryOutcome
from tailrace.execution.system.identity import Life, end_groups, life_of
from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.execution.conftest import Bench, NewBench, alive, eventually, pid_in

STOPPED = TryOutcome(OutcomeKind.LOST, "stopped as a person asked")

TASKS = """
import contextlib
def began(): open("began", "w").write(f"{os.getpid()}\\n")
def clean(seconds=0.0):
    time.sleep(seconds)
    open("cleaned", "w").write("cleaned")
@work
def python():
    with contextlib.ExitStack() as stack:
        stack.callback(clean)
        began()
        time.sleep(1000)
@work
def coroutine():
    import asyncio
    async def main():
        try:
            began()
            await asyncio.sleep(1000)
        finally:
            clean()
    asyncio.run(main())
@work
def takes_long():
    try:
        began()
        time.sleep(1000)
    finally:
        clean(6)
@work
def goes_on():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    began()
    time.sleep(1000)
@work
def seems_well():
    try:
        began()
        time.sleep(1000)
    except BaseException:
        clean()
@work
def with_a_child():
    child = "trap 'sleep 1; echo -n cleaned > cleaned; exit 0' TERM; echo $$ > began; sleep 1000 & wait"
    subprocess.Popen(["bash", "-c", child]).wait()
def move():
    os.setpgid(0, os.getpgid(os.getppid()))
@work
def moved():
    move()
    try:
        began()
        time.sleep(1000)
    finally:
        clean()
@work
def moved_and_goes_on():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    move()
    began()
    time.sleep(1000)
@work
def in_a_session_of_its_own():
    move()
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    began()
    time.sleep(1000)
cleaning = "trap 'sleep 0.5; echo -n cleaned > cleaned; exit 1' TERM; echo $$ > began; sleep 1000 & wait"
BashOperator(task_id="bash", cwd=os.getcwd(), dag=dag, bash_command=cleaning)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder as the working folder: of the tasks too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(desk: Bench, task_id: str) -> tuple[Parked, int]:
    """The parked process of a task, and the pid it has written, once its code runs."""
    Path("began").unlink(missing_ok=True)
    parked = desk.start(task_id)
    return parked, pid_in(Path("began"))


def gone(parked: Parked) -> bool:
    return parked.task is not None and life_of(parked.task) is Life.DEAD


@pytest.mark.parametrize(
    ("task_id", "isolation"),
    [
        *((each, "fork") for each in ("python", "coroutine", "seems_well", "with_a_child", "moved", "bash")),
        *((each, "spawn") for each in ("python", "with_a_child", "bash")),
        *((each, "worker") for each in ("python", "seems_well", "bash")),
    ],
)
def test_a_try_that_must_stop_may_clean_up(bench: NewBench, here: Path, task_id: str, isolation: str) -> None:
    """Whatever it says of itself meanwhile, it was stopped; and that is told once nothing of it runs."""
    desk = bench(TASKS, isolation)
    parked, pid = begun(desk, task_id)
    desk.port.stop(StopTask())
    assert desk.outcome() == STOPPED
    assert gone(parked) and not alive(pid)
    assert (here / "cleaned").read_text() == "cleaned"


@pytest.mark.parametrize("task_id", ["goes_on", "moved_and_goes_on", "in_a_session_of_its_own"])
def test_one_that_does_not_end_is_killed_when_the_grace_is_over(bench: NewBench, task_id: str) -> None:
    desk = bench(TASKS, grace=0.5)
    parked, _ = begun(desk, task_id)
    began = time.monotonic()
    desk.port.stop(StopTask())
    assert desk.outcome() == STOPPED
    assert time.monotonic() - began >= 0.5
    assert gone(parked)


def test_the_lease_is_renewed_while_a_try_cleans_up(bench: NewBench, here: Path) -> None:
    desk = bench(TASKS, grace=30.0)
    desk.lease_seconds = 5.0
    begun(desk, "takes_long")
    desk.port.stop(StopTask())
    renewals = 0
    while isinstance(news := desk.news(1.0), StillRunning):
        renewals += 1
    assert news == STOPPED and renewals >= 3
    assert (here / "cleaned").exists()


@pytest.mark.parametrize("who", ["worker", "zygote"])
@pytest.mark.parametrize("task_id", ["takes_long", "goes_on"])
def test_who_is_gone_meanwhile_takes_the_try_along(bench: NewBench, here: Path, task_id: str, who: str) -> None:
    desk = bench(TASKS, grace=60.0)
    parked, _ = begun(desk, task_id)
    desk.port.stop(StopTask())
    if who == "worker":
        desk.port.close()
    else:
        os.kill(desk.zygote.pid, signal.SIGKILL)
    eventually(lambda: gone(parked))
    assert not (here / "cleaned").exists()


def test_a_third_interrupt_waits_for_nobody(bench: NewBench) -> None:
    desk = bench(TASKS, grace=60.0)
    parked, _ = begun(desk, "goes_on")
    desk.orders.say_terminate()
    assert isinstance(desk.news(0.1), StillRunning)
    desk.orders.say_terminate(at_once=True)
    assert desk.outcome() == TryOutcome(OutcomeKind.LOST, "terminated by a second interrupt")
    assert gone(parked)


@pytest.mark.parametrize("task_id", ["goes_on", "moved_and_goes_on"])
def test_what_is_killed_without_asking_is_killed_wherever_it_has_moved(bench: NewBench, task_id: str) -> None:
    desk = bench(TASKS)
    parked, _ = begun(desk, task_id)
    desk.port.kill(KillTask())
    assert gone(parked)
    parked, _ = begun(desk, task_id)
    assert parked.task is not None
    end_groups([parked.task])
    assert gone(parked), "a job that has found its lease run out ends it before it says so"
