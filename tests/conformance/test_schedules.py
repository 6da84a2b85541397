"""What schedulers write: each due date gets one run, whoever creates it; lanes are found, and let go of."""

import pytest
from msgspec.structs import replace

from tailrace.metastore.db.tables import backfill as backfill_table
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.tables import dag_run, job
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, JobKind, JobState
from tailrace.planning.plan import RunTakeover
from tailrace.planning.planner import plan
from tailrace.planning.schedules import DueRuns, LaneKey, ScheduleFacts
from tailrace.planning.scheduling import due_runs
from tests.conformance.worlds import DAY, FIRST, LEASE, FalseClock, World, dag

A = replace(dag("a>b"), catchup=True)


def scheduler(world: World) -> int:
    return world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, LEASE, world.write_id())


def due(world: World, spec: DagSpec = A, days: int = 3) -> DueRuns:
    found = due_runs(spec, world.store.agenda(0).schedules.get("dag", ScheduleFacts()), FIRST + days * DAY)
    assert found is not None
    return found


def test_due_runs_are_created_once(world: World) -> None:
    first, second = scheduler(world), scheduler(world)
    decided = due(world)
    id = world.write_id()
    assert world.store.create_due_runs(decided, first, id) == 3
    assert world.store.create_due_runs(decided, first, id) == 3, "the same write is answered from its record"
    assert world.store.create_due_runs(decided, second, world.write_id()) == 0, "the schedule has moved since"
    rows = world.rows(dag_run)
    assert [(row.run_type, row.state, row.live) for row in rows] == [("scheduled", "queued", True)] * 3
    assert world.store.agenda(first).schedules["dag"].until == FIRST + 2 * DAY
    assert {(row.after, row.cause, row.actor) for row in world.history(kind="dag_run")} == {
        ("queued", "created", "planner")
    }


def test_a_run_that_exists_counts_as_the_dates_run(world: World) -> None:
    world.backfill(A, days=2)
    assert world.store.create_due_runs(due(world), scheduler(world), world.write_id()) == 1
    rows = world.rows(dag_run)
    assert [(row.run_type, row.live) for row in rows] == [("backfill", False), ("backfill", False), ("scheduled", True)]


def test_a_paused_dag_is_created_nothing(world: World) -> None:
    job_id, decided = scheduler(world), due(world, days=1)
    assert world.store.create_due_runs(decided, job_id, world.write_id()) == 1
    decided = due(world)
    world.store.set_paused("dag", True, world.write_id())
    assert world.store.create_due_runs(decided, job_id, world.write_id()) == 0
    assert world.store.agenda(job_id).schedules["dag"] == ScheduleFacts(True, FIRST)


def test_live_runs_are_a_lane_until_they_are_closed(world: World) -> None:
    job_id = scheduler(world)
    assert world.store.agenda(job_id).lanes == ()
    world.store.create_due_runs(due(world, days=1), job_id, world.write_id())
    assert world.store.agenda(job_id).lanes == (LaneKey("dag"),)
    world.store.set_paused("dag", True, world.write_id())
    assert world.store.agenda(job_id).lanes == (), "nothing of a paused DAG is to begin"
    assert plan(world.store.snapshot(job_id, A, None)).activations == ()
    world.store.set_paused("dag", False, world.write_id())
    applied = world.store.apply(plan(world.store.snapshot(job_id, A, None)), world.write_id())
    assert len(applied.activated) == 1
    world.store.set_paused("dag", True, world.write_id())
    assert world.store.agenda(job_id).lanes == (LaneKey("dag"),), "what runs goes on"
    world.set_run(1, state=DagRunState.SUCCESS)
    assert world.store.agenda(job_id).lanes == ()


def test_a_detached_backfill_is_a_lane_unless_it_is_paused(world: World) -> None:
    me = scheduler(world)
    backfill = world.backfill(A, days=2, detached=True)
    world.backfill(A, days=2, first=FIRST + 5 * DAY)
    assert world.store.agenda(me).lanes == (LaneKey("dag", backfill),)
    applied = world.store.apply(plan(world.store.snapshot(me, A, backfill)), world.write_id())
    assert len(applied.activated) == 2
    world.set_backfill(backfill, paused=True)
    assert world.store.agenda(me).lanes == (LaneKey("dag", backfill),), "it drives its runs until nothing is in flight"
    world.store.release_runs(me, LaneKey("dag", backfill))
    assert world.store.agenda(me).lanes == ()


def test_a_backfill_stays_detached_when_it_is_continued_by_hand(world: World) -> None:
    by_hand = world.backfill(A, days=2)
    assert world.row(backfill_table, by_hand).detached is False
    assert world.backfill(A, days=2, detached=True) == by_hand
    assert world.backfill(A, days=2) == by_hand
    assert world.row(backfill_table, by_hand).detached is True


def test_a_scheduler_is_known_to_be_alive(world: World, clock: FalseClock) -> None:
    world.begun(A)
    assert not world.store.is_scheduler_alive(), "a backfill's job is none"
    me = scheduler(world)
    assert world.store.is_scheduler_alive()
    clock.advance(LEASE + 1)
    assert not world.store.is_scheduler_alive()
    world.store.heartbeat(me, LEASE)
    assert world.store.is_scheduler_alive()
    world.store.end_job(me, JobState.INTERRUPTED)
    assert not world.store.is_scheduler_alive()


@pytest.mark.parametrize(
    ("state", "orphaned"),
    [(JobState.RUNNING, False), (JobState.FAILED, True), (JobState.INTERRUPTED, False), (JobState.SUCCESS, False)],
)
def test_a_backfill_is_a_lane_when_its_last_job_was_killed(
    world: World, clock: FalseClock, state: JobState, orphaned: bool
) -> None:
    backfill = world.backfill(A)
    first, last = world.job(A, backfill), world.job(A, backfill)
    world.store.end_job(first, JobState.FAILED)
    me = scheduler(world)
    if state is not JobState.RUNNING:
        world.store.end_job(last, state)
    assert world.store.agenda(me).lanes == ((LaneKey("dag", backfill),) if orphaned else ())


def test_a_job_whose_lease_has_run_out_leaves_an_orphan(world: World, clock: FalseClock) -> None:
    backfill = world.backfill(A)
    world.job(A, backfill)
    clock.advance(LEASE + 1)
    assert world.store.agenda(scheduler(world)).lanes == (LaneKey("dag", backfill),)


def test_what_is_released_can_be_taken_at_once(world: World) -> None:
    backfill, owner = world.begun(A)
    other = world.job(A, backfill)
    takeover = RunTakeover(1, world.row(dag_run, 1).run_id, owner)
    assert world.apply(A, other, takeovers=(takeover,)).stale, "its owner is alive"
    world.store.release_runs(owner, LaneKey("dag", backfill + 1))
    world.store.release_runs(other, LaneKey("dag", backfill))
    assert world.row(dag_run, 1).owner_job_id == owner
    world.set_run(1, owner_lane=backfill)
    world.store.release_runs(owner, LaneKey("dag", backfill))
    assert world.apply(A, other, takeovers=(replace(takeover, previous_owner=None),)).taken_over == (1,)
    assert world.row(job, owner).state == "running"
    assert world.row(dag_run, 1).owner_lane == 0, "the plan was of no backfill"


def test_the_structure_and_version_of_the_dag_move_with_its_schedule(world: World) -> None:
    world.store.create_due_runs(due(world, days=1), scheduler(world), world.write_id())
    before = world.rows(dag_table)[0]
    world.store.create_due_runs(due(world), scheduler(world), world.write_id())
    after = world.rows(dag_table)[0]
    assert (after.version, after.dag_version_id) == (before.version + 1, before.dag_version_id)
