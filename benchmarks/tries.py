"""Tries a second through zygote and workers alone, no metastore: ``python -m benchmarks.tries [TRIES] [ISOLATION …]``.

Prints processor time a try for each kind of process too: other users of the machine change it less than the rate.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import dags, floors
from tailrace.effects.requests import Accepted, ClaimTry, RenewLease, ReportOutcome
from tailrace.effects.tries import Claim, Renewal, Submission
from tailrace.execution.executors.local import LocalExecutor
from tailrace.execution.workers.loop import worker_loop
from tailrace.execution.workers.worker_channel import WorkerChannel
from tailrace.execution.zygote.handle import start_zygote
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind

WORKERS = 2
TICKS_A_SECOND = 100
DAY = datetime(2016, 1, 1, tzinfo=UTC)


def working(offered: dict[int, Submission]) -> Callable[[WorkerChannel], None]:
    """A worker whose claims are all won and whose reports all land, at once."""

    def work(channel: WorkerChannel) -> None:
        loop = worker_loop(15.0)
        answer: Any = None
        while True:
            try:
                effect = loop.send(answer)
            except StopIteration:
                return
            if isinstance(effect, ClaimTry):
                answer = claim_of(offered[effect.request.id])
            elif isinstance(effect, ReportOutcome):
                assert effect.outcome.kind is OutcomeKind.SUCCESS, effect.outcome
                answer = Accepted("success")
            else:
                answer = Renewal.HELD if isinstance(effect, RenewLease) else channel.perform(effect)

    return work


def claim_of(offer: Submission) -> Claim:
    """The claim of an offered try."""
    return Claim(offer.id, offer.key, 1, 1, 0, DAY, DataInterval(DAY, DAY), "backfill", {}, False, False, DAY)


def milliseconds_of(pid: int) -> tuple[float, float]:
    """Processor time of a process, and of those it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, waited = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return own * 1000 / TICKS_A_SECOND, waited * 1000 / TICKS_A_SECOND


def measure(tries: int, isolation: str) -> str:
    """Run so many no-op tries; one line about them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dag.py"
        file.write_text(dags.DIAMOND_PYTHON)
        keys = [TryKey(TaskInstanceKey("diamond_python", f"run{n // 3}", f"runme_{n % 3}"), 1) for n in range(tries)]
        offers = {n: Submission(n, key) for n, key in enumerate(keys)}
        zygote = start_zygote(file, Path(folder) / "home", isolation=isolation)
        executor = LocalExecutor(
            WORKERS, zygote, working(offers), before_fork=lambda: None, wakeup=-1, grace_seconds=5.0
        )
        began, finished = time.perf_counter(), 0
        executor.submit(list(offers.values()))
        while finished < tries:
            finished += executor.wait(1.0).finished
        seconds = time.perf_counter() - began
        own, tasks = milliseconds_of(zygote.pid)
        workers = sum(milliseconds_of(worker.pid)[0] for worker in executor._workers)
        executor.stop()
        zygote.stop()
    each = f"worker {workers / tries:.2f}, zygote {own / tries:.2f}, task {tasks / tries:.2f}"
    return f"{isolation:7} {tries / seconds:7.0f} tries/s   processor ms a try: {each}"


def main() -> None:
    """Print the floor and a line for each isolation."""
    tries = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    print(f"{'floor':7} {floors.forks_per_second(2000):7.0f} bare forks/s")
    for isolation in sys.argv[2:] or ["fork", "worker"]:
        print(measure(tries, isolation), flush=True)


if __name__ == "__main__":
    main()
