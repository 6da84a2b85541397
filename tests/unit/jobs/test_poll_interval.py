"""How long a job waits when nothing wakes it."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import ApplyPlan, FindLost, Heartbeat, ReadSnapshot, ReapDeadJobs, Wait
from tailrace.effects.results import Applied
from tailrace.jobs.backfill import backfill_loop
from tailrace.jobs.lane_step import LoopIntervals, poll_interval
from tailrace.model.keys import ProcessIdentity
from tailrace.planning.plan import Plan
from tailrace.planning.snapshot import Holder, Snapshot
from tests.unit.planning.builders import NOW, dag, run, snapshot, task_instances

SPEC = dag("a b")
HOLDER = Holder(ProcessIdentity("here", "boot", 1, 1), None)
HELD = {"state": "running", "try_number": 1, "token": 1, "holder": HOLDER}
OWN = snapshot(SPEC, run(SPEC, tis=task_instances(SPEC, a=HELD, b=HELD)))
PACE = LoopIntervals(poll=1.0, contended=0.2)


def beside_another(own: Snapshot) -> Snapshot:
    assert own.backfill is not None
    return replace(own, backfill=replace(own.backfill, active_runs=len(own.runs) + 1))


def first_wait(found: Snapshot) -> float:
    """For how many seconds the loop waits after one step over this snapshot."""
    loop = backfill_loop(1, SPEC, 1, PACE)
    answers = {ReapDeadJobs: 0, ReadSnapshot: found, Heartbeat: True, FindLost: frozenset(), ApplyPlan: Applied()}
    effect = next(loop)
    while not isinstance(effect, Wait):
        effect = loop.send(answers.get(type(effect)))
    return effect.seconds


@pytest.mark.parametrize(("found", "seconds"), [(OWN, 1.0), (beside_another(OWN), 0.2)])
def test_runs_that_others_drive_are_looked_at_often(found: Snapshot, seconds: float) -> None:
    """Their executors wake their own jobs only; whoever waits for their last run ended up to a second after it."""
    assert first_wait(found) == seconds


def test_what_is_known_to_come_sooner_is_not_slept_through() -> None:
    soon = Plan(SPEC, 1, wake_at=NOW + timedelta(seconds=0.05))
    assert poll_interval(OWN, soon, PACE) == pytest.approx(0.05)
