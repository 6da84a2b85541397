"""DAG files that never end loading, end their process or are no files: named within seconds, and the others go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, clean_environment
from tests.acceptance.execution.conftest import alive, eventually, pid_in

GOOD = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG({0!r}, schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="only", bash_command="echo {0} >> $LEDGER")
"""
#: It goes on whatever is raised in it, and has started something that goes on too.
HANGS = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
with open({0!r}, "w") as file:
    file.write(f"{{child.pid}}\\n")
while True:
    try:
        time.sleep(1000)
    except BaseException:
        pass
"""
SHORT = {"TAILRACE_LOAD_TIMEOUT_SECONDS": "1"}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dags").mkdir()
    monkeypatch.setenv("LEDGER", str(tmp_path / "ledger"))
    (tmp_path / "dags" / "good.py").write_text(GOOD.format("good"))
    return tmp_path


def hangs(project: Path) -> str:
    (project / "dags" / "bad.py").write_text(HANGS.format(str(project / "child")))
    return "dags/bad.py: loading it did not end within 1 s (load_timeout_seconds); correct or remove it"


def ends(project: Path) -> str:
    started = HANGS.format(str(project / "child")).partition("while")[0]
    (project / "dags" / "bad.py").write_text(f"{started}os._exit(3)\n")
    return "dags/bad.py: loading it ended its process (exit code 3); correct or remove it"


def is_killed(project: Path) -> str:
    (project / "dags" / "bad.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    return "dags/bad.py: loading it ended its process (killed by SIGSEGV); correct or remove it"


def closes_all(project: Path) -> str:
    (project / "dags" / "bad.py").write_text(
        "import os\nos.closerange(3, 100)\nheld = [open(__file__) for _ in range(50)]\n"
    )
    why = "it closed descriptors that it had not opened"
    return f"dags/bad.py: loading it ended its process ({why}); correct or remove it"


def is_a_fifo(project: Path) -> str:
    os.mkfifo(project / "dags" / "bad.py")
    return "dags/bad.py: is a FIFO (a named pipe), not a file: it is not opened"


KINDS = (hangs, ends, is_killed, closes_all, is_a_fifo)
GOES_ON = (
    ("dags", "list"),
    ("dags", "show", "good"),
    ("tasks", "list", "good"),
    ("tasks", "test", "good", "only", "2024-01-01"),
    ("backfill", "good", "-s", "2024-01-01"),
    ("backfill", "good", "-s", "2024-01-01", "-n"),
    ("dags", "trigger", "good"),
    ("scheduler", "--until-idle"),
)


@pytest.mark.parametrize("bad", KINDS)
def test_a_bad_file_is_named_and_the_others_are_checked(
    tailrace: Run, project: Path, bad: Callable[[Path], str]
) -> None:
    said = bad(project)
    done = tailrace("dags", "check", **SHORT)
    assert done.returncode == 2, done.stderr
    assert [line.partition("dags/")[1:] for line in done.stdout.splitlines()] == [("dags/", said.removeprefix("dags/"))]
    assert "1 DAG loaded, 1 mistake" in done.stderr
    if bad in (hangs, ends):
        assert not alive(pid_in(project / "child")), "what it has started is ended with it"


def test_a_process_that_a_file_forks_loads_nothing_more(tailrace: Run, project: Path) -> None:
    (project / "dags" / "bad.py").write_text("import os\nprint('forks', flush=True)\nos.fork()\n")
    (project / "dags" / "last.py").write_text("print('loads', flush=True)\n")
    done = tailrace("dags", "check")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["forks", "loads", "1 DAG loaded, no mistakes"]


@pytest.mark.parametrize("command", GOES_ON, ids=" ".join)
def test_the_others_go_on(tailrace: Run, project: Path, command: tuple[str, ...]) -> None:
    hangs(project)
    done = tailrace(*command, **SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if command[1] not in ("show", "test", "trigger") and command[0] != "tasks":
        assert "dags/bad.py" in done.stderr + done.stdout


@pytest.mark.parametrize("bad", KINDS)
def test_a_dag_that_is_missing_leads_to_the_file_it_may_be_in(
    tailrace: Run, project: Path, bad: Callable[[Path], str]
) -> None:
    bad(project)
    done = tailrace("backfill", "missing", "-s", "2024-01-01", **SHORT)
    assert done.returncode == 2
    assert "no DAG 'missing'" in done.stderr and "dags/bad.py has mistakes" in done.stderr
    (project / "dags" / "good.py").unlink()
    done = tailrace("backfill", "missing", "-s", "2024-01-01", **SHORT)
    assert done.returncode == 2 and "dags/bad.py: " in done.stderr


class Scheduler:
    """A scheduler, and what it has said so far."""

    def __init__(self, project: Path, **environment: str) -> None:
        self.log = project / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tailrace", "scheduler", "-w", "2"],
                cwd=project,
                env=clean_environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def says(self, text: str, within: float = 40.0) -> None:
        eventually(lambda: text in self.log.read_text(), within)

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


StartScheduler = Callable[..., Scheduler]


@pytest.fixture
def scheduler(project: Path) -> Iterator[StartScheduler]:
    started = []

    def start(**environment: str) -> Scheduler:
        started.append(Scheduler(project, **environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait(20)


def test_explain_knows_the_file_that_does_not_load(tailrace: Run, project: Path, scheduler: StartScheduler) -> None:
    assert tailrace("dags", "trigger", "good", "--run-id", "manual__one").returncode == 0
    (project / "dags" / "good.py").write_text("import nowhere\n")
    running = scheduler()
    running.says("dags/good.py:1: ModuleNotFoundError: No module named 'nowhere'")
    said = "does not have the DAG: "

    def explained() -> str:
        return tailrace("runs", "explain", "good", "manual__one").stdout

    eventually(lambda: said in explained(), within=30)
    assert "dags/good.py:1: ModuleNotFoundError: No module named 'nowhere'" in explained()
    replace(project, "good.py", GOOD.format("good"))
    running.says("good / manual__one success")


def replace(project: Path, name: str, text: str) -> None:
    (project / "new").write_text(text)
    (project / "new").rename(project / "dags" / name)


def test_a_scheduler_names_what_does_not_load_and_loads_what_came_later(
    project: Path, scheduler: StartScheduler
) -> None:
    running = scheduler(TAILRACE_LOAD_TIMEOUT_SECONDS="8")
    running.says("scheduling good")
    hangs(project)
    running.says("dags/bad.py: it has been loading for 5 s, and is given up after 8 s (load_timeout_seconds)")
    replace(project, "late.py", GOOD.format("late"))
    running.says("dags/bad.py: loading it did not end within 8 s")
    running.says("were loaded again: 2 DAGs")
    ledger = project / "ledger"
    eventually(lambda: ledger.exists() and "late" in ledger.read_text(), within=40)
    assert running.interrupt() == 130


@pytest.mark.parametrize("at_first", [True, False])
def test_a_scheduler_ends_at_once_while_a_file_does_not_load(
    project: Path, scheduler: StartScheduler, at_first: bool
) -> None:
    if at_first:
        hangs(project)
    running = scheduler()
    if not at_first:
        running.says("scheduling good")
        hangs(project)
    child = pid_in(project / "child")
    began = time.monotonic()
    assert running.interrupt() == 130
    assert time.monotonic() - began < 10
    assert not alive(child)


def test_a_scheduler_tries_again_what_did_not_load_in_time(project: Path, scheduler: StartScheduler) -> None:
    """It may have waited for something that is there by now; no file has changed."""
    waits = f"import os, time\nwhile not os.path.exists({str(project / 'there')!r}): time.sleep(0.1)\n"
    (project / "dags" / "bad.py").write_text(waits + GOOD.format("waited"))
    running = scheduler(**SHORT)
    running.says("scheduling good")
    (project / "there").touch()
    running.says("were loaded again: 2 DAGs", within=90)


@pytest.mark.parametrize("bad", ["raise ValueError('no')\n", "import time\ntime.sleep(1000)\n"])
def test_a_file_that_does_not_load_any_more_keeps_its_code_and_the_others_are_loaded(
    tailrace: Run, project: Path, scheduler: StartScheduler, bad: str
) -> None:
    """Its helper too, which the others have in another version by then, and after the zygote was killed as well."""
    helper = project / "dags" / "_helper.py"
    text = GOOD.replace("import datetime\n", "import datetime\nimport _helper\n", 1)
    text = text.replace("from tailrace", "import _helper\nfrom tailrace").replace("echo {0}", "echo {0} $(echo {1})")
    for name in ("steady", "other"):
        made = (
            text.replace("{1}", "' + _helper.WORD + '")
            .format(name)
            .replace('"echo', "'echo")
            .replace('LEDGER"', "LEDGER'")
        )
        (project / "dags" / f"{name}.py").write_text(made)
    helper.write_text("WORD = 'one'\n")
    running = scheduler(TAILRACE_LOAD_TIMEOUT_SECONDS="2")
    running.says("scheduling good, other, steady")
    helper.write_text("WORD = 'two'\n")
    replace(project, "steady.py", bad)
    running.says("dags/steady.py keeps the code that was loaded before, until it is corrected")

    def ran(dag_id: str, run_id: str) -> list[str]:
        assert tailrace("dags", "trigger", dag_id, "--run-id", run_id, "--dags", str(kept)).returncode == 0
        eventually(lambda: f"{dag_id} / {run_id} success" in running.log.read_text(), within=30)
        return (project / "ledger").read_text().split("\n")[-2].split()

    kept = project / "kept"
    kept.mkdir()
    for name in ("steady", "other"):
        (kept / f"{name}.py").write_text(GOOD.format(name))
    assert ran("steady", "manual__1") == ["steady", "one"]
    assert ran("other", "manual__2") == ["other", "two"]
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    zygote = next(pid for pid in children if "zygote.starting" in Path(f"/proc/{pid}/cmdline").read_text())
    os.kill(int(zygote), signal.SIGKILL)
    running.says("another runs the code that was loaded")
    assert ran("steady", "manual__3") == ["steady", "one"]
    assert ran("other", "manual__4") == ["other", "two"]
    assert "otherwise than before" not in running.log.read_text()
    replace(project, "steady.py", GOOD.format("steady"))
    eventually(lambda: running.log.read_text().count("were loaded again") == 2, within=30)
    assert ran("steady", "manual__5") == ["steady"]


def test_a_link_that_is_swapped_is_another_generation(project: Path, scheduler: StartScheduler) -> None:
    """As git-sync does it: sizes and times are equal, the files are others."""
    for version in ("one", "two"):
        (project / version).mkdir()
        text = GOOD.format("good").replace("echo good", f"echo {version}")
        (project / version / "good.py").write_text(text)
        os.utime(project / version / "good.py", (10**9, 10**9))
    (project / "dags" / "good.py").unlink()
    (project / "dags").rmdir()
    (project / "dags").symlink_to("one")
    running = scheduler()
    running.says("scheduling good")
    (project / "new").symlink_to("two")
    (project / "new").rename(project / "dags")
    running.says("were loaded again: 1 DAG")
