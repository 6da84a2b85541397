"""What the lines cost that tell each failed try: one backfill of 10,000 failures, with them and without in one run.

``python -m benchmarks.failures`` runs it here and prints a JSON object. The whole run is timed, and in it the time that
goes into making and printing the lines: two runs of a minute differ by more than the hundredth that is promised.
"""

import json
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from benchmarks import dags
from benchmarks.measuring import Figure, empty_folder, run
from tailrace.cli.console import Console
from tailrace.cli.progress import ConsoleListener
from tailrace.effects.tries import FailedTry
from tailrace.runtime.settings import load_settings
from tailrace.service.backfill_report import BackfillCommand
from tailrace.service.launch import run_backfill

TASKS, DATES = 100, 100


class Timed(ConsoleListener):
    """Prints the lines as the command does, and adds up what that takes."""

    seconds = 0.0
    count = 0

    def on_failure(self, failed: FailedTry) -> None:
        """Print it, and count the time."""
        began = time.perf_counter()
        super().on_failure(failed)
        self.seconds += time.perf_counter() - began
        self.count += 1


def measure() -> None:
    """Run the backfill in this folder; print seconds with the lines, and seconds without."""
    Path("dag.py").write_text(dags.FAILING.replace("TASKS", str(TASKS)))
    first = date(2016, 1, 1)
    command = BackfillCommand("failing", start=str(first), end=str(first + timedelta(days=DATES - 1)))
    listener = Timed(Console(), live=False)
    began = time.perf_counter()
    run_backfill(command, load_settings({"dags": Path("dag.py"), "workers": 2}), listener)
    seconds = time.perf_counter() - began
    listener.close()
    if listener.count != TASKS * DATES:
        raise SystemExit(f"expected {TASKS * DATES} failures, found {listener.count}")
    print(json.dumps({"with": seconds, "without": seconds - listener.seconds}))


def lines(runs: int) -> list[Figure]:
    """Percent that the lines add."""
    root = str(Path(__file__).parents[1])
    found = []
    for _ in range(runs):
        command = [sys.executable, "-m", "benchmarks.failures"]
        found.append(json.loads(run(command, cwd=empty_folder(), env={"PYTHONPATH": root}).stdout))
    values = [100 * (each["with"] / each["without"] - 1) for each in found]
    seconds = min(each["without"] for each in found)
    return [Figure(f"lines of {TASKS * DATES:,} failures", "%", max(values), 1.0, False, "without, s", seconds, values)]


if __name__ == "__main__":
    measure()
