"""Late runs, and DAGs that a job pauses: written once, whoever else looks at the same time."""

from datetime import timedelta

from msgspec.structs import replace

from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.tables import dag_run
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DeadlineReference, DeadlineSpec
from tailrace.planning.planner import plan
from tailrace.planning.schedules import ScheduleFacts
from tailrace.planning.scheduling import due_runs
from tests.conformance.worlds import FIRST, PERSON, World, dag

HOUR = timedelta(hours=1)
WATCHED = dag("a", _dag={"deadline": DeadlineSpec(DeadlineReference.QUEUED_AT, HOUR)})
TWICE = dag("a", _dag={"max_consecutive_failed_dag_runs": 2, "catchup": True, "max_active_runs": 1})


def test_a_run_is_marked_late_once_and_goes_on(world: World) -> None:
    backfill, job = world.begun(WATCHED)
    assert not world.step(WATCHED, job, backfill).late
    world.clock.advance(3600)
    seen = plan(world.store.snapshot(job, WATCHED, backfill))
    first = world.store.apply(seen, world.write_id())
    assert [each.run_id for each in first.late] == [world.row(dag_run, 1).run_id]
    assert not world.store.apply(seen, world.write_id()).late, "another job was first"
    assert not world.step(WATCHED, job, backfill).late
    due = world.row(dag_run, 1).late_since
    assert due == world.clock.now
    [row] = world.history(cause="late")
    assert (row.kind, row.job_id, row.reason) == ("changed", job, f"late: its deadline was {due:%Y-%m-%d %H:%M:%S}Z")
    [shown] = world.store.list_runs()
    assert (shown.state, shown.late_since) == ("running", due)
    assert world.store.explained(1).run.late_since == due
    world.report(WATCHED, world.running(world.by_task(1)["a"]))
    world.step(WATCHED, job, backfill)
    assert (world.row(dag_run, 1).state, world.row(dag_run, 1).late_since) == ("success", due)
    world.sound()


def test_a_run_that_is_done_again_has_no_deadline(world: World) -> None:
    backfill, job = world.begun(WATCHED)
    world.run_try(WATCHED, job, world.by_task(1)["a"])
    world.step(WATCHED, job, backfill)
    world.clock.advance(7200)
    world.clear()
    again = world.backfill(WATCHED)
    world.activate(WATCHED, job, 1)
    assert not world.step(WATCHED, job, again).late
    assert world.row(dag_run, 1).reopened
    world.sound()


def scheduled(world: World, spec: object, days: int) -> int:
    """A scheduler's job, with the runs of so many days created; its row."""
    watched = replace(TWICE, end_date=FIRST + timedelta(days=days - 1))
    job = world.store.start_job("scheduler", world.process(), None, None, 20.0, world.write_id())  # type: ignore[arg-type]
    due = due_runs(watched, ScheduleFacts(), world.clock.now)
    assert due is not None
    world.store.create_due_runs(replace(due, dag=TWICE), job, world.write_id())
    return job


def fail(world: World, job: int, run: int) -> None:
    """One more run begins, and fails."""
    world.store.apply(plan(world.store.snapshot(job, TWICE, None)), world.write_id())
    world.store.apply(plan(world.store.snapshot(job, TWICE, None)), world.write_id())
    world.report(TWICE, world.running(world.by_task(run)["a"]), OutcomeKind.FAILED)


def dag_row(world: World) -> object:
    [row] = world.rows(dag_table)
    return row


def test_a_dag_is_paused_with_the_verdict_of_the_run_that_is_one_too_many(world: World) -> None:
    job = scheduled(world, TWICE, 4)
    fail(world, job, 1)
    fail(world, job, 2)
    seen = plan(world.store.snapshot(job, TWICE, None))
    applied = world.store.apply(seen, world.write_id())
    assert applied.paused.startswith("its 2 newest scheduled runs failed, scheduled__2024-01-02")
    assert not applied.activated
    row = dag_row(world)
    assert (row.paused, row.paused_reason) == (True, applied.paused)  # type: ignore[attr-defined]
    again = world.store.apply(replace(seen, run_verdicts=()), world.write_id())
    assert [str(each) for each in again.stale] == ["dag: pause refused: it is paused"]
    [by] = [each for each in world.history(kind="changed", after="dag") if '"paused":true' in (each.sets or "")]
    assert (by.job_id, by.person) == (job, None)
    assert world.store.dag_stats()[0].paused_reason == applied.paused
    world.sound()


def test_who_lets_it_go_on_sees_it_go_on_until_the_next_failure(world: World) -> None:
    job = scheduled(world, TWICE, 4)
    for run in (1, 2):
        fail(world, job, run)
    assert world.store.apply(plan(world.store.snapshot(job, TWICE, None)), world.write_id()).paused
    world.store.set_paused("dag", False, world.write_id())
    assert dag_row(world).paused_reason is None  # type: ignore[attr-defined]
    assert plan(world.store.snapshot(job, TWICE, None)).pause is None
    fail(world, job, 3)
    assert world.store.apply(plan(world.store.snapshot(job, TWICE, None)), world.write_id()).paused
    world.store.set_paused("dag", True, world.write_id())
    assert world.store.dag_stats()[0].last_pause.by == PERSON  # type: ignore[union-attr]
    world.sound()


def test_a_pause_that_leans_on_runs_that_have_changed_is_refused(world: World) -> None:
    job = scheduled(world, TWICE, 3)
    fail(world, job, 1)
    fail(world, job, 2)
    seen = plan(world.store.snapshot(job, TWICE, None))
    world.clear()
    applied = world.store.apply(seen, world.write_id())
    assert (applied.paused, len(applied.stale)) == ("", 2)
    assert not dag_row(world).paused  # type: ignore[attr-defined]
    world.sound()
