"""Jobs beside and after each other: two backfills started at once, and one that is killed and typed again.

The tasks write a ledger themselves, so that a double start is counted where it would do harm.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.measuring import Figure, empty_folder

DATES = 50
TASKS_A_DATE = 4
WORKERS = 4  # in all: of one job, or of both together

DAG_FILE = '''
"""Four tasks a date, a tenth of a second each; every start is a line in the ledger."""
import os, time
from datetime import datetime
from tailrace import DAG, PythonOperator

def work(ti):
    ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND)
    os.write(ledger, f"{ti.run_id} {ti.task_id} {ti.try_number} {time.clock_gettime(time.CLOCK_MONOTONIC)}\\n".encode())
    os.close(ledger)
    time.sleep(0.1)

with DAG("shared", schedule="@daily", start_date=datetime(2016, 1, 1)):
    first, *middle, last = [PythonOperator(task_id=f"t{n}", python_callable=work) for n in range(4)]
    first >> middle >> last
'''


def start(folder: Path, workers: int, url: str | None = None) -> "subprocess.Popen[str]":
    """One job over the fifty dates; all jobs of a folder share its metastore and ledger."""
    (folder / "shared.py").write_text(DAG_FILE)
    (folder / "ledger").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAILRACE_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    environment = {**kept, "LEDGER": str(folder / "ledger"), **({"TAILRACE_DATABASE_URL": url} if url else {})}
    command = [sys.executable, "-m", "tailrace", "backfill", "shared", "-s", "2016-01-01", "-e", "2016-02-19"]
    command += ["--dags", str(folder / "shared.py"), "-w", str(workers), "-q", "-o", "json"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def ended(job: "subprocess.Popen[str]") -> None:
    """Wait for a job's good end."""
    out, err = job.communicate(timeout=600)
    if job.returncode != 0 or json.loads(out)["runs"] != {"success": DATES}:
        raise SystemExit(f"a job ended with exit {job.returncode}:\n{out}\n{err}")


def wall_seconds(jobs: int, url: str | None = None) -> tuple[float, int]:
    """Wall time of so many jobs started at once that share ``WORKERS`` workers; and how many tries started twice."""
    folder = empty_folder()
    began = time.perf_counter()
    running = [start(folder, WORKERS // jobs, url) for _ in range(jobs)]
    for job in running:
        ended(job)
    seconds = time.perf_counter() - began
    starts = Counter(tuple(line.split()[:2]) for line in (folder / "ledger").read_text().splitlines())
    if len(starts) != DATES * TASKS_A_DATE:
        raise SystemExit(f"{len(starts)} task instances were started, not {DATES * TASKS_A_DATE}")
    return seconds, sum(starts.values()) - len(starts)


def together(runs: int, store: str, new_url: Callable[[], str] | None = None) -> list[Figure]:
    """Two backfills of the same dates, started at the same moment, against one with as many workers."""
    alone, both, doubled = [], [], 0
    for _ in range(runs):
        alone.append(wall_seconds(1, new_url and new_url())[0])
        seconds, twice = wall_seconds(2, new_url and new_url())
        both.append(seconds)
        doubled += twice
    floor = statistics.median(alone)
    ratio = statistics.median(both) / floor
    spread = [seconds / floor for seconds in both]
    name = f"two backfills at once, {store}"
    return [
        Figure(f"{name}, / one", "times", ratio, 1.1, False, "one backfill, s", floor, spread),
        Figure(f"{name}, double starts in {runs}", "", doubled, 0, False),
    ]


def resume(runs: int) -> list[Figure]:
    """A job killed with everything of it, half way; seconds from typing it again to its first new task."""
    seconds = [_resume_seconds() for _ in range(runs)]
    return [Figure("killed, typed again: first new task", "s", statistics.median(seconds), 2.0, False, runs=seconds)]


def _resume_seconds() -> float:
    folder = empty_folder()
    ledger = folder / "ledger"
    job = start(folder, WORKERS)
    while len(ledger.read_text().splitlines()) < DATES * TASKS_A_DATE // 2:
        time.sleep(0.01)
    below = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none sees another die
        for pid in (job.pid, *map(int, below)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    job.communicate()
    before = len(ledger.read_text().splitlines())
    typed = time.clock_gettime(time.CLOCK_MONOTONIC)
    again = start(folder, WORKERS)
    ended(again)
    first_new = ledger.read_text().splitlines()[before]
    return float(first_new.split()[3]) - typed
