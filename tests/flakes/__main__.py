"""``make flakes N=20``: the suite N times, every other time beside busy processes, all but the first in another order.

Each run has a seed of its own, for the order of tests, for Hypothesis and for Python's hashes. What failed is kept
below ``.flakes`` with its seed, its order and all it printed. Ends with a table, and with 1 if anything failed.
"""

import argparse
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

KEPT = Path(".flakes")
BUSY = 4
#: So long a run may take before it counts as hung, in seconds. Where it hangs is in its log after a third of that.
PATIENCE = 3 * 3600

#: Three do nothing but count; the fourth also makes the disk wait. All end with whoever started them.
_SPIN = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(100_000))\n"
_WRITE = (
    "import os, tempfile\nparent = os.getppid()\nwith tempfile.TemporaryFile() as file:\n"
    "    while os.getppid() == parent:\n        file.seek(0)\n        file.write(os.urandom(65_536))\n"
    "        file.flush()\n        os.fsync(file.fileno())\n        sum(range(100_000))\n"
)


@dataclass(slots=True)
class Run:
    """One run of the suite. ``seed`` is None where tests run in the order in which they stand."""

    number: int
    seed: int | None
    beside_load: bool
    command: list[str] = field(default_factory=list)
    tests: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def kept(self) -> Path:
        """Where what it leaves behind is, if anything failed."""
        return KEPT / f"run-{self.number:03}"


def main() -> int:
    """Run, tell, and answer with the exit code."""
    parser = argparse.ArgumentParser(prog="make flakes", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="from which the runs' own seeds are drawn")
    parser.add_argument("suites", nargs="*", help="folders below tests; all of them if none is named")
    typed = parser.parse_args()
    folders = [f"tests/{suite}" for suite in typed.suites] or ["tests"]
    missing = [folder for folder in folders if not Path(folder).exists()]
    if missing:
        parser.error(f"there is no {', '.join(missing)}")
    seed = random.SystemRandom().randrange(2**32) if typed.seed is None else typed.seed
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir()
    print(f"{typed.runs} runs of {' '.join(folders)}, drawn from --seed {seed}", flush=True)
    runs: list[Run] = []
    interrupted = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print(_HEAD)
        for run in _drawn(typed.runs, seed):
            with _load(BUSY if run.beside_load else 0):
                _perform(run, folders)
            runs.append(run)
            print(_line(run), flush=True)
    except KeyboardInterrupt:
        interrupted = True
        print("interrupted: the run that was under way is not counted", flush=True)
    _tell(runs)
    return 130 if interrupted else int(any(run.failed for run in runs))


def _drawn(count: int, seed: int) -> Iterator[Run]:
    draw = random.Random(seed)
    for number in range(1, count + 1):
        own = draw.randrange(2**32)
        yield Run(number, None if number == 1 else own, beside_load=number % 2 == 0)


@contextmanager
def _load(count: int) -> Iterator[None]:
    """So many busy processes, meanwhile."""
    codes = [_WRITE if place == 0 else _SPIN for place in range(count)]
    busy = [subprocess.Popen([sys.executable, "-c", code]) for code in codes]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()


def _perform(run: Run, folders: Sequence[str]) -> None:
    """Run the suite once, in a process group of its own, and take in what failed."""
    run.kept.mkdir()
    order, results = run.kept / "order.txt", run.kept / "results.xml"
    run.command = [sys.executable, "-m", "pytest", "-p", "tests.random_order", *folders]
    environ = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(run.kept / "hypothesis")}
    environ["PYTHONHASHSEED"] = str(run.seed or 0)
    if run.seed is not None:
        run.command += ["--order-seed", str(run.seed), "--hypothesis-seed", str(run.seed)]
        run.command += ["--hypothesis-profile", "drawn"]
    extra = ["--order-file", str(order), "--junitxml", str(results), "-o", f"faulthandler_timeout={PATIENCE // 3}"]
    began = time.monotonic()
    with (run.kept / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [*run.command, *extra], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ, process_group=0
        )
        try:
            code: int | None = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    run.seconds = time.monotonic() - began
    run.tests, run.failed = _results(results)
    if code is None:
        run.failed.append(f"the run itself, which did not end within {PATIENCE // 3600} hours")
    elif code != 0 and not run.failed:
        run.failed.append(f"the run itself, which ended with {code}")
    if not run.failed:
        shutil.rmtree(run.kept)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of a run is left when the next begins: pytest takes down what it has put up, or is killed."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            pass
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _results(file: Path) -> tuple[int, list[str]]:
    """How many tests there were, and which did not pass."""
    try:
        cases = list(ElementTree.parse(file).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return 0, []
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return len(cases), sorted({f"{case.get('classname')}::{case.get('name')}" for case in bad})


_HEAD = f"{'run':>4}  {'seed':>13}  {'':<5}  {'tests':>6}  {'failed':>6}  {'took':>9}"


def _line(run: Run) -> str:
    seed = "as they stand" if run.seed is None else str(run.seed)
    load = "busy" if run.beside_load else "quiet"
    return f"{run.number:>4}  {seed:>13}  {load:<5}  {run.tests:>6,}  {len(run.failed):>6}  {run.seconds:>7.0f} s"


def _tell(runs: Sequence[Run]) -> None:
    """The table, and whatever did not always hold, with how to see it again."""
    print(f"\n{_HEAD}")
    for run in runs:
        print(_line(run))
    failures: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        for name in run.failed:
            failures[name].append(run)
    if not failures:
        print(f"\nall of them held, {len(runs)} times")
        return
    print(f"\n{len(failures)} did not always hold; their logs and orders are below {KEPT}/")
    for name, failed in sorted(failures.items(), key=lambda each: -len(each[1])):
        print(f"  {len(failed)} of {len(runs)}: {name} (run {', '.join(str(run.number) for run in failed)})")
    for run in {run.number: run for failed in failures.values() for run in failed}.values():
        print(f"run {run.number} again: PYTHONHASHSEED={run.seed or 0} {shlex.join(run.command)}")


if __name__ == "__main__":
    sys.exit(main())
