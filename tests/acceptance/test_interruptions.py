"""Killed, interrupted, doubled: the same command finishes, and no task's work is done twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.conftest import clean_environment

DAG_FILE = """
from datetime import datetime
from tailrace import DAG, BashOperator

with DAG("slow", schedule="@daily", start_date=datetime(2024, 1, 1)):
    first = BashOperator(task_id="first", bash_command="sleep 0.2; echo first {{ ds }} >> $LEDGER")
    first >> BashOperator(task_id="second", bash_command="sleep 0.2; echo second {{ ds }} >> $LEDGER")
"""
DATES = 6


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "slow.py").write_text(DAG_FILE)
    (tmp_path / "ledger").touch()
    return tmp_path / "ledger"


def start(ledger: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tailrace", "backfill", "slow", "-s", "2024-01-01", "-e", f"2024-01-0{DATES}"]
    return subprocess.Popen(
        [*command, "-w", "2", "-q", "-o", "json"],
        cwd=ledger.parent,
        env=clean_environment(LEDGER=str(ledger)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def wait_for_lines(ledger: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(ledger.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, "the backfill does not move"
        time.sleep(0.02)


def finished(process: "subprocess.Popen[str]", code: int = 0) -> dict[str, object]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (out, err)
    answer: dict[str, object] = json.loads(out)
    return answer


def all_once(ledger: Path) -> None:
    done = Counter(ledger.read_text().splitlines())
    assert len(done) == 2 * DATES
    assert set(done.values()) == {1}


def test_killed_and_typed_again(ledger: Path) -> None:
    killed = start(ledger)
    wait_for_lines(ledger, 3)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    answer = finished(start(ledger))
    assert answer["runs"] == {"success": DATES}
    all_once(ledger)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_typed_again(ledger: Path, number: signal.Signals, code: int) -> None:
    interrupted = start(ledger)
    wait_for_lines(ledger, 3)
    interrupted.send_signal(number)
    assert finished(interrupted, code)["state"] == "interrupted"
    assert finished(start(ledger))["runs"] == {"success": DATES}
    all_once(ledger)


def test_a_worker_killed_costs_its_try_alone(ledger: Path) -> None:
    process = start(ledger)
    wait_for_lines(ledger, 2)
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    worker = max(map(int, children.stdout.split()))  # the zygote is forked first, the workers after it
    os.kill(worker, signal.SIGKILL)
    assert finished(process)["runs"] == {"success": DATES}
    done = Counter(ledger.read_text().splitlines())
    assert len(done) == 2 * DATES
    assert sum(done.values()) <= 2 * DATES + 1


def test_two_at_once_share_the_work(ledger: Path) -> None:
    both = [start(ledger), start(ledger)]
    answers = [finished(process) for process in both]
    assert [answer["runs"] for answer in answers] == [{"success": DATES}] * 2
    all_once(ledger)
