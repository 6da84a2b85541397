"""A process that calls back: the callback loop, joined to the metastore and to the processes that the zygote forks."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from tailrace.effects.events import EventClaim, FailedCallback, Uncallable
from tailrace.effects.requests import (
    Calls,
    ClaimEvent,
    Effect,
    EndEvent,
    NextEvent,
    ParkTask,
    RenewEvent,
    StartCallbacks,
    StartTask,
)
from tailrace.effects.tries import Submission, TryOutcome
from tailrace.execution.system.identity import own_identity
from tailrace.execution.workers.callback_loop import callback_loop
from tailrace.execution.workers.worker_channel import WorkerChannel
from tailrace.metastore.store import Metastore
from tailrace.model.callbacks import EVERYWHERE, EventState
from tailrace.model.outcomes import OutcomeKind
from tailrace.runtime.driver import drive
from tailrace.runtime.opening import new_write_id
from tailrace.runtime.secrets import SecretSettings
from tailrace.runtime.worker import worker_performer

#: So often it is looked whether there is an event; and so long nothing is claimed once an event could not be called.
LOOK_SECONDS, AGAIN_SECONDS = 0.3, 1.0


class CallerMain(Struct, frozen=True):
    """The body of such a process: works until its channel closes. ``dags`` are those whose callbacks it has."""

    metastore: Metastore
    home: Path
    lease_seconds: float
    timeout_seconds: float
    secrets: SecretSettings
    dags: frozenset[str]
    notify: Mapping[str, tuple[str, ...]]

    def __call__(self, channel: WorkerChannel) -> None:
        """Call back until no more is to be called."""
        with closing(self.metastore):
            self.metastore.connect()
            performer = _Caller(self, channel)
            drive(callback_loop(self.lease_seconds), performer.perform)


class _Caller:
    def __init__(self, main: CallerMain, channel: WorkerChannel) -> None:
        self._main, self._metastore, self._channel = main, main.metastore, channel
        identity = own_identity()
        self._holder = f"process {identity.pid} on {identity.host}"
        self._pause = 0.0
        self._others = worker_performer(self._metastore, main.home, channel.perform, main.secrets)
        self._perform: dict[type, Callable[[Any], Any]] = {
            NextEvent: self._next,
            ClaimEvent: self._claim,
            StartCallbacks: self._start,
            RenewEvent: lambda effect: self._metastore.renew_event(effect.claim, effect.lease_seconds),
            EndEvent: self._end,
        }

    def perform(self, effect: Effect[Any]) -> Any:
        """Perform one effect and return its result."""
        handler = self._perform.get(type(effect))
        return self._others(effect) if handler is None else handler(effect)

    def _next(self, effect: NextEvent) -> bool:
        return self._channel.pause(self._pause)

    def _claim(self, effect: ClaimEvent) -> EventClaim | Uncallable | None:
        found = self._metastore.claim_event(self._main.dags, self._holder, effect.lease_seconds, new_write_id())
        self._pause = LOOK_SECONDS if found is None else 0.0
        if isinstance(found, Uncallable):
            event = found.event
            self._channel.tell_of(FailedCallback(found.key, event.callback, event.kind, found.why))
        return found

    def _start(self, effect: StartCallbacks) -> TryOutcome | None:
        claim, runner = effect.claim, self._channel.runner
        submission = Submission(claim.try_of.id, claim.try_of.key)
        parked = runner.park(ParkTask(submission))
        until = time.monotonic() + self._main.lease_seconds / 2
        while parked is None and "is not in the DAG files" not in runner.refusal:
            if time.monotonic() > until or not self._channel.pause(AGAIN_SECONDS):
                return TryOutcome(OutcomeKind.LOST, runner.refusal)
            parked = runner.park(ParkTask(submission))
        if parked is None:
            return TryOutcome(OutcomeKind.FAILED, runner.refusal)
        about = claim.event.kind, claim.event.callback
        also = tuple(each for key, told in self._main.notify.items() if EVERYWHERE[key] == about for each in told)
        calls = Calls(claim.event, claim.try_state, timedelta(seconds=self._main.timeout_seconds), also)
        runner.start(StartTask(claim.try_of, parked.task_spec, effect.lease_seconds, calls))
        return None

    def _end(self, effect: EndEvent) -> bool:
        claim, end = effect.claim, effect.end
        ended = self._metastore.end_event(claim, end)
        if ended and end.state is EventState.FAILED:
            event = claim.event
            self._channel.tell_of(FailedCallback(claim.try_of.key, event.callback, event.kind, end.error))
        if end.state is EventState.WAITING:
            self._pause = AGAIN_SECONDS
        return ended
