"""What ``explain`` is told about a run is what is recorded: owners, leases, places, tries, the planner's snapshot."""

import pytest
from msgspec.structs import replace

from tailrace.cli.remedies import command_of
from tailrace.metastore.db.tables import dag_run, history
from tailrace.metastore.store import Metastore
from tailrace.model.outcomes import OutcomeKind
from tailrace.planning.explain import explain_run
from tailrace.planning.planner import plan
from tests.conformance.stories import PAST, Drive
from tests.conformance.worlds import LEASE, World, dag

CHAIN = dag("a>b", a={"retries": 1})


def test_a_running_try_its_owner_and_its_leases(world: World) -> None:
    backfill, job = world.begun(CHAIN)
    a = world.by_task(1)["a"]
    world.queue(CHAIN, job, a)
    world.running(a)
    world.clock.advance(5)
    facts = world.store.explained(1)
    assert facts.owner is not None
    assert (facts.owner.id, facts.owner.alive, round(facts.owner.lease_seconds)) == (job, True, 15)
    assert [(each.backfill_id, each.state) for each in facts.wanted_by] == [(backfill, "queued")]
    (running, waiting) = explain_run(facts).task_instances
    assert running.facts.view.holder is not None
    assert round(running.facts.lease_seconds or 0) == 15
    assert "try 1 is running for 5 s by worker" in running.waits
    assert waiting.release is not None
    assert str(waiting.release) == "the end of a (running)"
    assert facts.snapshot == world.store.snapshot(job, CHAIN, backfill)


def test_an_owner_whose_heartbeats_stopped_is_not_believed(world: World) -> None:
    _, job = world.begun(CHAIN)
    world.clock.advance(LEASE + 3)
    facts = world.store.explained(1)
    assert facts.owner is not None
    assert (facts.owner.id, facts.owner.alive, facts.drivers) == (job, False, ())
    other = world.job(CHAIN, 1)
    assert [each.id for each in world.store.explained(1).drivers] == [other]


def test_places_before_the_window(world: World) -> None:
    spec = replace(CHAIN, max_active_runs=1)
    backfill = world.backfill(spec, days=4)
    job = world.job(spec, backfill)
    world.activate(spec, job, 1)
    waits = [explain_run(world.store.explained(run)).waits for run in (2, 3, 4)]
    assert [text.partition("; ")[2] for text in waits] == [
        "backfill 1: 0 queued before it",
        "backfill 1: 1 queued before it",
        "backfill 1: 2 queued before it",
    ]
    assert all(text.startswith("1 of 1 runs of dag are running") for text in waits)


def test_tries_are_explained_from_history(world: World) -> None:
    _, job = world.begun(CHAIN)
    a = world.by_task(1)["a"]
    world.run_try(CHAIN, job, a, OutcomeKind.FAILED)
    world.clock.advance(400)
    world.queue(CHAIN, job, a)
    facts = world.store.explained(1)
    first, second = facts.task_instances[0].tries
    assert (first.number, first.outcome, first.cause, first.reason) == (1, "up_for_retry", "retry", "said so")
    assert first.started_at == first.ended_at
    assert (second.number, second.outcome, second.started_at) == (2, None, None)
    assert facts.task_instances[1].tries == ()


def test_a_deadlock_is_explained_with_its_stored_proof(world: World) -> None:
    Drive(world, PAST, world.backfill(PAST, days=2), {("p", 1): OutcomeKind.FAILED}).go()
    found = explain_run(world.store.explained(2))
    p, q = found.task_instances
    assert p.doomed
    assert q.doomed
    assert "previous run" in p.waits
    assert p.release is not None and p.release.remedy is not None
    assert command_of(p.release.remedy) == f"tailrace tasks clear past p {world.row(dag_run, 1).run_id}"
    assert found.release is not None and found.release.remedy is not None
    assert found.release == p.release, "clearing the run itself would end in the same deadlock"


def test_a_run_that_no_lane_drives_is_asked_about_all_the_same(world: World) -> None:
    backfill, job = world.begun(CHAIN)
    world.store.mark_job_dead(job)
    world.set_run(1, owner_job_id=None)
    other = replace(CHAIN, dag_id="other")
    world.backfill(other)
    facts = world.store.explained(1)
    assert [run.id for run in facts.snapshot.runs] == [1]
    assert [step.id for step in plan(facts.snapshot).transitions] == [world.by_task(1)["a"]]
    assert backfill == 1


def test_explaining_writes_nothing(world: World, other: Metastore) -> None:
    world.begun(CHAIN)
    before = world.rows(history)
    other.explained(1)
    assert world.rows(history) == before
    with pytest.raises(KeyError):
        other.explained(99)
