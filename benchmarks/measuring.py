"""Running a command and measuring it from outside: wall time, and memory summed over its whole process tree."""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_FOLDERS = tempfile.TemporaryDirectory(prefix="tailrace-bench-")  # removed when this process ends


def empty_folder() -> Path:
    """An empty folder, kept until everything is measured.

    A benchmark that tidies up between its runs measures its tidying: ext4 without a journal steps over every inode
    deleted in the last minutes, one by one, for each new file, which made the 600 log files of a backfill a third of
    its wall time.
    """
    return Path(tempfile.mkdtemp(dir=_FOLDERS.name))


def settle() -> None:
    """Wait until the file system has forgotten what others deleted (``make test`` does): six minutes at most."""
    until = time.monotonic() + 360
    while (cost := _microseconds_a_file()) > 30 and time.monotonic() < until:
        print(f"a new file takes {cost:.0f} µs; waiting for the file system to settle", file=sys.stderr)
        time.sleep(30)


def _microseconds_a_file() -> float:
    folder, count = empty_folder(), 300
    began = time.perf_counter()
    for number in range(count):
        (folder / str(number)).touch()
    return (time.perf_counter() - began) / count * 1e6


@dataclass(frozen=True)
class Measured:
    """One run of a command. Memory in megabytes: RSS counts shared pages once per process, PSS divides them."""

    seconds: float
    stdout: str
    peak_rss: float = 0.0
    peak_pss: float = 0.0


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, its target, its floor, and whether the target is reached."""

    name: str
    unit: str
    measured: float
    target: float
    higher_is_better: bool
    floor_name: str = ""
    floor: float | None = None
    runs: Sequence[float] = field(default_factory=tuple)

    @property
    def reached(self) -> bool:
        """Whether the measured value is at least as good as the target."""
        better = self.measured >= self.target if self.higher_is_better else self.measured <= self.target
        return better

    @property
    def ratio(self) -> float | None:
        """Measured over floor, or None without a floor."""
        return self.measured / self.floor if self.floor else None


def run(command: Sequence[str], *, cwd: Path, env: dict[str, str] | None = None, memory: bool = False) -> Measured:
    """Run ``command`` to its end and fail loudly if it fails; with ``memory``, sample its tree 20 times a second."""
    surroundings = {**os.environ, **(env or {})}
    surroundings.pop("PYTHONDONTWRITEBYTECODE", None)  # it would charge every start with a recompilation
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=cwd, env=surroundings, stdout=out, stderr=err)
        peaks = _Peaks(process.pid) if memory else None
        code = process.wait()
        seconds = time.perf_counter() - began
        if peaks is not None:
            peaks.stop()
        out.seek(0)
        err.seek(0)
        if code != 0:
            raise SystemExit(f"{' '.join(command)} exited {code}:\n{err.read()[-4000:]}")
        rss, pss = (peaks.rss, peaks.pss) if peaks else (0.0, 0.0)
        return Measured(seconds, out.read(), rss, pss)


class _Peaks:
    """Samples a process tree in a thread until stopped."""

    def __init__(self, pid: int) -> None:
        self.rss = self.pss = 0.0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.05):
            rss = pss = 0
            try:
                tree = [self._root, *self._root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in tree:
                try:
                    memory = process.memory_full_info()
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
                rss += memory.rss
                pss += memory.pss
            self.rss = max(self.rss, rss / 1e6)
            self.pss = max(self.pss, pss / 1e6)


def median_of(times: int, measure: Callable[[], float]) -> tuple[float, list[float]]:
    """The median of several measurements, and all of them."""
    values = [measure() for _ in range(times)]
    return statistics.median(values), values
