"""Cleared, marked, cancelled or interrupted twice: what runs may clean up first, and holds its slot until it has."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tailrace.audit.checks import audit
from tailrace.metastore.store import Metastore
from tests.acceptance.conftest import Run, clean_environment

DAG_FILE = """
import os, time
from datetime import datetime
from tailrace import DAG, BashOperator, PythonOperator

def note(word):
    with open("FOLDER/py", "a") as file: file.write(word + " ")

def work(ti):
    note(f"began{ti.try_number}")
    try:
        while not os.path.exists("FOLDER/go"): time.sleep(0.05)
    finally:
        while not os.path.exists("FOLDER/release"): time.sleep(0.05)
        note(f"cleaned{ti.try_number}")

BASH = '''
cd FOLDER
clean() { while ! test -e release; do sleep 0.05; done; echo -n "cleaned{{ ti.try_number }} " >> bash; exit 1; }
trap clean TERM; echo -n "began{{ ti.try_number }} " >> bash
while ! test -e go; do sleep 0.05; done
'''
with DAG("slow", schedule="@daily", start_date=datetime(2024, 1, 1)):
    PythonOperator(task_id="py", python_callable=work)
    BashOperator(task_id="bash", bash_command=BASH)
"""
TASKS = ("py", "bash")


class Place:
    """A folder with a job that drives both tasks of one date."""

    def __init__(self, folder: Path, tailrace: Run) -> None:
        (folder / "dags").mkdir()
        (folder / "dags" / "slow.py").write_text(DAG_FILE.replace("FOLDER", str(folder)))
        self.folder, self.tailrace = folder, tailrace
        self.job = self.start()

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tailrace",
                "backfill",
                "slow",
                "-s",
                "2024-01-01",
                "-w",
                "2",
            ],
            cwd=self.folder,
            env=clean_environment(TAILRACE_GRACE_SECONDS="60"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def said(self, task_id: str) -> list[str]:
        file = self.folder / task_id
        return file.read_text().split() if file.exists() else []

    def wait_for(self, what: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not what():
            assert time.monotonic() < until, ("it never came", {each: self.said(each) for each in TASKS})
            time.sleep(0.05)

    def wait_until_both_said(self, *words: str) -> None:
        self.wait_for(lambda: all(self.said(each) == list(words) for each in TASKS))

    def states(self) -> dict[str, str]:
        shown = self.tailrace("runs", "show", "slow", "2024-01-01", "-o", "json")
        return {ti["task_id"]: ti["state"] for ti in json.loads(shown.stdout)["task_instances"]}

    def occupied(self) -> int:
        [pool] = json.loads(self.tailrace("pools", "list", "-o", "json").stdout)
        return int(pool["slots"] - pool["open"])

    def ended(self, code: int) -> str:
        _, err = self.job.communicate(timeout=60)
        assert self.job.returncode == code, err
        return err


@pytest.fixture
def place(tmp_path: Path, tailrace: Run) -> Iterator[Place]:
    made = Place(tmp_path, tailrace)
    made.wait_until_both_said("began1")
    yield made
    for name in ("go", "release"):
        (tmp_path / name).touch()
    made.job.communicate(timeout=60)
    with closing(Metastore.open(f"sqlite:///{tmp_path}/.tailrace/tailrace.db")) as metastore:
        assert audit(metastore.audit_records()) == ()


COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "clear": tuple(("tasks", "clear", "slow", each, "2024-01-01", "-y") for each in TASKS),
    "mark": tuple(("tasks", "mark", "slow", each, "2024-01-01", "--state", "success", "-y") for each in TASKS),
    "cancel": (("backfill", "cancel", "1", "-y"),),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_person_stops_may_clean_up_and_holds_its_slot_until_it_has(place: Place, command: str) -> None:
    for typed in COMMANDS[command]:
        assert place.tailrace(*typed).returncode == 0
    assert set(place.states().values()) == {"stopping"}, "and a second terminal sees it"
    time.sleep(5)  # its worker has heard of it by now
    assert (set(place.states().values()), place.occupied()) == ({"stopping"}, 2)
    (place.folder / "release").touch()
    place.wait_for(lambda: all("cleaned1" in place.said(each) for each in TASKS))
    if command == "clear":
        place.wait_until_both_said("began1", "cleaned1", "began2")
        (place.folder / "go").touch()
        place.ended(0)
        assert set(place.states().values()) == {"success"}
    else:
        place.ended(0 if command == "mark" else 5)
        assert set(place.states().values()) == ({"success"} if command == "mark" else {"none"})
        place.wait_until_both_said("began1", "cleaned1")


def _interrupt(place: Place, words: str) -> None:
    place.job.send_signal(signal.SIGINT)
    assert place.job.stderr is not None
    for line in place.job.stderr:
        if words in line:
            return
    raise AssertionError(f"it did not say {words!r}")


def test_a_second_interrupt_asks_and_a_third_waits_for_nobody(place: Place) -> None:
    _interrupt(place, "waiting for 2 running tasks; interrupt again to end them")
    _interrupt(place, "2 running tasks may clean up and end; their tries do not count as failures")
    time.sleep(1)
    assert place.job.poll() is None
    _interrupt(place, "interrupted once more: killing 2 running tasks")
    place.ended(130)
    assert [place.said(each) for each in TASKS] == [["began1"], ["began1"]]


def test_after_a_second_interrupt_what_runs_cleans_up(place: Place) -> None:
    _interrupt(place, "interrupted: nothing more is started")
    _interrupt(place, "may clean up and end")
    (place.folder / "release").touch()
    place.ended(130)
    place.wait_until_both_said("began1", "cleaned1")
