"""A run with two thousand mapped instances: its rate beside the diamond's, and the longest step of its job's loop."""

import json
import statistics
import sys
from pathlib import Path

from benchmarks import dags
from benchmarks.measuring import Figure, empty_folder, run

INSTANCES = 2000
DATES = 100
_DIAMOND = 6 * DATES


def _seconds(source: str, dag_id: str, last: str, expected: int) -> tuple[float, float]:
    """The wall time of a cold backfill whose loop is watched, and its longest step, in seconds."""
    folder = empty_folder()
    (folder / "dag.py").write_text(source)
    command = [sys.executable, "-m", "benchmarks.watched", str(folder / "steps"), "backfill", dag_id]
    command += ["--dags", str(folder / "dag.py"), "-w", "2", "-q", "-o", "json", "-s", "2016-01-01", "-e", last]
    env = {"TAILRACE_MAX_MAP_LENGTH": str(INSTANCES), "PYTHONPATH": str(Path(__file__).parents[1])}
    measured = run(command, cwd=folder, env=env)
    ended = json.loads(measured.stdout)["task_instances"]
    if ended != {"success": expected}:
        raise SystemExit(f"{dag_id}: expected {expected} task instances in success, found {ended}")
    return measured.seconds, float((folder / "steps").read_text())


def mapped(runs: int) -> list[Figure]:
    """By turns with the diamond: a machine's moods then meet both."""
    figures = []
    for name, source, count in (
        ("mapped instances", dags.MAPPED, INSTANCES + 2),
        ("in a mapped group of 4", dags.MAPPED_GROUP, INSTANCES + 2),
    ):
        rates, alone, steps = [], [], []
        for _ in range(runs):
            seconds, step = _seconds(source, "mapped", "2016-01-01", count)
            rates.append(count / seconds)
            steps.append(step * 1000)
            alone.append(_DIAMOND / _seconds(dags.DIAMOND_PYTHON, "diamond_python", "2016-04-09", _DIAMOND)[0])
        floor, shares = statistics.median(alone), [100 * rate / own for rate, own in zip(rates, alone, strict=True)]
        about = f"{INSTANCES:,} {name}"
        figures += [
            Figure(f"{about}: rate", "%", statistics.median(shares), 60.0, True, "diamond, TI/s", floor, shares),
            Figure(f"{about}: longest step", "ms", statistics.median(steps), 300.0, False, runs=steps),
        ]
    return figures
