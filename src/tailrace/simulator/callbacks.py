"""Callbacks in a simulated world: worlds whose DAGs have some, and the effects of the process that calls them."""

import random
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from tailrace.effects.events import EventClaim, Uncallable
from tailrace.effects.requests import (
    AwaitTask,
    ClaimEvent,
    EndEvent,
    NextEvent,
    ReadOutbox,
    RenewEvent,
    StartCallbacks,
    StillRunning,
)
from tailrace.effects.tries import Renewal, TryOutcome
from tailrace.model.callbacks import OF_DAGS, OF_TASKS
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DeadlineReference, DeadlineSpec, TaskSpec
from tailrace.simulator.mapped import mapped_scenario
from tailrace.simulator.processes import Caller
from tailrace.simulator.scenario import LEASE_SECONDS, Scenario, random_scenario

if TYPE_CHECKING:
    from tailrace.simulator.world_state import WorldState

_HOLDER = "simulated"
#: How often callbacks are still found running, at most.
_FOUND_RUNNING = 2


def calling_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed, now and then with mapped tasks; most of its tasks have callbacks."""
    draw = random.Random(f"calling {seed}")
    base = mapped_scenario(seed) if draw.random() < 0.3 else random_scenario(seed)
    tasks = tuple(replace(task, calls=_some(draw, OF_TASKS)) for task in base.dag.tasks)
    if not any(task.calls for task in tasks):
        tasks = (replace(tasks[0], calls=tuple(sorted(map(str, OF_TASKS)))), *tasks[1:])
    deadline = None
    if draw.random() < 0.3:
        deadline = DeadlineSpec(DeadlineReference.QUEUED_AT, timedelta(seconds=draw.choice((0.05, 0.5, 4))))
    return replace(base, dag=replace(base.dag, tasks=tasks, calls=_some(draw, OF_DAGS), deadline=deadline))


def _some(draw: random.Random, names: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(sorted(str(name) for name in names if draw.random() < 0.6))


def calling(tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
    """The same tasks, with every callback."""
    return tuple(replace(task, calls=tuple(sorted(map(str, OF_TASKS)))) for task in tasks)


class Callbacks:
    """Performs the effects of the processes that call back; ``write`` is how the world writes."""

    def __init__(self, world: "WorldState", write: Callable[[Callable[[str], Any]], Any]) -> None:
        self._world, self._write = world, write
        self.handlers: Mapping[type, Callable[[Any, Any], Any]] = {
            NextEvent: lambda process, effect: process.job.alive,
            ClaimEvent: self._claim,
            StartCallbacks: self._start,
            RenewEvent: self._renew,
            EndEvent: lambda process, effect: self._write(
                lambda id: self._world.metastore.end_event(effect.claim, effect.end)
            ),
            ReadOutbox: lambda process, effect: self._world.metastore.events_left(effect.dags),
        }

    def _claim(self, process: Caller, effect: ClaimEvent) -> EventClaim | Uncallable | None:
        process.lease_until = self._world.clock.seconds + LEASE_SECONDS
        dags = {self._world.scenario.dag.dag_id}
        claim = partial(self._world.metastore.claim_event, dags, _HOLDER, effect.lease_seconds)
        found: EventClaim | Uncallable | None = self._write(claim)
        return found

    def _start(self, process: Caller, effect: StartCallbacks) -> TryOutcome | None:
        if process.lease_until <= self._world.clock.seconds:
            return TryOutcome(OutcomeKind.LOST, "it was held up beyond its lease")
        process.called = self._world.ledger.call(
            effect.claim.event.event_id, effect.claim.token, self._world.clock.seconds, process.lease_until
        )
        process.steps_left = self._world.choose_up_to("callbacks found running", _FOUND_RUNNING)
        return None

    def wait(self, process: Caller, effect: AwaitTask) -> TryOutcome | StillRunning:
        """Still running as often as was chosen; killed once its lease is over."""
        called = process.called
        assert called is not None, "callbacks are awaited that were never started"
        if called.lease_until <= self._world.clock.seconds:
            self.are_gone(process)
            return TryOutcome(OutcomeKind.LOST, "killed: its lease had not been renewed")
        if process.steps_left > 0:
            process.steps_left -= 1
            return StillRunning()
        self.are_gone(process)
        failed = self._world.chooser.chance("a callback raises", 0.2)
        return TryOutcome(OutcomeKind.FAILED if failed else OutcomeKind.SUCCESS, "notify: ValueError" if failed else "")

    def _renew(self, process: Caller, effect: RenewEvent) -> Renewal:
        metastore = self._world.metastore
        renewal: Renewal = self._write(lambda id: metastore.renew_event(effect.claim, effect.lease_seconds))
        if renewal is not Renewal.GONE and process.called is not None:
            process.called.lease_until = self._world.clock.seconds + LEASE_SECONDS
        return renewal

    def are_gone(self, process: Caller) -> None:
        """The process that runs them is no more."""
        if process.called is not None:
            process.called.over, process.called = True, None
