"""No process to fork, no descriptor left: said within seconds, known to ``explain``, and the job goes on after."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, clean_environment
from tests.acceptance.execution.conftest import eventually, pid_in

DAG = """
import os, time
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

def work(ds):
    with open(os.environ["LEDGER"] + ".zygote", "w") as file:
        file.write(f"{os.getppid()}\\n")
    time.sleep(1)
    with open(os.environ["LEDGER"], "a") as ledger:
        ledger.write(f"{ds}\\n")

with DAG("d", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="work", python_callable=work)
"""
DATES = [f"2024-01-0{day}" for day in range(1, 7)]
BACKFILL = ("backfill", "d", "-s", DATES[0], "-e", DATES[-1], "-w", "2")
#: Root may have as many processes as it likes. Where Python lies may be closed to others.
_CAPABILITIES = "+dac_read_search,+dac_override,+chown,+fowner"
AS_NOBODY = (
    *("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
    *("--inh-caps", _CAPABILITIES, "--ambient-caps", _CAPABILITIES),
)


class Job:
    """A job under way, and what it has said so far."""

    def __init__(self, project: Path, *command: str) -> None:
        self.project = project
        self.log = project / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command], cwd=project, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def zygote(self) -> int:
        return pid_in(self.project / "ledger.zygote")

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if int(pid) != self.zygote()]

    def says(self, text: str, within: float = 30.0) -> None:
        until = time.monotonic() + within
        while text not in self.log.read_text():
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def ends_well(self) -> None:
        assert self.process.wait(90) == 0, self.log.read_text()
        assert Counter((self.project / "ledger").read_text().split()) == dict.fromkeys(DATES, 1)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody may use, as a folder of pytest's is not."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "dags").mkdir()
        (folder / "dags" / "d.py").write_text(DAG)
        folder.chmod(0o777)
        monkeypatch.setenv("LEDGER", str(folder / "ledger"))
        yield folder


@pytest.fixture
def tailrace(project: Path) -> Run:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "tailrace", *arguments]
        return subprocess.run(command, cwd=project, env=clean_environment(), capture_output=True, text=True, timeout=60)

    return run


Begin = Callable[..., Job]


@pytest.fixture
def begin(project: Path) -> Iterator[Begin]:
    jobs = []

    def begin(*before: str, options: tuple[str, ...] = ()) -> Job:
        jobs.append(Job(project, *before, sys.executable, "-m", "tailrace", *BACKFILL, *options))
        return jobs[-1]

    yield begin
    for job in jobs:
        if job.process.poll() is None:
            job.process.kill()
            job.process.wait(30)


def limit(pid: int, what: str, most: int | str) -> None:
    """As the user whose process it is: root may need more than root has."""
    command = ["prlimit", "--pid", str(pid), f"--{what}={most}:"]
    as_owner = AS_NOBODY if os.stat(f"/proc/{pid}").st_uid else ()
    subprocess.run([*as_owner, *command], check=True)


def without_descriptors(pid: int) -> Callable[[], None]:
    """From here on the process may open no more; the answer gives them back."""
    limit(pid, "nofile", 5)  # below are those that nobody has ever closed
    return lambda: limit(pid, "nofile", 1024)


def without_processes(pid: int) -> Callable[[], None]:
    """The same for processes that it may fork."""
    limit(pid, "nproc", 0)
    return lambda: limit(pid, "nproc", 4000)


def test_a_zygote_without_descriptors(tailrace: Run, project: Path, begin: Begin) -> None:
    job = begin()
    give_back = without_descriptors(job.zygote())
    said = "no process can be had for a task (Too many open files): allow more open files (ulimit -n)"
    job.says(f"{said}; what waits for it begins when it is there again")

    def explained() -> bool:
        shown = json.loads(tailrace("runs", "list", "d", "-o", "json").stdout)
        waiting = [run["run_id"] for run in shown if run["state"] == "running"]
        texts = [tailrace("tasks", "explain", "d", "work", run_id).stdout for run_id in waiting]
        return any(f"no worker has claimed it yet: job 1 says: {said}" in text for text in texts)

    eventually(explained, within=30)
    give_back()
    job.says("tries can be begun again")
    job.ends_well()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_zygote_that_may_not_fork(project: Path, begin: Begin) -> None:
    job = begin(*AS_NOBODY)
    give_back = without_processes(job.zygote())
    job.says("no process can be had for a task (Resource temporarily unavailable): allow more processes (ulimit -u)")
    give_back()
    job.says("tries can be begun again")
    job.ends_well()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_job_that_may_not_fork_another_worker(project: Path, begin: Begin) -> None:
    job = begin(*AS_NOBODY)
    job.zygote()
    give_back = without_processes(job.process.pid)
    for worker in job.workers():
        os.kill(worker, 9)
    job.says("a worker cannot be started (Resource temporarily unavailable)")
    give_back()
    job.says("tries can be begun again")
    assert job.process.wait(90) == 0, job.log.read_text()


def test_a_job_without_descriptors_for_another_worker(project: Path, begin: Begin) -> None:
    job = begin()
    job.zygote()
    give_back = without_descriptors(job.process.pid)
    os.kill(job.workers()[0], 9)
    job.says("a worker cannot be started (Too many open files)")
    give_back()
    job.says("tries can be begun again")
    assert job.process.wait(90) == 0, job.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_zygote_that_cannot_be_started_again(project: Path, begin: Begin) -> None:
    job = begin(*AS_NOBODY)
    zygote = job.zygote()
    give_back = without_processes(job.process.pid)
    os.kill(zygote, 9)
    job.says("the process that loads DAG files cannot be started (Resource temporarily unavailable)")
    give_back()
    job.says("tries can be begun again")
    job.ends_well()


def test_a_zygote_that_has_no_descriptor_for_a_new_worker(project: Path, begin: Begin) -> None:
    """It hangs up on that worker, and is not taken for dead: what others have in it runs on."""
    job = begin()
    zygote = job.zygote()
    give_back = without_descriptors(zygote)
    os.kill(job.workers()[0], 9)
    job.says("the process that starts tasks takes no worker (Too many open files)")
    assert Path(f"/proc/{zygote}").exists()
    give_back()
    job.says("tries can be begun again")
    assert job.process.wait(90) == 0, job.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_command_that_cannot_be_started_just_now_is_no_failure(project: Path) -> None:
    (project / "dags" / "d.py").write_text(
        "import resource, signal\nfrom datetime import datetime\nfrom tailrace import DAG, BashOperator\n"
        "class Short(BashOperator):\n"
        "    def execute(self, context):\n"
        "        before = resource.getrlimit(resource.RLIMIT_NPROC)\n"
        "        resource.setrlimit(resource.RLIMIT_NPROC, (0, before[1]))\n"
        "        signal.signal(signal.SIGALRM, lambda *_: resource.setrlimit(resource.RLIMIT_NPROC, before))\n"
        "        signal.alarm(2)\n"
        "        return super().execute(context)\n"
        "with DAG('d', schedule='@daily', start_date=datetime(2024, 1, 1)):\n"
        "    Short(task_id='b', bash_command='echo done')\n"
    )
    command = [*AS_NOBODY, sys.executable, "-m", "tailrace", "backfill", "d", "-s", "2024-01-01"]
    done = subprocess.run(command, cwd=project, env=clean_environment(), capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    (log,) = (project / ".tailrace" / "logs" / "d").rglob("b.1.log")
    assert "bash cannot be started now (Resource temporarily unavailable); this is tried again" in log.read_text()
