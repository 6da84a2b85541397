"""How long a job waits when nothing wakes it."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import ApplyPlan, FindLost, Heartbeat, ReadSnapshot, ReapDeadJobs, Wait
from tailrace.effects.results import Applied
from tailrace.jobs.backfill import backfill_loop
from tailrace.jobs.lane_step import JobMemory, LoopIntervals, poll_interval
from tailrace.model.keys import ProcessIdentity
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.planning.plan import Plan
from tailrace.planning.planner import plan
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


WAITS = {"state": "up_for_reschedule", "try_number": 1, "token": 1, "retry_at": NOW + timedelta(hours=1)}


def waiting(count: int, **more: Any) -> Snapshot:
    """So many tries that have given their workers back."""
    spec = DagSpec("dag", tuple(TaskSpec(f"t{number}") for number in range(count)))
    return snapshot(spec, run(spec, tis=task_instances(spec, **{**{f"t{n}": WAITS for n in range(count)}, **more})))


@pytest.mark.parametrize(("count", "seconds"), [(400, 1.0), (2000, 4.0), (9000, 5.0)])
def test_where_much_waits_for_its_time_it_is_looked_at_less_often(count: int, seconds: float) -> None:
    found = waiting(count)
    decided = plan(found)
    assert (decided.due_later, decided.writes) == (count, False)
    assert poll_interval(found, decided, PACE) == pytest.approx(seconds)


def test_not_while_something_is_under_way_nor_beyond_what_is_due() -> None:
    found = waiting(2000, t7=HELD)
    assert poll_interval(found, plan(found), PACE) == 1.0
    soon = waiting(2000, t7={**WAITS, "retry_at": NOW + timedelta(seconds=0.3)})
    assert poll_interval(soon, plan(soon), PACE) == pytest.approx(0.3)


def test_a_scheduler_passes_over_a_lane_that_rests_until_something_happens() -> None:
    memory = JobMemory()
    lane = memory.lane("many")
    lane.rest(NOW, 4.0, PACE)
    assert lane.rests(NOW + timedelta(seconds=3.9), PACE)
    assert not lane.rests(NOW + timedelta(seconds=4), PACE)
    assert not lane.rests(NOW - timedelta(hours=1), PACE)  # the clock has jumped back
    memory.rouse()
    assert not lane.rests(NOW + timedelta(seconds=1), PACE)
    lane.rest(NOW, 1.0, PACE)  # as long as the others wait anyway
    assert not lane.rests(NOW + timedelta(seconds=0.5), PACE)


def test_what_is_known_to_come_sooner_is_not_slept_through() -> None:
    soon = Plan(SPEC, 1, wake_at=NOW + timedelta(seconds=0.05))
    assert poll_interval(OWN, soon, PACE) == pytest.approx(0.05)
