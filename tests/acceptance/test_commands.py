"""What a person does to work that is under way, with real processes: clear, mark, cancel, pause, resume."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run, answer, clean_environment

DAG_FILE = """
from datetime import datetime
from tailrace import DAG, BashOperator

SLOW = "echo $$ {{ ds }} >> pids; until test -e go; do sleep 0.1; done; echo {{ ti.try_number }} {{ ds }} >> ledger"
with DAG("slow", schedule="@daily", start_date=datetime(2024, 1, 1)):
    hold = BashOperator(task_id="hold", bash_command="cd $FOLDER; " + SLOW)
    hold >> BashOperator(task_id="after", bash_command="true")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "slow.py").write_text(DAG_FILE)
    for name in ("pids", "ledger"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def start(folder: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """Start a backfill that goes on beside the test."""

    def run(*options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tailrace", "backfill", "slow", *options, "-w", "2", "-o", "json"],
            cwd=folder,
            env=clean_environment(FOLDER=str(folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    return run


def wait_for(what: Callable[[], bool], seconds: float = 30) -> float:
    """Wait until it is so; how long that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, "it never came"
        time.sleep(0.05)
    return time.monotonic() - began


def started(folder: Path) -> list[tuple[int, str]]:
    """The process and date of each try whose code has begun."""
    return [(int(pid), date) for pid, date in (line.split() for line in (folder / "pids").read_text().splitlines())]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def ended(process: "subprocess.Popen[str]", code: int) -> dict[str, Any]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (out, err)
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_clearing_a_running_task_ends_its_process_and_runs_it_anew(
    folder: Path, start: Callable[..., "subprocess.Popen[str]"], tailrace: Run
) -> None:
    job = start("-s", "2024-01-01")
    wait_for(lambda: len(started(folder)) == 1)
    [(pid, _)] = started(folder)
    told = answer(tailrace("tasks", "clear", "slow", "hold", "2024-01-01", "-y", "-o", "json"))
    assert [(ti["before"], ti["after"], ti["stopping_to"]) for ti in told["task_instances"]] == [
        ("running", "stopping", "none")
    ]
    assert wait_for(lambda: not is_there(pid)) < 10, "its worker hears of it within a few seconds"
    wait_for(lambda: len(started(folder)) == 2)
    (folder / "go").touch()
    assert ended(job, 0)["state"] == "success"
    assert (folder / "ledger").read_text() == "2 2024-01-01\n", "try 1 did nothing more; try 2 has its own number"


def test_cancelling_one_of_two_overlapping_backfills_leaves_the_other_whole(
    folder: Path, start: Callable[..., "subprocess.Popen[str]"], tailrace: Run
) -> None:
    first = start("-s", "2024-01-01", "-e", "2024-01-02")
    wait_for(lambda: len(started(folder)) == 2)
    second = start("-s", "2024-01-02", "-e", "2024-01-03")
    wait_for(lambda: len(started(folder)) == 3)
    told = answer(tailrace("backfill", "cancel", "1", "-y", "-o", "json"))
    assert [(run["run_id"][10:20], run["after"]) for run in told["runs"]] == [("2024-01-01", "cancelled")]
    cancelled = next(pid for pid, date in started(folder) if date == "2024-01-01")
    wait_for(lambda: not is_there(cancelled))
    shared = next(pid for pid, date in started(folder) if date == "2024-01-02")
    assert is_there(shared)
    (folder / "go").touch()
    assert ended(first, 5)["state"] == "cancelled"
    assert ended(second, 0)["runs"] == {"success": 2}
    assert sorted((folder / "ledger").read_text().splitlines()) == ["1 2024-01-02", "1 2024-01-03"]
    again = ended(start("-s", "2024-01-01", "-e", "2024-01-02"), 0)
    assert (again["backfill_id"], again["runs"]) == (3, {"success": 2})
    assert (folder / "ledger").read_text().splitlines()[-1] == "2 2024-01-01"


def test_a_paused_backfill_ends_with_6_and_a_resumed_one_goes_on(
    folder: Path, start: Callable[..., "subprocess.Popen[str]"], tailrace: Run
) -> None:
    job = start("-s", "2024-01-01", "-e", "2024-01-04")
    wait_for(lambda: len(started(folder)) == 2)
    answer(tailrace("backfill", "pause", "1", "-o", "json"))
    (folder / "go").touch()
    assert ended(job, 6)["state"] == "paused"
    assert len(started(folder)) == 2, "what ran has finished, and nothing more began"
    listed = answer(tailrace("backfill", "show", "1", "-o", "json"))
    assert listed["state"] == "paused"
    still = tailrace("backfill", "slow", "-s", "2024-01-01", "-e", "2024-01-04", FOLDER=str(folder))
    assert still.returncode == 6
    assert "tailrace backfill resume 1" in still.stdout
    told = answer(tailrace("backfill", "resume", "1", "-o", "json"))
    assert told["notices"] == ["go on with it: `tailrace backfill slow -s 2024-01-01 -e 2024-01-04`"]
    assert ended(start("-s", "2024-01-01", "-e", "2024-01-04"), 0)["runs"] == {"success": 4}
    assert sorted(date for _, date in started(folder)) == [f"2024-01-0{day}" for day in (1, 2, 3, 4)]


def test_marking_a_running_task_ends_it_as_marked(
    folder: Path, start: Callable[..., "subprocess.Popen[str]"], tailrace: Run
) -> None:
    job = start("-s", "2024-01-01")
    wait_for(lambda: len(started(folder)) == 1)
    answer(tailrace("tasks", "mark", "slow", "hold", "2024-01-01", "--state", "success", "-y", "-o", "json"))
    assert ended(job, 0)["task_instances"] == {"success": 2}
    assert (folder / "ledger").read_text() == ""


def test_a_change_is_refused_where_nobody_can_confirm(
    folder: Path, start: Callable[..., "subprocess.Popen[str]"], tailrace: Run
) -> None:
    (folder / "go").touch()
    ended(start("-s", "2024-01-01"), 0)
    refused = tailrace("runs", "clear", "slow", "2024-01-01")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "repeat it with -y" in refused.stderr
    seen = answer(tailrace("runs", "clear", "slow", "2024-01-01", "-n", "-o", "json"))
    assert (seen["changed"], len(seen["task_instances"])) == (False, 2)
    assert answer(tailrace("runs", "list", "slow", "-o", "json"))[0]["state"] == "success"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("runs", "clear", "slow", "2024-02-01", "-y"),
            "no run 2024-02-01 of slow; `tailrace runs list slow` lists its runs",
        ),
        (("runs", "clear", "slow", "-y"), "no runs given"),
        (("runs", "clear", "slwo", "2024-01-01", "-y"), "slwo has never run here; did you mean slow?"),
        (("runs", "mark", "slow", "2024-01-01", "-y"), "--state"),
        (("tasks", "clear", "slow", "hodl", "2024-01-01", "-y"), "has no task 'hodl'; it has after, hold"),
        (
            ("tasks", "mark", "slow", "hold", "yesterday", "--state", "failed", "-y"),
            "and it is no date such as",
        ),
        (("runs", "clear", "slow", "-s", "2024-01-02", "-e", "2024-01-01", "-y"), "ends before it begins"),
        (("backfill", "cancel", "9", "-y"), "no backfill 9"),
        (("backfill", "pause", "1"), "backfill 1 is success already"),
    ],
)
def test_a_wrong_command_is_one_line_that_says_what_to_do(
    folder: Path, start: Callable[..., "subprocess.Popen[str]"], tailrace: Run, arguments: tuple[str, ...], said: str
) -> None:
    (folder / "go").touch()
    ended(start("-s", "2024-01-01"), 0)
    done = tailrace(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mark_clears_what_is_upstream_failed_below_it(tailrace: Run, folder: Path) -> None:
    """The first mark names the command that clears it; that one, typed, lets the run come to its end."""
    (folder / "dags" / "below.py").write_text(
        "from datetime import datetime\nfrom tailrace import DAG, BashOperator\n"
        'with DAG("below", schedule="@daily", start_date=datetime(2024, 1, 1)):\n'
        '    BashOperator(task_id="a", bash_command="exit 1") >> BashOperator(task_id="b", bash_command="true")\n'
    )
    assert tailrace("backfill", "below", "-s", "2024-01-01", "-q").returncode == 1
    run = "backfill__2024-01-01T00:00:00+00:00"
    mark = ("tasks", "mark", "below", "a", run, "--state", "success")
    done = tailrace(*mark, "-y")
    assert done.returncode == 0
    typed = f"tailrace {' '.join(mark)} --downstream-failed"
    assert f"{run}: b stays upstream_failed; `{typed}` lets it run" in done.stdout + done.stderr
    shown = json.loads(tailrace("runs", "show", "below", run, "-o", "json").stdout)
    assert [ti["state"] for ti in shown["task_instances"]] == ["success", "upstream_failed"]
    assert "would clear 1 task instance, open 1 run again" in tailrace(*typed.split()[1:], "-n").stderr
    both = tailrace("tasks", "mark", "below", "a", run, "--state", "skipped", "--downstream-failed", "-n")
    assert "would mark 1 task instance, clear 1 task instance" in both.stderr
    done = tailrace(*typed.split()[1:], "-y", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert [(each["task_id"], each["after"]) for each in json.loads(done.stdout)["task_instances"]] == [("b", "none")]
    assert tailrace("backfill", "below", "-s", "2024-01-01", "-q").returncode == 0
    for refused in (("--downstream",), ()):
        state = "failed" if not refused else "success"
        done = tailrace("tasks", "mark", "below", "a", run, "--state", state, "--downstream-failed", *refused, "-y")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "leave it out beside " in done.stderr
