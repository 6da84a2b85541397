"""Finds the processes of the jobs we started, by their place in the tree, and sends them signals. Nobody else's."""

import ctypes
import os
import random
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tailrace.execution.system.identity import start_time

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Victim:
    """A process that may be hit. ``kind``: job, zygote, worker or task."""

    kind: str
    pid: int
    start: int

    def hit(self, number: int) -> bool:
        """Send it a signal, if it still is that process."""
        if start_time(self.pid) != self.start:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False


def adopt_what_is_orphaned() -> None:
    """Whatever a killed job leaves behind stays below this process, where it can be found."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """The children of a process, the eldest first."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants_of(pid: int) -> list[int]:
    """All processes below one."""
    found = children_of(pid)
    return found + [each for child in found for each in descendants_of(child)]


def started_later(pid: int) -> bool:
    """Whether a process is a zygote that took another's place, or one of a try's own: those are not forked."""
    try:
        return b"zygote.starting" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class Tree:
    """Who is what below our jobs. A zygote is known while its job lives: its eldest child, and those started later."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[int, int], str] = {}
        self.stopped: dict[Victim, float] = {}  # and when each is to be continued

    def look(self, jobs: list[int]) -> list[Victim]:
        """Every process of these jobs, and of jobs that were killed before."""
        victims = []
        for job in jobs:
            victims += self._named("job", [job])
            below = children_of(job)
            zygotes = [pid for pid in below if pid == below[0] or started_later(pid)]
            self._named("zygote", zygotes)
            self._named("worker", [pid for pid in below if pid not in zygotes])
        for pid in descendants_of(os.getpid()):
            key = pid, start_time(pid) or 0
            kind = self._kinds.get(key)
            if kind in ("zygote", "worker"):
                victims.append(Victim(kind, *key))
            if kind == "zygote":
                victims += self._named("task", children_of(pid))
        return victims

    def _named(self, kind: str, pids: list[int]) -> list[Victim]:
        named = []
        for pid in pids:
            start = start_time(pid)
            if start is not None:
                kind_now = self._kinds.setdefault((pid, start), kind)
                named.append(Victim(kind_now, pid, start))
        return named

    def stop(self, victim: Victim, seconds: float) -> bool:
        """SIGSTOP it for so long."""
        if victim in self.stopped or not victim.hit(signal.SIGSTOP):
            return False
        self.stopped[victim] = time.monotonic() + seconds
        return True

    def go_on(self, everyone: bool = False) -> None:
        """SIGCONT those whose time has come."""
        now = time.monotonic()
        for victim, until in list(self.stopped.items()):
            if everyone or until <= now:
                victim.hit(signal.SIGCONT)
                del self.stopped[victim]


def chosen(victims: list[Victim], lots: random.Random, weights: dict[str, float]) -> Victim | None:
    """One of them: first a kind by its weight, then any of that kind. None if there is none of it just now."""
    (kind,) = lots.choices(list(weights), list(weights.values()))
    of_kind = [victim for victim in victims if victim.kind == kind]
    return lots.choice(of_kind) if of_kind else None
