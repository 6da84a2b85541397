"""A task may close, replace and redirect whatever it likes: that costs no success where the outcome can be told."""

import time
from pathlib import Path

import pytest

from tailrace.effects.tries import TryOutcome
from tailrace.execution.messages.tries import CANNOT_TELL
from tailrace.model.outcomes import OutcomeKind
from tests.acceptance.execution.conftest import NewBench

SUCCESS = TryOutcome(OutcomeKind.SUCCESS)

TASKS = """
import io, socket
def to_file(): return open("mine", "w")
class Broken:
    def write(self, text): raise RuntimeError("no")
    def flush(self): raise RuntimeError("no")
    def __hash__(self): raise RuntimeError("no")
    def __eq__(self, other): raise RuntimeError("no")
@work
def closes_standard():
    for number in (0, 1, 2): os.close(number)
@work
def closes_objects():
    for each in (sys.stdout, sys.stderr, sys.stdin): each.close()
@work
def closes_other_objects():
    for each in (sys.__stdout__, sys.__stderr__, sys.stdout.buffer): each.close()
@work
def none():
    sys.stdout = sys.stderr = sys.stdin = None
@work
def broken():
    sys.stdout = sys.stderr = Broken()
@work
def deleted():
    del sys.stdout, sys.stderr
@work
def in_memory():
    sys.stdout = sys.stderr = io.StringIO()
@work
def replaced():
    sys.stdout = to_file()
    print("mine", end="")
@work
def redirected():
    os.dup2(os.open("mine", os.O_WRONLY | os.O_CREAT), 1)
    os.dup2(1, 2)
    print("mine", end="")
@work
def reused():
    os.close(1)
    assert os.open("mine", os.O_WRONLY | os.O_CREAT) == 1
    print("mine", end="")
@work
def reads_no_input():
    assert os.read(0, 10) == b""
@work
def moves_its_log_away():
    os.unlink(os.readlink("/proc/self/fd/1"))
@work
def replaced_and_fails():
    sys.stdout = sys.stderr = to_file()
    raise ValueError("into the log")
BashOperator(task_id="bash", dag=dag, bash_command="exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- >&- 2>&- <&-; sleep 0.1")

@work
def closes_all(): os.closerange(3, 256)
@work
def closes_all_and_goes_on():
    os.closerange(3, 256)
    time.sleep(1000)
@work
def closes_all_and_pulls(ti):
    os.closerange(3, 256)
    ti.xcom_pull("other")
@work
def becomes_another_program():
    os.execvp("sleep", ["sleep", "1000"])
@work
def opens_others_in_their_place():
    os.closerange(3, 256)
    pairs = [socket.socketpair() for _ in range(10)]
    read = os.dup(pairs[0][0].fileno())
    os.set_blocking(read, False)
    def heard():
        for pair in pairs:
            for end in pair:
                end.setblocking(False)
                try: open("heard", "ab").write(end.recv(1000))
                except BlockingIOError: pass
    import threading
    def later():
        time.sleep(0.1)
        heard()
    if os.fork() == 0:
        time.sleep(1.0)
        heard()
        os._exit(0)
"""

TELLING = (
    "closes_standard closes_objects closes_other_objects none broken deleted in_memory replaced redirected reused "
    "reads_no_input moves_its_log_away bash"
).split()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's folder as the working folder: of the tasks too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("isolation", ["fork", "spawn", "worker"])
def test_no_change_of_its_streams_costs_a_success(bench: NewBench, here: Path, isolation: str) -> None:
    """Nor do lines of ours go anywhere but into the log."""
    desk = bench(TASKS, isolation)
    for task_id in TELLING:
        outcome = desk.run(task_id)
        assert (outcome.kind, outcome.error) == (OutcomeKind.SUCCESS, ""), task_id
        if task_id != "moves_its_log_away":
            assert desk.log(task_id).rstrip().endswith("--- success"), task_id
        if task_id in ("replaced", "redirected", "reused"):
            assert (here / "mine").read_text() == "mine"
            (here / "mine").unlink()


def test_an_error_is_in_the_log_wherever_the_task_sends_its_output(bench: NewBench, here: Path) -> None:
    desk = bench(TASKS)
    assert desk.run("replaced_and_fails").error == "ValueError: into the log"
    assert desk.log("replaced_and_fails").endswith("ValueError: into the log\n--- failed: ValueError: into the log\n")
    assert (here / "mine").read_text() == ""


@pytest.mark.parametrize(
    "task_id",
    [
        "closes_all",
        "closes_all_and_goes_on",
        "closes_all_and_pulls",
        "becomes_another_program",
        "opens_others_in_their_place",
    ],
)
def test_a_task_that_cannot_report_its_outcome_fails_at_once(bench: NewBench, here: Path, task_id: str) -> None:
    desk = bench(TASKS, grace=60.0)
    began = time.monotonic()
    assert desk.run(task_id) == CANNOT_TELL
    assert time.monotonic() - began < 30, "nothing waited for a lease or a grace"
    assert not (here / "heard").exists() or (here / "heard").read_bytes() == b""
