"""``tailrace tasks test``: a task at this terminal, ended like a real try, and nothing of it stays behind."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import clean_environment
from tests.acceptance.execution.conftest import alive, eventually, pid_in

Run = Callable[..., subprocess.CompletedProcess[str]]

DAGS = """
import os, signal, time
from datetime import datetime, timedelta
from tailrace import DAG, BashOperator, task

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="late", bash_command="echo $$ > FOLDER/pid; sleep 60", execution_timeout=timedelta(seconds=1))
    BashOperator(task_id="leaves", bash_command="sleep 60 >/dev/null 2>&1 & echo $! > FOLDER/pid")
    waits = "sleep 60 & for i in {1..100}; do sleep 60 & done; echo $$ > FOLDER/pid; wait %1; echo > FOLDER/goes_on"
    BashOperator(task_id="waits", bash_command=waits)
    BashOperator(task_id="reads", bash_command="read -p 'what? ' said; echo heard $said")

    hides = "setsid -f sh -c 'echo $$ > FOLDER/pid; exec sleep 60' >/dev/null 2>&1; sleep 1"
    BashOperator(task_id="hides", bash_command=hides)

    @task(execution_timeout=timedelta(days=200000))
    def crashes():
        print("last words")
        os._exit(3)

    @task
    def seems_well():
        print("last words")
        os._exit(0)

    @task
    def is_killed():
        print("last words")
        os.kill(os.getpid(), signal.SIGKILL)

    @task(execution_timeout=timedelta(seconds=1))
    def goes_on():
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                time.sleep(60)
            except BaseException as asked:
                print("no:", type(asked).__name__)

    @task
    def changes_all():
        os.closerange(3, 256)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        with open("FOLDER/data", "w") as data:
            data.write("mine")

    @task
    def forks():
        if os.fork() == 0:
            raise ValueError("out of the child")
        os.wait()

    crashes()
    seems_well()
    is_killed()
    goes_on()
    changes_all()
    forks()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAGS.replace("FOLDER", str(tmp_path)))
    return tmp_path


def test_a_timeout_ends_the_whole_group_with_the_message_of_a_real_try(tailrace: Run, here: Path) -> None:
    began = time.monotonic()
    done = tailrace("tasks", "test", "d", "late", "2024-01-01")
    assert done.returncode == 1
    assert "failed: timed out after 0:00:01 (its execution_timeout)" in done.stderr
    assert time.monotonic() - began < 30
    assert not alive(pid_in(here / "pid"))


def test_what_a_task_leaves_behind_ends_with_it(tailrace: Run, here: Path) -> None:
    assert tailrace("tasks", "test", "d", "leaves", "2024-01-01").returncode == 0
    assert not alive(pid_in(here / "pid"))


def test_what_has_a_session_of_its_own_ends_as_well(tailrace: Run, here: Path) -> None:
    assert tailrace("tasks", "test", "d", "hides", "2024-01-01").returncode == 0
    assert not alive(pid_in(here / "pid"))


@pytest.mark.parametrize(
    ("task", "how"),
    [("crashes", "exited with code 3"), ("seems_well", "exited with code 0"), ("is_killed", "was killed by SIGKILL")],
)
def test_a_task_that_ends_its_process_has_failed_as_a_real_try(tailrace: Run, task: str, how: str) -> None:
    done = tailrace("tasks", "test", "d", task, "2024-01-01")
    assert (done.returncode, done.stdout) == (1, "last words\n")
    said = f"failed: the task's process ended without an outcome: it {how} (nothing was recorded)"
    assert done.stderr == f"{task} @ 2024-01-01T00:00+00:00: {said}\n"


def test_a_task_may_close_files_and_change_signals(tailrace: Run, here: Path) -> None:
    """With what it closes goes the way to tell its outcome, as in a real try."""
    done = tailrace("tasks", "test", "d", "changes_all", "2024-01-01")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "its code closed the connection to its worker" in done.stderr
    assert (here / "data").read_text() == "mine"


def test_a_timeout_ends_a_task_that_listens_to_nobody(tailrace: Run) -> None:
    began = time.monotonic()
    done = tailrace("tasks", "test", "d", "goes_on", "2024-01-01")
    assert done.returncode == 1
    assert "failed: timed out after 0:00:01 (its execution_timeout)" in done.stderr
    assert time.monotonic() - began < 30


def test_a_process_that_comes_out_of_the_task_goes_no_further(tailrace: Run) -> None:
    done = tailrace("tasks", "test", "d", "forks", "2024-01-01")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("(nothing was recorded)") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGHUP, -1)])
def test_whoever_asks_it_to_end_nothing_stays(here: Path, number: int, code: int) -> None:
    """And a script that waits for another does not go on because that one has been asked first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", "tasks", "test", "d", "waits", "2024-01-01"],
        cwd=here,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # which may be ignored where the tests run
    )
    waiting = pid_in(here / "pid")
    process.send_signal(number)
    assert process.wait(30) == code
    eventually(lambda: not alive(waiting))
    assert not (here / "goes_on").exists()


def at_a_terminal(here: Path, task_id: str, typed: bytes, once: Callable[[bytes], bool]) -> tuple[int, str]:
    """What the command answers and shows at a terminal where ``typed`` is typed ``once`` it is time."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which may be ignored where the tests run
        words = ("-m", "tailrace", "tasks", "test", "d", task_id, "2024-01-01")
        os.execve(sys.executable, [sys.executable, *words], clean_environment())
    shown = b""
    while not once(shown):
        try:
            shown += os.read(terminal, 1024)
        except OSError:
            break
    os.write(terminal, typed)
    try:
        while piece := os.read(terminal, 1024):
            shown += piece
    except OSError:
        pass  # the other end is closed
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_a_task_reads_what_is_typed(here: Path) -> None:
    code, shown = at_a_terminal(here, "reads", b"hello\n", lambda shown: b"what?" in shown)
    assert code == 0
    assert "heard hello" in shown


def test_ctrl_c_at_a_terminal_ends_the_task_and_the_command(here: Path) -> None:
    code, shown = at_a_terminal(here, "reads", b"\x03", lambda shown: b"what?" in shown)
    assert code == 130
    assert "interrupted" in shown
