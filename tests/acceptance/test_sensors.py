"""Sensors in real processes: many wait beside one worker, and a killed job's are resumed in the same try."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Run, asked, clean_environment

DAG_FILE = """
from datetime import datetime
from pathlib import Path
from tailrace import DAG, BashOperator, FileSensor, task

defaults = {"mode": "reschedule", "poke_interval": 0.2, "timeout": 100}
with DAG("waits", schedule="@daily", start_date=datetime(2024, 1, 1), default_args=defaults):
    deliver = BashOperator(task_id="deliver", bash_command="touch there", cwd=str(Path(__file__).parent))

    @task.sensor
    def third(ti):
        Path(__file__).with_name("looks").open("a").write(f"{ti.try_number} {ti.try_token.rpartition('#')[2]}\\n")
        return ti.reschedules >= 2

    @task.sensor(poke_interval=2)
    def held(ti):
        print(f"look {ti.reschedules}")
        return Path(__file__).with_name("go").exists()

    for number in range(4):
        FileSensor(task_id=f"file_{number}", filepath=str(Path(__file__).with_name("there")), priority_weight=9)
    third() >> deliver
    held()
"""


def write_dag(folder: Path) -> Path:
    dags = folder / "dags"
    dags.mkdir()
    (dags / "waits.py").write_text(DAG_FILE)
    return dags


def seen(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What it returns, once that is true."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.1)
    return found


def test_a_killed_job_s_waits_go_on_in_the_same_try(tailrace: Run, tmp_path: Path) -> None:
    """One worker: five others wait while what they wait for is made."""
    dags = write_dag(tmp_path)
    command = ("backfill", "waits", "-s", "2024-01-01", "-e", "2024-01-01", "-w", "1")
    job = subprocess.Popen(
        [sys.executable, "-m", "tailrace", *command, "-q"],
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def tasks() -> dict[str, str]:
        listed = tailrace("tasks", "list", "waits", "-s", "2024-01-01", "-e", "2024-01-01", "-o", "json")
        if listed.returncode or not listed.stdout:
            return {}
        return {each["task_id"]: each["state"] for each in json.loads(listed.stdout)}

    def only_held_waits() -> bool:
        found = tasks()
        return bool(found) and {name for name, state in found.items() if state != "success"} == {"held"}

    try:
        seen(only_held_waits)
        assert tasks()["held"] == "up_for_reschedule"
    finally:
        os.kill(job.pid, signal.SIGKILL)
        job.wait()
    assert (dags / "looks").read_text().splitlines() == ["1 1", "1 2", "1 3"]
    [waiting] = asked(tailrace, "tasks", "list", "--state", "up_for_reschedule", "waits")
    assert re.match(r"asked \S+( times)?, goes on at .*, times out at ", waiting["reason"])
    explained = asked(tailrace, "tasks", "explain", "waits", "held", "2024-01-01")
    assert explained["reschedules"] >= 1
    assert (explained["try_number"], explained["holder"]) == (1, None)
    assert explained["times_out_at"] > explained["start"]

    (dags / "go").touch()
    done = tailrace(*command, "-q")
    assert done.returncode == 0, done.stderr
    log = tailrace("tasks", "logs", "waits", "held", "2024-01-01").stdout
    assert log.index("look 0") < log.index("--- rescheduled after") < log.index(", goes on ") < log.index("look 1")
    assert re.search(r"asked \d+ times: it is there", log)
    assert {each["try_number"] for each in asked(tailrace, "tasks", "list", "--state", "success", "waits")} == {1}
