"""What a write answers: which of its rows it won, and what became of the others."""

from msgspec import Struct

from tailrace.effects.tries import Submission
from tailrace.planning.plan import RunVerdict, TaskTransition


class Applied(Struct, frozen=True):
    """The answer to one applied plan. Every part of the plan is in exactly one of these.

    ``won`` landed; ``lost`` found another state than expected; ``deferred`` found no room under the capacity locks;
    ``stale`` is a verdict, activation, adoption or takeover whose facts had changed. All of them land or none does.
    """

    won: tuple[TaskTransition, ...] = ()
    lost: tuple[TaskTransition, ...] = ()
    deferred: tuple[TaskTransition, ...] = ()
    activated: tuple[int, ...] = ()
    yielded: tuple[int, ...] = ()  # active runs that went back into the queue
    adopted: tuple[int, ...] = ()  # active runs that were given the task instances they lacked
    taken_over: tuple[int, ...] = ()
    judged: tuple[RunVerdict, ...] = ()
    stale: tuple[str, ...] = ()  # what was refused because a fact had changed, one line each
    backfill_judged: bool = False
    queued: tuple[Submission, ...] = ()  # the won steps into queued, ready to submit

    @property
    def changed(self) -> bool:
        """Whether anything landed."""
        return bool(
            self.won
            or self.activated
            or self.yielded
            or self.adopted
            or self.taken_over
            or self.judged
            or self.backfill_judged
        )
