"""ExternalTaskSensors in real processes: two jobs, of which one waits for the other's DAG, and each for the other's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Run, asked, clean_environment
from tests.acceptance.test_sensors import seen

DAG_FILE = """
from datetime import datetime
from pathlib import Path
from tailrace import DAG, BashOperator, EmptyOperator, ExternalTaskSensor

go = Path(__file__).with_name("go")
days = {"schedule": "@daily", "start_date": datetime(2024, 1, 1)}
sensor = {"mode": "reschedule", "poke_interval": 3600}
with DAG("raw", **days):
    BashOperator(task_id="load", bash_command=f"until test -e {go}; do sleep 0.1; done")
with DAG("report", **days):
    ExternalTaskSensor(task_id="loaded", external_dag_id="raw", external_task_id="load", **sensor) >> EmptyOperator(
        task_id="write")
for name, other in (("hen", "egg"), ("egg", "hen")):
    with DAG(name, **days):
        ExternalTaskSensor(task_id="there", external_dag_id=other, external_task_id="laid", **sensor) >> EmptyOperator(
            task_id="laid")
"""


def job(folder: Path, dag_id: str) -> "subprocess.Popen[bytes]":
    """A backfill of one date, in a process of its own."""
    words = ("backfill", dag_id, "-s", "2024-01-01", "-e", "2024-01-01", "-w", "1", "-q")
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", "tailrace", *words],
        cwd=folder,
        env=clean_environment(),
        stdin=nothing,
        stdout=nothing,
        stderr=nothing,
    )


def write_dags(folder: Path) -> Path:
    (folder / "dags").mkdir()
    (folder / "dags" / "waits.py").write_text(DAG_FILE)
    return folder / "dags" / "go"


def waits_for(tailrace: Run, dag_id: str) -> Callable[[], Any]:
    """What the first task of the DAG's run waits for; nothing before it waits."""

    def look() -> Any:
        listed = tailrace("tasks", "list", dag_id, "--state", "up_for_reschedule", "-o", "json")
        if listed.returncode or not listed.stdout:
            return None
        found = asked(tailrace, "tasks", "list", dag_id, "--state", "up_for_reschedule")
        return found and found[0]["waits_for"]

    return look


def test_it_is_woken_by_another_job_one_of_which_was_killed(tailrace: Run, tmp_path: Path) -> None:
    go = write_dags(tmp_path)
    report = job(tmp_path, "report")
    first = raw = None
    try:
        [missing] = seen(waits_for(tailrace, "report"))
        assert (missing["dag_id"], missing["state"]) == ("raw", "not there")
        first = job(tmp_path, "raw")
        seen(lambda: waits_for(tailrace, "report")()[0]["state"] == "running")
        first.kill()
        first.wait()
        raw = job(tmp_path, "raw")
        shown = asked(tailrace, "backfill", "show", "1")
        assert shown["waiting"]["count"] == 1
        assert shown["waiting"]["first"][0]["waits_for"][0]["task_id"] == "load"
        assert report.poll() is None
        go.touch()
        assert raw.wait(60) == 0
        ended = time.monotonic()
        assert report.wait(60) == 0
        assert time.monotonic() - ended < 30  # not by its poke_interval of an hour
    finally:
        for process in (report, first, raw):
            if process is not None and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
    log = tailrace("tasks", "logs", "report", "loaded", "2024-01-01").stdout
    assert "asked 2 times: it is there" in log


def test_jobs_whose_runs_wait_for_each_other_end_deadlocked(tailrace: Run, tmp_path: Path) -> None:
    write_dags(tmp_path)
    jobs = [job(tmp_path, "hen"), job(tmp_path, "egg")]
    try:
        assert [each.wait(60) for each in jobs] == [3, 3]
    finally:
        for each in jobs:
            if each.poll() is None:
                each.kill()
                each.wait()
    reasons = [run["reason"] for run in asked(tailrace, "runs", "list", "--state", "deadlocked")]
    assert len(reasons) == 2
    assert sum("tries wait for each other: " in reason for reason in reasons) == 1
    explained = asked(tailrace, "tasks", "explain", "hen", "there", "2024-01-01")
    assert explained["doomed"] and explained["release"]["code"] == "nothing_awaited"
    [reason] = [each for each in explained["dependencies"] if not each["met"]]
    assert (reason["code"], reason["fields"]["awaited"][0]["dag_id"]) == ("awaits", "egg")
