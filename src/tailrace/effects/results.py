"""What a write returns: which of its rows it won, and what became of the others."""

from enum import StrEnum

from msgspec import Struct

from tailrace.effects.tries import Submission
from tailrace.planning.plan import RunLate, RunVerdict, TaskTransition


class StaleKind(StrEnum):
    """Which part of a plan was refused, and which fact had changed."""

    ACTIVATION_RUN = "activation: the run is not as it was"
    ACTIVATION_WINDOW = "activation: the window is full"
    TAKEOVER_RUN = "takeover: the run is not as it was"
    TAKEOVER_OWNER = "takeover: its owner lives"
    EXPANSION = "expansion: the run is not as it was"
    YIELD = "yield: the run is not as it was"
    ADOPTION = "adoption: the run is not as it was"
    BACKFILL_OPEN = "backfill verdict: something is still open"
    BACKFILL = "backfill verdict: the backfill is not as it was"
    PAUSE = "pause: the DAG is not as it was"
    STOP = "stop: the run is not as it was"
    VERDICT_RUN = "verdict: the run is not as it was"
    VERDICT_PAST = "verdict: its previous run is not as it was"
    VERDICT_DAG = "verdict: its DAG is not as it was"
    VERDICT_POOL = "verdict: a pool is not as it was"
    VERDICT_CIRCLE = "verdict: a run that it waits for is not as it was"
    VERDICT_TASK = "verdict: a task instance is not as it was"


class Stale(Struct, frozen=True):
    """A part of a plan that was refused; ``about`` is the run or the backfill, ``part`` what was to become of it."""

    kind: StaleKind
    about: str
    part: str
    found: str

    def __str__(self) -> str:
        return f"{self.about}: {self.part} refused: {self.found}"


class Applied(Struct, frozen=True):
    """The result of one applied plan. Every part of the plan is in exactly one of these.

    ``won`` landed; ``lost`` found another state than expected; ``deferred`` found no room under the capacity locks;
    ``stale`` is a verdict, activation, adoption or takeover whose facts had changed. All of them land or none does.
    """

    won: tuple[TaskTransition, ...] = ()
    lost: tuple[TaskTransition, ...] = ()
    deferred: tuple[TaskTransition, ...] = ()
    expanded: tuple[int, ...] = ()  # runs of which mapped tasks were expanded
    stopped: tuple[int, ...] = ()  # runs that are stopped before their tasks have ended
    late: tuple[RunLate, ...] = ()  # runs that were marked late
    paused: str = ""  # why the DAG was paused, if it was
    activated: tuple[int, ...] = ()
    yielded: tuple[int, ...] = ()  # active runs that went back into the queue
    adopted: tuple[int, ...] = ()  # active runs that were given the task instances they lacked
    taken_over: tuple[int, ...] = ()
    judged: tuple[RunVerdict, ...] = ()
    stale: tuple[Stale, ...] = ()  # what was refused because a fact had changed
    backfill_judged: bool = False
    queued: tuple[Submission, ...] = ()  # the won steps into queued, ready to submit

    @property
    def changed(self) -> bool:
        """Whether anything landed."""
        return bool(
            self.won
            or self.expanded
            or self.stopped
            or self.late
            or self.paused
            or self.activated
            or self.yielded
            or self.adopted
            or self.taken_over
            or self.judged
            or self.backfill_judged
        )
