"""Lists say how things stand: who drives what is open, what was marked instead of run, which tasks failed when."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, asked, clean_environment

DAGS = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("waits", schedule="@daily", start_date=datetime(2024, 1, 1)):
    BashOperator(task_id="t", bash_command="touch begun; while [ ! -e go ]; do sleep 0.1; done")

with DAG("fails", schedule="@daily", start_date=datetime(2024, 1, 1)):
    bad = BashOperator(task_id="bad", bash_command="[ {{ ds }} = 2024-01-02 ]")
    bad >> BashOperator(task_id="after", bash_command="true", trigger_rule="all_done")
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAGS)
    return tmp_path


def interrupted(project: Path) -> None:
    """A backfill that somebody ends while its first task runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tailrace", "backfill", "waits", "-s", "2024-01-01", "-e", "2024-01-02", "-q"],
        cwd=project,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which may be ignored where the tests run
    )
    while not (project / "begun").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    (project / "go").touch()
    assert process.wait(60) == 130


def test_what_nobody_drives_is_not_running(tailrace: Run, project: Path) -> None:
    """Neither in the list of backfills, nor in that of its runs; the same command goes on with it."""
    interrupted(project)
    [listed] = asked(tailrace, "backfill", "list")
    assert (listed["state"], listed["driven_by"]) == ("interrupted", [])
    assert asked(tailrace, "backfill", "show")["state"] == "interrupted"
    assert "no job drives it; the same command continues it" in tailrace("backfill", "show").stdout
    left = [run for run in asked(tailrace, "runs", "list", "waits") if run["end"] is None]
    assert all(run["driven_by"] == [] for run in left)
    assert tailrace("runs", "list", "waits").stdout.count("no job drives it") == len(left)
    [job] = asked(tailrace, "jobs", "list")
    assert (job["kind"], job["state"], job["backfill_id"]) == ("backfill", "interrupted", listed["backfill_id"])
    assert tailrace("backfill", "waits", "-s", "2024-01-01", "-e", "2024-01-02").returncode == 0
    assert asked(tailrace, "backfill", "show")["state"] == "success"


def test_what_is_left_to_schedulers_says_that_there_is_none(tailrace: Run) -> None:
    assert tailrace("backfill", "waits", "-s", "2024-01-01", "--detach").returncode == 0
    [listed] = asked(tailrace, "backfill", "list")
    assert (listed["state"], listed["detached"], listed["driven_by"]) == ("queued", True, [])
    assert "no job drives it; `tailrace scheduler` does" in tailrace("backfill", "list").stdout


@pytest.mark.parametrize(
    "marks",
    [
        [("backfill", "waits", "-s", "2024-01-01", "--mark-success")],
        [
            ("dags", "trigger", "waits", "--logical-date", "2024-01-01"),
            ("runs", "mark", "waits", "2024-01-01", "--state", "success", "-y"),
        ],
    ],
    ids=["backfill", "run"],
)
def test_what_was_marked_shows_as_marked(tailrace: Run, marks: list[tuple[str, ...]]) -> None:
    for words in marks:
        done = tailrace(*words)
        assert done.returncode == 0, done.stderr
    [run] = asked(tailrace, "runs", "list")
    assert (run["state"], run["marked"]) == ("success", 1)
    [instance] = asked(tailrace, "runs", "show", "waits", "2024-01-01")["task_instances"]
    assert instance["marked"]
    assert "1 task instance marked, not run" in tailrace("runs", "list").stdout
    assert "1 task instance marked, not run" in tailrace("runs", "show", "waits", "2024-01-01").stdout
    done = tailrace("tasks", "logs", "waits", "t", "2024-01-01")
    assert done.returncode == 2 and "has no log: it was marked, not run" in done.stderr


def test_task_instances_and_runs_are_listed_by_what_failed_and_when(tailrace: Run) -> None:
    assert tailrace("backfill", "fails", "-s", "2024-01-01", "-e", "2024-01-04").returncode == 0
    words = ("tasks", "list", "--state", "failed")
    found = asked(tailrace, *words, "-s", "2024-01-02", "-e", "2024-01-03")
    assert [(each["task_id"], each["logical_date"][:10]) for each in found] == [("bad", "2024-01-03")]
    assert [each["logical_date"][8:10] for each in asked(tailrace, *words)] == ["04", "03", "01"]
    assert len(tailrace(*words, "--limit", "2").stdout.splitlines()) == 3
    runs = asked(tailrace, "runs", "list", "fails", "--failed-tasks", "-e", "2024-01-03")
    assert [(run["state"], run["logical_date"][8:10]) for run in runs] == [("success", "03"), ("success", "01")]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("tasks", "list"), "name a DAG, whose tasks are listed, or a --state"),
        (("tasks", "list", "--state", "bad"), "'bad' is not one of"),
        (("tasks", "list", "nothing", "--state", "failed"), "nothing has never run here"),
        (("runs", "list", "-s", "2024-01-03", "-e", "2024-01-01"), "the range ends before it begins"),
        (("runs", "list", "-s", "soon"), "soon"),
        (("jobs", "list", "--limit", "0"), "not a whole number"),
        (("tasks", "list", "fails", "--limit", "1"), "--limit is of task instances"),
        (("tasks", "list", "fails", "--state", "failed", "--dags", "dags"), "--dags has no effect on task instances"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(tailrace: Run, words: tuple[str, ...], says: str) -> None:
    assert tailrace("backfill", "fails", "-s", "2024-01-02").returncode == 0
    done = tailrace(*words)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
