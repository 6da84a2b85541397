"""The last line of a log says how its try ended, after how long and why: whatever has ended it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import clean_environment

Run = Callable[..., subprocess.CompletedProcess[str]]

DAGS = """
import os, signal, time
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator
from tailrace.exceptions import TaskFailed, TaskSkipped

def skip(): raise TaskSkipped("no file today")
def give_up(): raise TaskFailed("wrong for good")
def die(): os.kill(os.getpid(), signal.SIGKILL)
def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun, and never ends its line", end="", flush=True)
    while True: time.sleep(1)

with DAG("quick", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="skip", python_callable=skip)
    PythonOperator(task_id="give_up", python_callable=give_up)
    PythonOperator(task_id="die", python_callable=die)
    PythonOperator(task_id="late", python_callable=hang, execution_timeout=0.5)
    BashOperator(task_id="bash_late", bash_command="trap '' TERM; sleep 50 & wait; sleep 60", execution_timeout=0.5)
    BashOperator(task_id="well", bash_command="true")
    BashOperator(task_id="wrong", bash_command="echo why; exit 3")
with DAG("long", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="sleeps", bash_command="echo begun; sleep 60")
"""
GONE = f"the task's process ended without an outcome: it was killed by {signal.SIGKILL.name}"
LATE = "timed out after 0:00:00.500000 (its execution_timeout)"


@pytest.fixture(autouse=True)
def dags(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAGS)


def last_line(tmp_path: Path, task_id: str, number: int = 1) -> str:
    """The last line of a log, without how long it took."""
    [log] = (tmp_path / ".tailrace" / "logs").rglob(f"{task_id}.{number}.log")
    text = log.read_text()
    assert text.endswith("\n")
    line, count = re.subn(r" after [0-9:.]+(?: s)?", "", text.splitlines()[-1], count=1)
    assert count == 1, text
    return line


def eventually(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + 60
    while True:
        try:
            if found := what():
                return found
        except (OSError, ValueError, AssertionError):
            pass
        assert time.monotonic() < until
        time.sleep(0.05)


@contextmanager
def running(tmp_path: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A backfill of the long task, once that has begun."""
    command = [sys.executable, "-m", "tailrace", "backfill", "long", "-s", "2024-01-01", "-w", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(**environment), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        logs = tmp_path / ".tailrace" / "logs"
        eventually(lambda: any("begun" in log.read_text() for log in logs.rglob("sleeps.1.log")))
        yield process
    finally:
        for _ in range(3):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
        process.wait(60)


def test_ends_of_its_own_and_ends_by_others(tmp_path: Path, tailrace: Run) -> None:
    done = tailrace("backfill", "quick", "-s", "2024-01-01", TAILRACE_GRACE_SECONDS="0.5")
    assert done.returncode == 1, done.stderr
    assert {task_id: last_line(tmp_path, task_id) for task_id in ("well", "skip", "give_up", "wrong")} == {
        "well": "--- success",
        "skip": "--- skipped: no file today",
        "give_up": "--- failed for good: wrong for good",
        "wrong": "--- failed: BashFailed: bash exited 3: why",
    }
    assert {task_id: last_line(tmp_path, task_id) for task_id in ("die", "late", "bash_late")} == {
        "die": f"--- failed: {GONE}",
        "late": f"--- failed: {LATE}",
        "bash_late": f"--- failed: {LATE}",
    }
    [late] = (tmp_path / ".tailrace" / "logs").rglob("late.1.log")
    assert "\nbegun, and never ends its line\n--- failed after " in late.read_text()


def test_a_stop_by_a_person(tmp_path: Path, tailrace: Run) -> None:
    with running(tmp_path):
        assert tailrace("tasks", "clear", "long", "sleeps", "2024-01-01", "-y").returncode == 0
        eventually(lambda: last_line(tmp_path, "sleeps") == "--- stopped: stopped as a person asked")


def test_a_stop_by_a_person_that_its_process_was_faster_than(tmp_path: Path, tailrace: Run) -> None:
    """The worker learns of it a few seconds later; what counts is what the person wanted."""
    (tmp_path / "dags" / "d.py").write_text(DAGS.replace("sleep 60", "until [ -e go ]; do sleep 0.05; done"))
    (tmp_path / "dags" / "d.py").write_text(
        (tmp_path / "dags" / "d.py").read_text().replace("echo begun;", f"cd {tmp_path}; echo begun;")
    )
    with running(tmp_path, TAILRACE_LEASE_SECONDS="60"):
        assert tailrace("tasks", "clear", "long", "sleeps", "2024-01-01", "-y").returncode == 0
        (tmp_path / "go").touch()
        eventually(lambda: last_line(tmp_path, "sleeps") == "--- stopped: stopped as a person asked")


def test_an_interrupt(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert last_line(tmp_path, "sleeps") == "--- stopped: terminated by a second interrupt"


@pytest.fixture
def without_nohup() -> Iterator[None]:
    """Whatever the tests were started by: a process that they start ends by SIGHUP."""
    former = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, former)


@pytest.mark.usefixtures("without_nohup")
def test_a_terminal_that_was_closed(tmp_path: Path, tailrace: Run) -> None:
    """The command is gone at once; its worker ends what it runs, and says so in the log and the metastore."""
    (tmp_path / "dags" / "d.py").write_text(
        DAGS.replace("sleep 60", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    )
    with running(tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == -signal.SIGHUP
        (tmp_path / "go").touch()
        eventually(lambda: last_line(tmp_path, "sleeps") == "--- success")
    assert tailrace("backfill", "long", "-s", "2024-01-01").returncode == 0
    [task] = json.loads(tailrace("runs", "show", "long", "2024-01-01", "-o", "json").stdout)["task_instances"]
    assert (task["state"], task["try_number"]) == ("success", 1)


def test_a_worker_that_was_killed(tmp_path: Path, tailrace: Run) -> None:
    with running(tmp_path):
        [task] = json.loads(tailrace("runs", "explain", "long", "2024-01-01", "-o", "json").stdout)["task_instances"]
        os.kill(task["holder"]["worker_pid"], signal.SIGKILL)
        eventually(lambda: last_line(tmp_path, "sleeps").startswith("--- lost: try 1 was lost: "))


def test_what_stands_in_its_place_is_left_alone(tmp_path: Path, tailrace: Run) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "dags" / "d.py").write_text(
        DAGS + "\ndef replace():\n    path = os.readlink('/proc/self/fd/1')\n    os.unlink(path)\n"
        f"    os.symlink({str(tmp_path / 'precious')!r}, path)\n    die()\n"
        "def pipe():\n    path = os.readlink('/proc/self/fd/1')\n    os.unlink(path)\n    os.mkfifo(path)\n    die()\n"
        "for name, what in (('link', replace), ('pipe', pipe)):\n"
        "    with DAG(name, schedule='@daily', start_date=datetime(2024, 1, 1)):\n"
        "        PythonOperator(task_id='t', python_callable=what)\n"
    )
    for dag_id in ("link", "pipe"):
        done = tailrace("backfill", dag_id, "-s", "2024-01-01", timeout=60)
        assert (done.returncode, "1 failed" in done.stdout) == (1, True)
        assert tailrace("tasks", "logs", dag_id, "t", "2024-01-01", "--timestamps", timeout=60).returncode in (0, 2)
    assert (tmp_path / "precious").read_text() == "precious"
