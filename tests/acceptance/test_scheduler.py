"""Schedulers as real processes: due dates run once whoever creates them, and what one leaves another takes up."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run, clean_environment

DAG_FILE = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("daily", schedule="@daily", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 6), catchup=True):
    first = BashOperator(task_id="first", bash_command="sleep 0.2; echo first {{ ds }} >> $LEDGER")
    first >> BashOperator(task_id="second", bash_command="sleep 0.2; echo second {{ ds }} >> $LEDGER")
"""
DATES = 6


class Place:
    """A project folder, and the commands started in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = folder / "ledger"
        self.dags = folder / "dags"
        self.started: list[subprocess.Popen[str]] = []
        self.dags.mkdir()
        self.ledger.touch()
        (self.dags / "daily.py").write_text(DAG_FILE)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "tailrace", *arguments],
            cwd=self.folder,
            env=clean_environment(LEDGER=str(self.ledger)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def scheduler(self, *options: str) -> "subprocess.Popen[str]":
        return self.start("scheduler", "-w", "2", *options)

    def lines(self) -> Counter[str]:
        return Counter(self.ledger.read_text().splitlines())

    def wait_for_lines(self, count: int) -> None:
        deadline = time.monotonic() + 40
        while sum(self.lines().values()) < count:
            assert time.monotonic() < deadline, f"nothing moves: {self.lines()}"
            time.sleep(0.02)

    def all_once(self) -> None:
        assert (len(self.lines()), set(self.lines().values())) == (2 * DATES, {1})


def ended(process: "subprocess.Popen[str]", code: int = 0) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (out, err)
    return out


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for process in place.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def runs(tailrace: Run) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(tailrace("runs", "list", "daily", "-o", "json").stdout)
    return answer


def test_two_schedulers_run_each_due_date_once(place: Place, tailrace: Run) -> None:
    for process in [place.scheduler("--until-idle"), place.scheduler("--until-idle")]:
        ended(process)
    place.all_once()
    assert Counter((run["run_id"].split("__")[0], run["state"]) for run in runs(tailrace)) == {
        ("scheduled", "success"): DATES
    }


def test_a_killed_scheduler_is_followed_by_another(place: Place) -> None:
    first = place.scheduler()
    place.wait_for_lines(3)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    ended(place.scheduler("--until-idle"))
    place.all_once()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_scheduler_drains(place: Place, number: signal.Signals, code: int) -> None:
    first = place.scheduler()
    place.wait_for_lines(2)
    first.send_signal(number)
    ended(first, code)
    assert 2 <= sum(place.lines().values()) < 2 * DATES
    ended(place.scheduler("--until-idle"))
    place.all_once()


def test_a_backfill_by_hand_and_a_scheduler_share_the_dates(place: Place, tailrace: Run) -> None:
    scheduler = place.scheduler()
    place.wait_for_lines(1)
    backfill = place.start("backfill", "daily", "-s", "2024-01-01", "-e", f"2024-01-0{DATES}", "-w", "2", "-o", "json")
    assert json.loads(ended(backfill))["runs"] == {"success": DATES}
    place.all_once()
    scheduler.send_signal(signal.SIGINT)
    ended(scheduler, 130)
    assert {run["state"] for run in runs(tailrace)} == {"success"}


def detached(place: Place, tailrace: Run) -> tuple[str, ...]:
    command = ("backfill", "daily", "-s", "2024-01-01", "-e", f"2024-01-0{DATES}")
    done = tailrace(*command, "--detach")
    assert done.returncode == 0, done.stderr
    assert "no scheduler is running" in done.stderr
    assert done.stdout.startswith(f"backfill 1 of daily: queued, {DATES} runs")
    return command


def test_a_detached_backfill_is_driven_by_a_scheduler(place: Place, tailrace: Run) -> None:
    detached(place, tailrace)
    assert not place.lines()
    ended(place.scheduler("--until-idle"))
    place.all_once()
    shown = json.loads(tailrace("backfill", "show", "1", "-o", "json").stdout)
    assert (shown["state"], shown["runs"]) == ("success", {"success": DATES})
    assert {run["run_id"].split("__")[0] for run in runs(tailrace)} == {"backfill"}, "its runs are the dates' runs"


def test_a_detached_backfill_is_continued_by_hand_beside_a_scheduler(place: Place, tailrace: Run) -> None:
    command = detached(place, tailrace)
    scheduler = place.scheduler("--until-idle")
    by_hand = place.start(*command, "-w", "2", "-o", "json")
    assert json.loads(ended(by_hand))["runs"] == {"success": DATES}
    ended(scheduler)
    place.all_once()


def test_a_scheduler_takes_up_a_killed_backfill_and_leaves_an_interrupted_one(place: Place, tailrace: Run) -> None:
    command = ("backfill", "daily", "-s", "2024-01-01", "-e", f"2024-01-0{DATES}", "-w", "2", "-q")
    tailrace("dags", "pause", "daily")
    interrupted = place.start(*command)
    place.wait_for_lines(2)
    interrupted.send_signal(signal.SIGINT)
    ended(interrupted, 130)
    before = sum(place.lines().values())
    tailrace("dags", "pause", "daily")
    ended(place.scheduler("--until-idle"))
    assert sum(place.lines().values()) == before, "it waits for the person who interrupted it"
    killed = place.start(*command)
    place.wait_for_lines(before + 2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    ended(place.scheduler("--until-idle"))
    place.all_once()


def test_an_example_is_not_left_to_schedulers(tailrace: Run) -> None:
    done = tailrace("backfill", "example_bash_operator", "-s", "2024-01-01", "--detach")
    assert (done.returncode, done.stdout) == (2, "")
    assert "leave out --detach" in done.stderr


def test_a_paused_dag_is_left_alone(place: Place, tailrace: Run) -> None:
    ended(place.start("backfill", "daily", "-s", "2024-01-01", "-q"))
    assert tailrace("dags", "pause", "daily").returncode == 0
    ended(place.scheduler("--until-idle"))
    assert len(runs(tailrace)) == 1


def test_changed_dag_files_are_loaded_again(place: Place, tailrace: Run) -> None:
    place.scheduler()
    place.wait_for_lines(2 * DATES)
    changed = DAG_FILE.replace("2024, 1, 6", "2024, 1, 7").replace("echo second", "echo third")
    (place.dags / "daily.py").write_text(changed)
    place.wait_for_lines(2 * DATES + 2)
    assert (place.lines()["first 2024-01-07"], place.lines()["third 2024-01-07"]) == (1, 1)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(place.started[0].pid)], capture_output=True, text=True)
    assert len(children.stdout.split()) == 3, "the new zygote and two workers; the former generation is gone"
    (place.dags / "daily.py").write_text("import os; os.kill(os.getpid(), 9)\n")
    time.sleep(3)
    (place.dags / "daily.py").write_text(changed.replace("2024, 1, 7", "2024, 1, 8"))
    place.wait_for_lines(2 * DATES + 4)
    assert place.lines()["third 2024-01-08"] == 1


def test_a_start_date_in_default_args_is_caught_up_from(place: Place, tailrace: Run) -> None:
    """newcomer 17: neither the start date nor the catchup that needs it had an effect."""
    text = DAG_FILE.replace("start_date=datetime(2024, 1, 1),", 'default_args={"start_date": datetime(2024, 1, 1)},')
    assert text != DAG_FILE
    (place.dags / "daily.py").write_text(text)
    ended(place.scheduler("--until-idle"))
    place.all_once()


def test_a_mistake_in_a_dag_file_stops_nothing(place: Place) -> None:
    """Its DAGs were gone from the scheduler at once, and their runs stood still."""
    (place.dags / "daily.py").write_text(DAG_FILE.replace("sleep 0.2", "sleep 0.6"))
    scheduler = place.scheduler()
    place.wait_for_lines(2)
    (place.dags / "daily.py").write_text("def (\n")
    place.wait_for_lines(2 * DATES)
    scheduler.send_signal(signal.SIGINT)
    said = scheduler.communicate(timeout=30)[1]
    assert "daily.py keeps the code that was loaded before, until it is corrected" in said
    assert "syntax error" in said


def test_an_example_is_not_triggered(tailrace: Run) -> None:
    done = tailrace("dags", "trigger", "example_weather")
    assert (done.returncode, done.stdout) == (2, "")
    assert "which no scheduler loads" in done.stderr


def test_the_bundled_examples_are_never_scheduled(place: Place, tailrace: Run) -> None:
    examples = Path(subprocess.check_output([sys.executable, "-c", _WHERE], text=True).strip())
    ended(place.scheduler("--until-idle", "--dags", os.fspath(examples)))
    assert json.loads(tailrace("runs", "list", "-o", "json").stdout) == []


_WHERE = "from tailrace.authoring.loading.load import bundled_examples_path; print(bundled_examples_path())"


def test_a_folder_that_is_not_there_is_refused(tailrace: Run) -> None:
    done = tailrace("scheduler", "--dags", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "does not exist" in done.stderr
