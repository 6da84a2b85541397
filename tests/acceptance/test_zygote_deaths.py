"""A zygote that is killed while a job runs: another takes its place with the same code, and only who is alone pays."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, clean_environment
from tests.acceptance.execution.conftest import alive, eventually, pid_in, stop_hard

HEAD = """
import os, time
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

def told(what):
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{what}\\n")

def zygote():
    with open(os.environ["LEDGER"] + ".zygote", "w") as file:
        file.write(f"{os.getppid()}\\n")
"""
DAGS = 'with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger"))
    return tmp_path


def write(project: Path, functions: str, *tasks: str, name: str = "d.py") -> None:
    made = "".join(f"    PythonOperator(task_id={task!r}, python_callable={task})\n" for task in tasks)
    (project / "dags" / name).write_text(HEAD + functions + DAGS + made)


def ledger(project: Path) -> Counter[str]:
    file = project / "ledger"
    return Counter(file.read_text().split("\n")[:-1] if file.exists() else [])


def tries(tailrace: Run, task_id: str) -> tuple[str, int, list[str]]:
    """A task's state, its lost tries, and what became of each try."""
    shown = json.loads(tailrace("tasks", "explain", "d", task_id, "2024-01-01", "-o", "json").stdout)
    return shown["state"], len(shown["tries"]), [each["cause"] for each in shown["tries"]]


POISON = """
def innocent():
    time.sleep(2)
    told("innocent")

def poison():
    time.sleep(0.5)
    os.kill(os.getppid(), 9)
    time.sleep(5)

def late(): told("late")
"""


@pytest.mark.parametrize("isolation", ["fork", "worker", "spawn"])
def test_a_task_that_kills_its_parent_pays_for_it_alone(tailrace: Run, project: Path, isolation: str) -> None:
    write(project, POISON, "innocent", "poison")
    done = tailrace("backfill", "d", "-s", "2024-01-01", "-w", "2", "--isolation", isolation)
    assert done.returncode == 1, done.stderr
    assert tries(tailrace, "innocent") == ("success", 3, ["lost_together"] * 2 + ["outcome"])
    state, number, causes = tries(tailrace, "poison")
    assert (state, number, causes) == ("failed", 5, ["lost_together"] * 2 + ["lost"] * 3)
    assert ledger(project)["innocent"] == 1
    assert "the process that starts tasks ended (killed by SIGKILL), with 2 tries" in done.stderr
    assert "poison was lost 2 times with others: it runs alone from here on" in done.stderr
    assert "ended its process" not in done.stderr, "which is said of DAG files"
    assert tailrace("audit").returncode == 0


def test_one_after_another_each_pays(tailrace: Run, project: Path) -> None:
    write(project, POISON, "poison", "late")
    done = tailrace("backfill", "d", "-s", "2024-01-01", "--executor", "sequential")
    assert done.returncode == 1, done.stderr
    assert tries(tailrace, "poison") == ("failed", 3, ["lost"] * 3)
    assert tries(tailrace, "late")[0] == "success"


class Job:
    """A job that is under way."""

    def __init__(self, project: Path, *arguments: str) -> None:
        self.project = project
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=project,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def zygote(self, *, other_than: int = 0) -> int:
        """The zygote of the last try that told it."""
        file = self.project / "ledger.zygote"
        eventually(lambda: file.exists() and file.read_text().strip() not in ("", str(other_than)), within=30)
        return pid_in(file)

    def ends(self, code: int = 0) -> str:
        out, _ = self.process.communicate(timeout=90)
        assert self.process.returncode == code, out
        return out


Begin = Callable[..., Job]


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    jobs = []

    def begin(*arguments: str) -> Job:
        jobs.append(Job(project, *arguments))
        return jobs[-1]

    yield begin
    for job in jobs:
        if job.process.poll() is None:
            job.process.kill()
            job.process.communicate(timeout=30)


BACKFILL = ("backfill", "d", "-s", "2024-01-01", "-e", "2024-01-04", "-w", "2")


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("change", ["changed", "gone"])
def test_the_code_that_was_loaded_runs_on_whatever_became_of_the_files(
    tailrace: Run, project: Path, begin: Begin, isolation: str, change: str
) -> None:
    """The helper's too, and what it imports late from where it lies beside it."""
    (project / "dags" / "team").mkdir()
    (project / "dags" / "team" / "helper.py").write_text("WORD = 'old'\n")
    code = """
import helper
def work(ds):
    zygote()
    time.sleep(0.7)
    told(f"{ds} {helper.WORD}")
"""
    write(project, code, "work", name="team/d.py")
    job = begin(*BACKFILL, "--isolation", isolation)
    first = job.zygote()
    if change == "gone":
        for file in (project / "dags" / "team").iterdir():
            file.unlink()
        (project / "dags" / "team").rmdir()
    else:
        (project / "dags" / "team" / "helper.py").write_text("WORD = 'new'\n")
        write(project, code.replace("{ds}", "{ds} new"), "work", name="team/d.py")
    os.kill(first, signal.SIGKILL)
    assert job.zygote(other_than=first) != first
    out = job.ends()
    assert "another runs the code that was loaded" in out
    assert "otherwise than before" not in out
    assert ledger(project) == {f"2024-01-0{day} old": 1 for day in range(1, 5)}


def test_a_zygote_that_is_killed_again_and_again(tailrace: Run, project: Path, begin: Begin) -> None:
    """Twice with what runs, twice with its workers, once at rest."""
    write(project, "def work(ds):\n    zygote()\n    time.sleep(1)\n    told(ds)\n", "work")
    job = begin(*BACKFILL)
    zygote = 0
    for round in range(4):
        zygote = job.zygote(other_than=zygote)
        children = Path(f"/proc/{job.process.pid}/task/{job.process.pid}/children").read_text().split()
        workers = [int(pid) for pid in children if int(pid) != zygote]
        time.sleep(0.3)
        for pid in (zygote, *(workers if round % 2 else [])):
            stop_hard(pid)
    job.ends()
    assert ledger(project) == {f"2024-01-0{day}": 1 for day in range(1, 5)}
    assert tailrace("audit").returncode == 0


def test_a_killed_zygote_spends_no_retry_and_nobodys_budget(tailrace: Run, project: Path, begin: Begin) -> None:
    write(project, "def one():\n    zygote()\n    time.sleep(1.5)\ntwo = one\n", "one", "two")
    job = begin("backfill", "d", "-s", "2024-01-01", "-w", "2")
    zygote = job.zygote()
    time.sleep(0.7)
    os.kill(zygote, signal.SIGKILL)
    job.ends()
    for task_id in ("one", "two"):
        assert tries(tailrace, task_id) == ("success", 2, ["lost_together", "outcome"])


def test_a_scheduler_goes_on(tailrace: Run, project: Path, begin: Begin) -> None:
    write(project, "def work(ds):\n    zygote()\n    time.sleep(0.8)\n    told(ds)\n", "work")
    file = project / "dags" / "d.py"
    file.write_text(file.read_text().replace("2024, 1, 1)", "2024, 1, 1), end_date=datetime(2024, 1, 4), catchup=True"))
    job = begin("scheduler", "-w", "2", "--until-idle")
    zygote = job.zygote()
    os.kill(zygote, signal.SIGKILL)
    out = job.ends()
    assert "another runs the code that was loaded" in out
    assert ledger(project) == {f"2024-01-0{day}": 1 for day in range(1, 5)}


def test_what_a_file_reads_as_it_loads_may_change_its_dags_and_that_is_reported(project: Path, begin: Begin) -> None:
    (project / "tasks").write_text("work\n")
    functions = "def work():\n    zygote()\n    time.sleep(1)\n"
    made = "    for name in open('tasks').read().split():\n        PythonOperator(task_id=name, python_callable=work)\n"
    (project / "dags" / "d.py").write_text(HEAD + functions + DAGS + made)
    job = begin("backfill", "d", "-s", "2024-01-01", "-w", "2")
    zygote = job.zygote()
    (project / "tasks").write_text("work more\n")
    os.kill(zygote, signal.SIGKILL)
    assert "d was loaded otherwise than before, from the same code; it runs as it is now" in job.ends()


def test_a_zygote_that_cannot_live_ends_the_job_in_one_line(tailrace: Run, project: Path) -> None:
    """Something that a DAG file has started kills it, a moment after it has loaded: no task is to blame."""
    dies = "if os.fork() == 0:\n    parent = os.getppid()\n    time.sleep(1)\n    os.kill(parent, 9)\n    os._exit(0)\n"
    write(project, dies + "def work(): pass\n", "work")
    file = project / "dags" / "d.py"
    file.write_text(file.read_text().replace('schedule="@daily"', "schedule=None"))
    done = tailrace("scheduler", "-w", "1")
    assert done.returncode == 4, done.stderr
    error = "error: the process that starts tasks ends again and again (killed by SIGKILL), and no task runs in it"
    assert done.stderr.splitlines()[-1] == error
    assert "Traceback" not in done.stderr


def test_no_process_is_left(project: Path, begin: Begin) -> None:
    write(project, "def work():\n    zygote()\n    time.sleep(100)\n", "work")
    job = begin("backfill", "d", "-s", "2024-01-01", "-w", "2")
    first = job.zygote()
    os.kill(first, signal.SIGKILL)
    second = job.zygote(other_than=first)
    for _ in range(2):
        job.process.send_signal(signal.SIGINT)
        time.sleep(1)
    job.ends(130)
    assert not alive(second)
