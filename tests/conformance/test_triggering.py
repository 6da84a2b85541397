"""A triggered run is created once, live; its date and its id belong to one run."""

from datetime import datetime, timedelta

from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.store import Metastore, MetastoreStale
from tailrace.model.intervals import DataInterval
from tailrace.planning.backfills import BackfillRequest
from tailrace.planning.triggering import TriggerPlan, TriggerRequest, plan_trigger
from tests.conformance.worlds import DAY, FIRST, World, dag

AB = dag("a>b")


def planned(world: World, date: datetime, run_id: str | None = None) -> TriggerPlan:
    request = TriggerRequest(date, run_id, '{"k":1}')
    wanted = plan_trigger(AB, request, world.clock.now, None)
    facts = world.store.trigger_facts("dag", wanted.logical_date, wanted.run_id)
    return plan_trigger(AB, request, world.clock.now, facts)


def test_a_triggered_run_is_live(world: World) -> None:
    world.backfill(AB)
    row = world.store.trigger(AB, planned(world, FIRST + DAY), world.write_id())
    assert row == 2
    run = world.row(dag_run, 2)
    assert (run.state, run.run_type, bool(run.live), run.conf) == ("queued", "manual", True, '{"k":1}')
    assert (run.interval_start, run.interval_end) == (FIRST + DAY, FIRST + 2 * DAY)
    world.sound()


def test_the_interval_that_is_shown_is_the_stored_one(world: World) -> None:
    """That of a moment which is no point of the schedule begins and ends before it."""
    late = FIRST + DAY + timedelta(hours=7)
    assert world.store.trigger(AB, planned(world, late), world.write_id()) == 1
    right = DataInterval(FIRST, FIRST + DAY)
    [line] = world.store.list_runs()
    assert (line.logical_date, line.data_interval) == (late, (right.start, right.end))
    request = BackfillRequest("dag", FIRST, FIRST + 2 * DAY)
    facts = world.store.backfill_facts(AB, request, [DataInterval(late, late + DAY)])
    assert facts.existing[late].data_interval == right


def test_the_first_run_of_a_dag_may_be_a_triggered_one(world: World) -> None:
    plan = planned(world, FIRST)
    assert world.store.trigger(AB, plan, "once") == 1
    assert world.store.trigger(AB, plan, "once") == 1, "repeated under its id"
    [row] = world.rows(dag_table)
    assert (row.version, row.dag_version_id) == (1, 1)
    snapshot = world.store.snapshot(world.job(AB, 0), AB, None)
    assert [run.run_id for run in snapshot.candidates] == ["manual__2024-01-01T00:00:00+00:00"]


def test_a_date_or_id_that_was_taken_meanwhile_is_stale_and_then_refused(world: World, other: Metastore) -> None:
    mine, same_date = planned(world, FIRST), planned(world, FIRST, "manual__other")
    same_id = planned(world, FIRST + timedelta(hours=1), mine.run_id)
    assert world.store.trigger(AB, mine, world.write_id()) == 1
    for late in (same_date, same_id):
        answer = other.trigger(AB, late, world.write_id())
        assert isinstance(answer, MetastoreStale)
        assert "found manual__2024-01-01" in answer.reason
    assert planned(world, FIRST).refusals
    assert len(world.rows(dag_run)) == 1
