"""The messages about one event: that its callbacks are to be called, by whom, and what came of it."""

from datetime import datetime

from msgspec import Struct

from tailrace.effects.tries import Claim
from tailrace.model.callbacks import EventState
from tailrace.model.keys import TryKey


class CallbackEvent(Struct, frozen=True):
    """What has happened: the step of a task instance, a run or a backfill that it is of, and its callback.

    ``event_id`` is the same however often its callbacks are called; ``after`` is the state that it came to.
    """

    id: int  # the row in the outbox
    event_id: str
    callback: str
    kind: str  # task_instance, dag_run or backfill
    after: str
    reason: str
    at: datetime
    backfill_id: int | None = None


class EventClaim(Struct, frozen=True):
    """An event whose callbacks are this process's to call, for as long as its lease lasts.

    ``try_of`` is the try that their context is about. ``token`` is what every later write about the event names.
    """

    event: CallbackEvent
    token: int
    try_of: Claim
    try_state: str  # in which its task instance was, at the event if that is about it


class Uncallable(Struct, frozen=True):
    """An event that was found, and about which no callback can be called: it has ended so."""

    event: CallbackEvent
    key: TryKey
    why: str


class EventEnd(Struct, frozen=True):
    """What has come of calling an event's callbacks; WAITING gives it back, for whoever comes next."""

    state: EventState
    error: str = ""


class OutboxLeft(Struct, frozen=True):
    """How many events wait for their callbacks, and when that was looked at."""

    count: int
    now: datetime


class FailedCallback(Struct, frozen=True):
    """A callback that could not be called, or failed: shown to people. Its output is in the log of this try."""

    key: TryKey
    callback: str
    kind: str
    error: str  # one line
