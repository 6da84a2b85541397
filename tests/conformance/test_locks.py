"""What a write has read under lock stays as it is until the write lands: others wait, whatever order they come in.

On PostgreSQL each of these is a lock of its own; SQLite has one for all writes. A write that would have to wait is
tried while the first is done but for its commit; it gives up after a moment, and finds the new state afterwards.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.effects.requests import Accepted
from tailrace.effects.tries import Claim, ClaimRequest, TryOutcome
from tailrace.errors import EnvironmentBroken
from tailrace.metastore.commands import creation
from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.plans import applying
from tailrace.metastore.store import Metastore
from tailrace.metastore.tries import claims as tries
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState
from tailrace.planning.plan import Plan, RunTakeover
from tailrace.planning.resizing import plan_resize
from tests.conformance.worlds import LEASE, World, dag

AB = dag("a b")
FAILED = DagRunState.FAILED


@pytest.fixture
def job(world: World) -> int:
    """The job of a backfill with one active run."""
    return world.begun(AB)[1]


def during(store: Metastore, write: Callable[[Any], Any], others: Callable[[], Any]) -> None:
    """Do ``write`` and, when all of it is done but the commit, assert that ``others`` has to wait."""

    def work(tx: Any) -> None:
        write(tx)
        with pytest.raises(EnvironmentBroken, match="locked for 0.2 s"):
            others()

    store._database.write(work)


def applied(world: World, plan: Plan) -> Callable[[Any], Any]:
    return lambda tx: applying.apply_plan(tx, plan, world.write_id(), world.store._structures)


def test_a_run_is_not_closed_while_something_is_queued_in_it(world: World, other: Metastore, job: int) -> None:
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, FAILED),))
    queueing = Plan(AB, job, transitions=(world.transition(world.by_task(1)["a"]),))
    during(world.store, applied(world, queueing), lambda: other.apply(verdict, "verdict"))
    assert "a: expected none, found queued" in str(other.apply(verdict, "verdict").stale[0])


def test_nothing_is_queued_in_a_run_that_is_being_closed(world: World, other: Metastore, job: int) -> None:
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, FAILED),))
    queueing = Plan(AB, job, transitions=(world.transition(world.by_task(1)["a"]),))
    during(world.store, applied(world, verdict), lambda: other.apply(queueing, "queue"))
    assert other.apply(queueing, "queue").lost == queueing.transitions


def test_no_try_is_claimed_in_a_run_that_is_being_closed(world: World, other: Metastore, job: int) -> None:
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, FAILED),))
    during(world.store, applied(world, verdict), lambda: world.claim(a, store=other))
    refused = world.claim(a, store=other)
    assert not isinstance(refused, Claim)
    assert refused.reason == "run_not_running"


def test_a_run_is_not_closed_while_a_try_of_it_is_claimed(world: World, other: Metastore, job: int) -> None:
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, FAILED),))
    request = ClaimRequest(a, 1, world.process(), None, "hash", LEASE)
    during(world.store, lambda tx: tries.claim_try(tx, request, "claim"), lambda: other.apply(verdict, "verdict"))
    assert "a: expected queued, found running" in str(other.apply(verdict, "verdict").stale[0])


def test_the_evidence_of_a_verdict_does_not_change_before_it_lands(world: World, other: Metastore, job: int) -> None:
    """The race of 2016 in one transaction: the worker finishes between the verdict's read and its write."""
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, FAILED),))
    outcome, after = TryOutcome(OutcomeKind.SUCCESS), world.after(AB, claim, OutcomeKind.SUCCESS)
    during(world.store, applied(world, verdict), lambda: other.report(claim, outcome, after, "report"))
    assert other.report(claim, outcome, after, "report") == Accepted("success")


def test_the_size_of_a_pool_does_not_change_under_a_verdict_that_leans_on_it(
    world: World, other: Metastore, job: int
) -> None:
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, FAILED, pool_evidence={"default_pool": 128}),))
    resized = plan_resize(other.resize_facts("default_pool"), "default_pool", 1)
    during(world.store, applied(world, verdict), lambda: other.resize(resized, "pool"))


def test_one_of_two_takes_a_run_over(world: World, other: Metastore, job: int) -> None:
    second, third = world.job(AB, 1), world.job(AB, 1)
    world.store.mark_job_dead(job)
    mine, theirs = (Plan(AB, each, takeovers=(RunTakeover(1, "run", job),)) for each in (second, third))
    during(world.store, applied(world, mine), lambda: other.apply(theirs, "theirs"))
    assert other.apply(theirs, "theirs").taken_over == ()
    assert world.row(dag_run, 1).owner_job_id == second


def test_two_creations_over_the_same_dates_take_turns(world: World, other: Metastore, job: int) -> None:
    mine = world.decide(AB, days=3)
    theirs = world.decide(AB, days=2, new=True)

    def write(tx: Any) -> Any:
        return creation.write_backfill(tx, AB, mine, "typed", "mine", world.store._structures)

    during(world.store, write, lambda: other.create_backfill(AB, theirs, "typed", "theirs"))
    assert "expected no run, found queued" in str(other.create_backfill(AB, theirs, "typed", "theirs"))
    assert len(world.rows(dag_run)) == 3


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_claims_of_one_run_do_not_wait_for_each_other(world: World, other: Metastore, job: int) -> None:
    """The lock that keeps a run open is shared; only SQLite has one writer at a time."""
    a, b = world.by_task(1).values()
    world.queue(AB, job, a, b)
    request = ClaimRequest(a, 1, world.process(), None, "hash", LEASE)

    def work(tx: Any) -> None:
        tries.claim_try(tx, request, "claim")
        assert isinstance(world.claim(b, store=other), Claim)

    world.store._database.write(work)
    assert (world.state(a), world.state(b)) == ("running", "running")


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_report_waits_for_no_planner_of_another_run(world: World, other: Metastore) -> None:
    _, job = world.begun(AB, days=2)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    outcome, after = TryOutcome(OutcomeKind.SUCCESS), world.after(AB, claim, OutcomeKind.SUCCESS)
    queueing = Plan(AB, job, transitions=(world.transition(world.by_task(2)["a"]),))

    def work(tx: Any) -> None:
        applied(world, queueing)(tx)
        assert other.report(claim, outcome, after, "report") == Accepted("success")

    world.store._database.write(work)
