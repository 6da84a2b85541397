"""Who acts in a world: a job or a worker is one of the product's loops, and the effect it is at."""

from dataclasses import dataclass, field
from typing import Any

from tailrace.effects.asks import Effect, Loop, Parked
from tailrace.effects.tries import Claim, Submission
from tailrace.model.keys import ProcessIdentity


@dataclass(slots=True)
class Actor:
    """One loop, stepped effect by effect. ``effect`` is what it asks for now; None once it has ended."""

    name: str
    loop: Loop[Any]
    identity: ProcessIdentity
    effect: Effect[Any] | None = None
    result: Any = None

    def begin(self) -> None:
        """Run to the first effect."""
        self._step(None)

    def answer(self, value: Any) -> None:
        """Give the answer to the effect; runs to the next one."""
        self._step(value)

    def _step(self, value: Any) -> None:
        try:
            self.effect = self.loop.send(value)
        except StopIteration as end:
            self.effect, self.result = None, end.value

    @property
    def ended(self) -> bool:
        """Whether its loop is over."""
        return self.effect is None


@dataclass(slots=True)
class Job(Actor):
    """A backfill job, and what its executor would tell it."""

    id: int = 0
    hints: list[Submission] = field(default_factory=list)  # "this try has ended", true or not
    worker_lost: bool = False
    idle_polls: int = 0


@dataclass(slots=True)
class Worker(Actor):
    """A worker, and the try it has in hand."""

    parked: Parked | None = None
    claim: Claim | None = None
    submission: Submission | None = None
    steps_left: int = 0  # how often it will still be found running
    ending: Any = None
