"""Two thousand rescheduled tries that wait, by the event and by the time: what the loop costs meanwhile, and how soon
one goes on."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from benchmarks.measuring import Figure, empty_folder

_DATES, _SENSORS = 100, 20
_WAITS = _DATES * _SENSORS
_WATCHED_SECONDS = 30.0

_SOURCE = """
from datetime import datetime, timedelta
from tailrace import DAG, EmptyOperator, ExternalTaskSensor, DateTimeSensor

days = {"schedule": "@daily", "start_date": datetime(2016, 1, 1), "max_active_runs": 100, "max_active_tasks": 2000}
with DAG("raw", **days):
    EmptyOperator(task_id="load")
with DAG("by_event", **days):
    for number in range(SENSORS):
        ExternalTaskSensor(task_id=f"s{number}", external_dag_id="raw", external_task_id="load", mode="reschedule")
with DAG("by_time", **days):
    for number in range(SENSORS):
        DateTimeSensor(task_id=f"s{number}", target_time=datetime(2999, 1, 1), timeout=timedelta(days=999999),
                       mode="reschedule")
"""


def _command(folder: Path, *words: str) -> list[str]:
    dates = ("-s", "2016-01-01", "-e", "2016-04-09")
    return [
        sys.executable,
        "-m",
        "tailrace",
        "backfill",
        *words,
        "--dags",
        str(folder / "dag.py"),
        *dates,
        "-w",
        "2",
        "-q",
    ]


@contextmanager
def _waiting(dag_id: str) -> Iterator[tuple[Path, psutil.Process]]:
    """A backfill all of whose tries wait."""
    folder = empty_folder()
    (folder / "dag.py").write_text(_SOURCE.replace("SENSORS", str(_SENSORS)))
    job = subprocess.Popen(_command(folder, dag_id), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 300
        while _count(folder, "state = 'up_for_reschedule'") < _WAITS:
            if job.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{dag_id}: its sensors do not wait")
            time.sleep(0.5)
        yield folder, psutil.Process(job.pid)
    finally:
        if job.poll() is None:
            os.kill(job.pid, signal.SIGKILL)
        job.wait()


def _count(folder: Path, condition: str) -> int:
    database = folder / ".tailrace" / "tailrace.db"
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as connection:
        try:
            return int(connection.execute(f"SELECT count(*) FROM task_instance WHERE {condition}").fetchone()[0])
        except sqlite3.OperationalError:  # its tables are not made yet
            return 0


def _share(job: psutil.Process) -> float:
    """How much of a core the loop takes, in percent."""
    before = job.cpu_times()
    time.sleep(_WATCHED_SECONDS)
    after = job.cpu_times()
    used = after.user + after.system - before.user - before.system
    return 100 * used / _WATCHED_SECONDS


def _latencies(folder: Path) -> list[float]:
    """From the end of what each waited for to the moment at which it was queued again, in milliseconds."""
    query = """
        SELECT (julianday(resumed.at) - julianday(ended.at)) * 86400000
        FROM history AS resumed JOIN history AS ended ON ended.run_id = resumed.run_id
        WHERE resumed.cause = 'resumed' AND resumed.dag_id = 'by_event'
        AND ended.dag_id = 'raw' AND ended.task_id = 'load' AND ended.after = 'success'
    """
    with closing(sqlite3.connect(folder / ".tailrace" / "tailrace.db")) as connection:
        return [row[0] for row in connection.execute(query)]


def waits() -> list[Figure]:
    """The loop's share of a core under each kind of wait; how many hold a worker; from the event to the next look."""
    with _waiting("by_time") as (folder, job):
        held = _count(folder, "state IN ('queued', 'running')")
        by_time = _share(job)
    with _waiting("by_event") as (folder, job):
        held += _count(folder, "state IN ('queued', 'running')")
        by_event = _share(job)
        subprocess.run(_command(folder, "raw"), cwd=folder, check=True, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 300
        while _count(folder, "dag_id = 'by_event' AND state <> 'success'"):
            if time.monotonic() > until:
                raise SystemExit("by_event: what it waited for has come, and it waits on")
            time.sleep(0.2)
        found = _latencies(folder)
    return [
        Figure(f"{_WAITS:,} waits for a time, the loop's core", "%", by_time, 2.0, False),
        Figure(f"{_WAITS:,} waits for events, the loop's core", "%", by_event, 2.0, False),
        Figure("of them holding a worker", "", held, 0, False),
        Figure("from the event to the first next look", "ms", min(found), 5000.0, False),
    ]
