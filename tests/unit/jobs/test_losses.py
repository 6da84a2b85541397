"""What the backfill loop does before it plans with a try whose holder is gone or late."""

from typing import Any

import pytest

from tailrace.effects.requests import (
    ApplyPlan,
    Event,
    FindLost,
    Heartbeat,
    ReadSnapshot,
    ReapDeadJobs,
    Submit,
    Wait,
    WaitResult,
)
from tailrace.effects.results import Applied
from tailrace.jobs.backfill import backfill_loop
from tailrace.model.keys import ProcessIdentity
from tailrace.planning.snapshot import Holder, Snapshot
from tests.unit.planning.builders import dag, run, snapshot, task_instances

SPEC = dag("a b")
HOLDER = Holder(ProcessIdentity("here", "boot", 1, 1), ProcessIdentity("here", "boot", 2, 2))


def of(expired: bool) -> Snapshot:
    held = {"state": "running", "try_number": 1, "token": 1, "holder": HOLDER, "lease_expired": expired}
    return snapshot(SPEC, run(SPEC, tis=task_instances(SPEC, a=held)))


def asked(first: Snapshot, second: Snapshot) -> list[Any]:
    """Every effect of two planning steps, over these snapshots."""
    loop = backfill_loop(1, SPEC, 1)
    given = iter([first, second])
    effects, answer = [], None
    while True:
        effect = loop.send(answer)
        if isinstance(effect, ReadSnapshot):
            found = next(given, None)
            if found is None:
                return effects
            answer = found
        else:
            answers = {
                ReapDeadJobs: 0,
                Heartbeat: True,
                FindLost: frozenset(),
                ApplyPlan: Applied(),
                Wait: WaitResult(),
            }
            answer = answers.get(type(effect))
        effects.append(effect)


def names(effects: list[Any]) -> list[str]:
    kept = [effect for effect in effects if not isinstance(effect, (Event, Submit, Wait))]
    return [type(effect).__name__ for effect in kept]


def test_what_runs_beyond_its_lease_is_ended_before_it_is_judged() -> None:
    effects = asked(of(expired=False), of(expired=True))
    second = [effect for effect in effects if isinstance(effect, FindLost)][1]
    assert second == FindLost((), ((1, HOLDER),)), "no reason to look for dead workers, every reason to end this one"
    after = names(effects)[names(effects).index("ReadSnapshot", 2) :]
    assert after == ["ReadSnapshot", "FindLost", "ApplyPlan"]


@pytest.mark.parametrize("expired", [True, False])
def test_a_job_that_begins_looks_at_every_holder(expired: bool) -> None:
    first = next(effect for effect in asked(of(expired), of(False)) if isinstance(effect, FindLost))
    assert first == FindLost(((1, HOLDER),), ((1, HOLDER),) if expired else ())
