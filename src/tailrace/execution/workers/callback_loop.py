"""The loop of a process that calls back: claims an event, has its callbacks called, says what came of it.

Like a worker's, a generator of effects, so that the simulator drives it too. It decides nothing about a task instance
or a run: whatever a callback does, states stay as they are.
"""

from collections.abc import Generator
from typing import Any

from tailrace.effects.events import EventClaim, EventEnd, Uncallable
from tailrace.effects.requests import (
    AwaitTask,
    ClaimEvent,
    Effect,
    EndEvent,
    KillTask,
    Loop,
    NextEvent,
    RenewEvent,
    StartCallbacks,
    StillRunning,
    ask,
)
from tailrace.effects.tries import Renewal, TryOutcome
from tailrace.execution.workers.loop import LONGEST_PAUSE, RENEWALS_PER_LEASE, reply
from tailrace.model.callbacks import EventState
from tailrace.model.outcomes import OutcomeKind

_LOST = (OutcomeKind.LOST, OutcomeKind.LOST_TOGETHER)


def callback_loop(lease_seconds: float) -> Loop[None]:
    """Call the callbacks of one event after the other, until no more are to be called."""
    while (yield from ask(NextEvent())):
        claim = yield from ask(ClaimEvent(lease_seconds))
        if claim is None or isinstance(claim, Uncallable):
            continue
        outcome = yield from ask(StartCallbacks(claim, lease_seconds))
        if outcome is None:
            outcome = yield from _see_through(claim, lease_seconds)
        if outcome is not None:
            yield from ask(EndEvent(claim, _end_of(outcome)))


def _see_through(claim: EventClaim, lease_seconds: float) -> Generator[Effect[Any], Any, TryOutcome | None]:
    """Wait for the end of the callbacks, renewing the lease. None: the event is another's, who calls once more."""
    pause = min(lease_seconds / RENEWALS_PER_LEASE, LONGEST_PAUSE)
    while True:
        said = yield from ask(AwaitTask(pause))
        if isinstance(said, TryOutcome):
            return said
        if not isinstance(said, StillRunning):
            yield from reply(claim.try_of, said)
        elif (yield from ask(RenewEvent(claim, lease_seconds))) is Renewal.GONE:
            yield from ask(KillTask())
            return None


def _end_of(outcome: TryOutcome) -> EventEnd:
    """What is written of the event; one whose process was lost waits for whoever comes next."""
    if outcome.kind in _LOST:
        return EventEnd(EventState.WAITING)
    if outcome.kind is OutcomeKind.SUCCESS:
        return EventEnd(EventState.CALLED)
    return EventEnd(EventState.FAILED, outcome.error)
