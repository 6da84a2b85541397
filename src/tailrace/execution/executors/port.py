"""The executor port: takes queued tries, gives hints. Nothing it reports decides anything."""

from collections.abc import Sequence
from typing import Protocol

from tailrace.effects.requests import WaitResult
from tailrace.effects.tries import Submission


class Executor(Protocol):
    """Runs submitted tries somewhere. Every method may be called again without harm."""

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Take tries; one it already has in hand is ignored."""

    def wait(self, seconds: float) -> WaitResult:
        """Wait for an event, at most this long; 0 only polls."""

    def drain(self) -> None:
        """Forget the tries no worker has begun."""

    def terminate(self, *, at_once: bool = False) -> None:
        """End what runs, gently or at once; its tries are reported as lost."""

    def stop(self) -> None:
        """End: workers finish the try in hand and go."""


class ForkingExecutor(Executor, Protocol):
    """An executor of this host, one of several in one process."""

    @property
    def trouble(self) -> str:
        """What keeps tries from being begun just now, in one line; empty: nothing."""

    def disown(self) -> None:
        """In a process that another one forked: close what was inherited from this one."""
