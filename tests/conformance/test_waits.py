"""Waits for room: written as plans say, seen by other lanes while the job lives, gone with the lane and the job."""

import pytest

from tailrace.metastore.db.tables import capacity_wait
from tailrace.model.states import JobState, TaskInstanceState
from tailrace.planning.plan import CapacityWait, WaitChanges
from tailrace.planning.planner import plan
from tailrace.planning.schedules import LaneKey
from tests.conformance.worlds import LEASE, FalseClock, World, dag

A = dag("a b c d", **{task: {"pool": "small"} for task in "abcd"})
POOL = "pool:small"


@pytest.fixture
def world(world: World) -> World:
    world.pool("small", 2, "")
    return world


def begin(world: World, job: int, lane: int, resource: str = POOL, taken: float = 0.0) -> None:
    world.apply(A, job, lane=lane, waits=WaitChanges(begun=(CapacityWait(resource, taken),)))


def waits(world: World) -> list[tuple[int, int, str, float]]:
    return [(row.job_id, row.backfill_id, row.resource, row.taken) for row in world.rows(capacity_wait)]


def test_a_lone_job_reads_and_writes_no_waits(world: World) -> None:
    backfill, job = world.begun(A)
    snapshot = world.store.snapshot(job, A, backfill)
    assert (snapshot.contended, snapshot.contenders) == (False, ())
    assert len(world.store.apply(plan(snapshot), world.write_id()).queued) == 2
    assert plan(world.store.snapshot(job, A, backfill)).waits is None


def test_waits_begin_are_renewed_and_end(world: World, clock: FalseClock) -> None:
    backfill, job = world.begun(A)
    begin(world, job, backfill, taken=2.0)
    since = world.rows(capacity_wait)[0].since
    clock.advance(3)
    world.apply(A, job, lane=backfill, waits=WaitChanges(renewed=(CapacityWait(POOL, 5.0),)))
    row = world.rows(capacity_wait)[0]
    assert (row.taken, (row.since - since).total_seconds()) == (5.0, 3)
    begin(world, job, backfill)
    assert waits(world) == [(job, backfill, POOL, 0.0)], "beginning again begins anew"
    world.apply(A, job, lane=backfill, waits=WaitChanges(ended=(POOL,)))
    assert waits(world) == []


def test_a_turn_that_was_not_let_in_is_not_counted(world: World) -> None:
    backfill, job = world.begun(A)
    begin(world, job, backfill)
    ids = list(world.by_task(1).values())
    steps = tuple(world.transition(id) for id in ids[:3])
    applied = world.apply(
        A, job, lane=backfill, transitions=steps, waits=WaitChanges(renewed=(CapacityWait(POOL, 9.0),))
    )
    assert len(applied.deferred) == 1
    assert waits(world) == [(job, backfill, POOL, 0.0)]


def test_other_lanes_see_a_wait_and_what_it_holds(world: World, clock: FalseClock) -> None:
    backfill, job = world.begun(A)
    other = world.job(A, backfill)
    world.set_run(1, owner_lane=backfill)
    world.queue(A, job, world.by_task(1)["a"])
    begin(world, job, backfill, taken=1.5)
    begin(world, job, backfill, "tasks:dag")
    begin(world, job, backfill, "runs:dag")
    snapshot = world.store.snapshot(other, A, backfill)
    assert snapshot.contended
    assert [(c.job_id, c.lane, c.resource, c.taken, c.occupied) for c in snapshot.contenders] == [
        (job, backfill, POOL, 1.5, 1),
        (job, backfill, "runs:dag", 0.0, 1),
        (job, backfill, "tasks:dag", 0.0, 1),
    ]
    clock.advance(LEASE + 1)
    world.store.heartbeat(other, LEASE)
    assert world.store.snapshot(other, A, backfill).contenders == (), "its job is taken for dead"


def test_waits_go_with_the_lane_and_with_the_job(world: World) -> None:
    backfill, job = world.begun(A)
    begin(world, job, backfill)
    begin(world, job, 0)
    world.store.release_runs(job, LaneKey("dag", backfill))
    assert waits(world) == [(job, 0, POOL, 0.0)]
    world.store.end_job(job, JobState.SUCCESS)
    assert waits(world) == []


def test_two_backfills_share_a_small_pool(world: World, clock: FalseClock) -> None:
    """The second finds the pool full, says so, and gets the next slot although the first is there first."""
    first, one = world.begun(A, days=1)
    world.set_run(1, owner_job_id=one, owner_lane=first)
    other = dag("x y", **{task: {"pool": "small"} for task in "xy"}, _dag={"dag_id": "other"})
    third = world.backfill(other)
    three = world.job(other, third)
    assert len(world.step(A, one, first).queued) == 2
    world.step(other, three, third)
    assert world.step(other, three, third).queued == ()
    assert waits(world) == [(three, third, POOL, 0.0)]
    ended = next(id for id in world.by_task(1).values() if world.state(id) == TaskInstanceState.QUEUED)
    world.report(A, world.running(ended))
    assert world.step(A, one, first).queued == (), "it leaves the slot to who waits"
    assert len(world.step(other, three, third).queued) == 1
