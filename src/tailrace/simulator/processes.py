"""Who acts in a world: a job or a worker is one of the product's loops, and the effect it is at.

A job stands for its process: its executor lives and dies with it.
"""

from dataclasses import dataclass, field
from typing import Any

from tailrace.effects.requests import ClaimEvent, Effect, Loop, NextEvent, NextTry, Wait
from tailrace.effects.tries import Claim, Submission, TryOutcome
from tailrace.model.keys import ProcessIdentity
from tailrace.simulator.ledger import Called
from tailrace.simulator.scenario import Command


@dataclass(slots=True)
class Process:
    """One loop, stepped effect by effect. ``effect`` is what it asks for now; None once it has ended."""

    name: str
    loop: Loop[Any]
    identity: ProcessIdentity
    effect: Effect[Any] | None = None
    result: Any = None
    stopped_until: float = 0.0  # somebody sent it SIGSTOP; SIGCONT comes then
    waiting_since: float | None = None  # for the lock of its write
    parked: int = 0  # how many processes it has had ready

    def begin(self) -> None:
        """Run to the first effect."""
        self._step(None)

    def resume(self, value: Any) -> None:
        """Send the result of the effect; runs to the next one."""
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

    @property
    def pressing(self) -> bool:
        """Whether it has something to do but wait."""
        return True


@dataclass(slots=True)
class Job(Process):
    """A backfill job with its executor: what it was handed, and the hints it has to report."""

    id: int = 0
    backfill_id: int | None = None  # None: a scheduler
    command: Command = field(default_factory=Command)
    alive: bool = True
    queue: list[Submission] = field(default_factory=list)  # any of its workers may take the first
    hints: list[Submission] = field(default_factory=list)  # "this try has ended", true or not
    worker_lost: bool = False
    draining: bool = False  # asked to start nothing more
    interrupts: int = 0  # how often somebody pressed Ctrl-C

    @property
    def pressing(self) -> bool:
        """Whether it has something to do but wait."""
        if not isinstance(self.effect, Wait):
            return True
        return self.effect.seconds == 0 or bool(self.hints) or self.worker_lost


@dataclass(slots=True)
class Worker(Process):
    """A worker of a job's executor, and the try it has in hand. It may outlive the job."""

    job: Job = field(kw_only=True)
    submission: Submission | None = None
    claim: Claim | None = None
    lease_until: float = 0.0  # of the claim, until its task has begun
    ending: TryOutcome | None = None
    steps_left: int = 0  # how often its task will still be found running
    due: float = 0.0  # when its task has its next event
    terminated: bool = False  # its task was killed
    lost: TryOutcome | None = None  # the same, by the death of its job's zygote

    @property
    def pressing(self) -> bool:
        """Whether it has something to do but wait."""
        return not isinstance(self.effect, NextTry) or bool(self.job.queue) or not self.job.alive


@dataclass(slots=True)
class Caller(Process):
    """A process beside a job's workers that calls callbacks, and those that it is calling. It may outlive the job."""

    job: Job = field(kw_only=True)
    called: Called | None = None
    lease_until: float = 0.0  # of the event, until its callbacks have begun
    steps_left: int = 0  # how often they will still be found running

    @property
    def pressing(self) -> bool:
        """Whether it has something to do but look."""
        return not isinstance(self.effect, NextEvent | ClaimEvent) or not self.job.alive
