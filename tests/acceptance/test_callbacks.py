"""Callbacks as their authors see them: called, hanging, failing, and left behind by a job that was killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import Run, asked, clean_environment

HEAD = """
import json, os, time
from datetime import datetime
from pathlib import Path
from tailrace import DAG, BashOperator, PythonOperator, Variable
from tailrace.notifiers import Notifier, ShellCommand

HERE = Path(__file__).parent

def told(context):
    ti, run = context["ti"], context["dag_run"]
    said = [context["event"], ti.task_id, ti.state, ti.try_number, context["run_id"] == run.run_id]
    said += [str(context["exception"]), context["params"]["x"]]
    said += [ti.xcom_pull(task_ids="first"), Variable.get("v", "none")]
    with open(HERE / "told.txt", "a") as file:
        file.write(json.dumps(said) + "\\n")
    print("told of", ti.task_id, ti.log_url)
"""

CALLS = (
    HEAD
    + """
def boom(context):
    raise ValueError("boom")

def hang(context):
    time.sleep(1000)

def before(context):
    print("before", context["task"].bash_command)

class Kept(Notifier):
    template_fields = ("text",)
    def __init__(self, text):
        self.text = text
    def notify(self, context):
        (HERE / "kept.txt").write_text(self.rendered(context)["text"])

with DAG("calls", schedule="@daily", start_date=datetime(2024, 1, 1), params={"x": 7},
         default_args={"on_failure_callback": told, "on_retry_callback": [boom, told]},
         on_failure_callback=[told, Kept("{{ run_id }} {{ state }}: {{ reason }}")],
         on_backfill_end=ShellCommand("echo $TAILRACE_EVENT $TAILRACE_STATE {{ backfill_id }} > $DONE")):
    first = BashOperator(task_id="first", bash_command="echo hi", on_success_callback=told, on_execute_callback=before)
    bad = BashOperator(task_id="bad", bash_command="exit 3", retries=1, retry_delay=0)
    slow = BashOperator(task_id="slow", bash_command="true", on_success_callback=hang)
    first >> bad
"""
)


def write(folder: Path, name: str, code: str, settings: str) -> None:
    (folder / "dags").mkdir()
    (folder / "dags" / name).write_text(code)
    (folder / "tailrace.toml").write_text(settings)


def test_each_is_called_and_what_goes_wrong_is_said_in_a_line(tailrace: Run, tmp_path: Path) -> None:
    everywhere = '[notify]\non_task_retry = "shell: echo $TAILRACE_EVENT {{ ti.task_id }} > $DONE.all"\n'
    write(tmp_path, "calls.py", CALLS, f"callback_timeout_seconds = 2\n{everywhere}")
    done = tailrace("backfill", "calls", "-s", "2024-01-01", DONE=str(tmp_path / "done.txt"))
    assert done.returncode == 1
    told = sorted(json.loads(line) for line in (tmp_path / "dags" / "told.txt").read_text().splitlines())
    error = "BashFailed: bash exited 3"
    assert told == [
        ["on_failure_callback", "bad", "failed", 2, True, error, 7, "hi", "none"],
        ["on_failure_callback", "bad", "failed", 2, True, "bad is failed", 7, "hi", "none"],
        ["on_retry_callback", "bad", "up_for_retry", 1, True, error, 7, "hi", "none"],
        ["on_success_callback", "first", "success", 1, True, "None", 7, "hi", "none"],
    ]
    assert (tmp_path / "dags" / "kept.txt").read_text() == "backfill__2024-01-01T00:00:00+00:00 failed: bad is failed"
    assert (tmp_path / "done.txt").read_text() == "on_backfill_end failed 1\n"
    assert (tmp_path / "done.txt.all").read_text() == "on_retry_callback bad\n"
    lines = " ".join(done.stderr.split())
    assert (
        "on_retry_callback of calls.bad @ 2024-01-01 failed: boom: ValueError: boom; log: tailrace tasks logs" in lines
    )
    assert "on_success_callback of calls.slow @ 2024-01-01 failed: not done after 0:00:02" in lines
    log = tailrace("tasks", "logs", "calls", "bad", "2024-01-01", "--try", "1", "--callbacks")
    assert 'raise ValueError("boom")\nValueError: boom\ntold of bad file:///' in log.stdout
    first = tailrace("tasks", "logs", "calls", "first", "2024-01-01")
    assert "\nbefore echo hi\nhi\n" in first.stdout
    shown = asked(tailrace, "runs", "show", "calls", "2024-01-01")
    callbacks = shown["callbacks"]
    assert sorted((each["callback"], each["task_id"] or "", each["state"]) for each in callbacks) == [
        ("on_failure_callback", "", "called"),
        ("on_failure_callback", "bad", "called"),
        ("on_retry_callback", "bad", "failed"),
        ("on_success_callback", "first", "called"),
        ("on_success_callback", "slow", "failed"),
    ]
    states = {each["task_id"]: each["state"] for each in shown["task_instances"]}
    assert states == {"first": "success", "bad": "failed", "slow": "success"}, "whatever became of their callbacks"


LEFT = (
    HEAD
    + """
def killed_with_it(context):
    (HERE / f"called.{time.time_ns()}").write_text(context["event_id"])
    if not (HERE / "killed").exists():
        time.sleep(1000)

with DAG("left", schedule=None):
    BashOperator(task_id="a", bash_command="true", on_success_callback=killed_with_it)
"""
)


def test_what_a_killed_job_leaves_waits_for_the_next_and_is_said(tailrace: Run, tmp_path: Path) -> None:
    write(tmp_path, "left.py", LEFT, "lease_seconds = 15\n")
    command = [sys.executable, "-m", "tailrace", "backfill", "left", "-s", "2024-01-01"]
    dags = tmp_path / "dags"
    with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stderr=subprocess.DEVNULL) as job:
        until(lambda: list(dags.glob("called.*")))
        for pid in processes_of(job.pid):
            os.kill(pid, signal.SIGKILL)
    shown = tailrace("runs", "show", "left", "2024-01-01")
    assert "on_success_callback of a, try 1, is being called by process" in shown.stdout
    (dags / "killed").touch()
    until(lambda: "waits: no live job has the DAG" in tailrace("runs", "explain", "left", "2024-01-01").stdout, 60)
    assert tailrace("scheduler", "--until-idle").returncode == 0
    called = [each.read_text() for each in sorted(dags.glob("called.*"))]
    assert len(called) == 2, "once by each"
    assert len(set(called)) == 1, "with one id"
    [event] = asked(tailrace, "runs", "show", "left", "2024-01-01")["callbacks"]
    assert (event["state"], event["event_id"]) == ("called", called[0])


def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it never came"
        time.sleep(0.2)


def processes_of(pid: int) -> list[int]:
    """The process and all that it has started, itself first."""
    found = [pid]
    for each in found:
        children = Path(f"/proc/{each}/task/{each}/children")
        found += map(int, children.read_text().split()) if children.exists() else ()
    return found
