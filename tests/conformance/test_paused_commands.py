"""A person's command and everybody else, paused in the middle of each other on two PostgreSQL connections.

What each write decides from is read under its locks: whoever comes second finds what the first has left.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.effects.tries import Claim, ClaimRequest, Refused
from tailrace.metastore.commands import commanding, creation, triggering
from tailrace.metastore.db.tables import backfill, dag_run
from tailrace.metastore.plans import applying
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.metastore.tries import claims as tries
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.cancelling import plan_cancel
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandPlan
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.plan import Plan
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tests.conformance.worlds import FIRST, LEASE, World, dag
from tests.message_text import text_of

AB = dag("a b")
PAST = dag("a>b", a={"depends_on_past": True})
Behind = Callable[[Callable[[Any], Any], Callable[[Metastore], Any]], Any]

pytestmark = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


def command(world: World, plan: CommandPlan) -> Callable[[Any], Any]:
    return lambda tx: commanding.write_command(tx, plan, world.write_id())


def planned(world: World, plan: Plan) -> Callable[[Any], Any]:
    return lambda tx: applying.apply_plan(tx, plan, world.write_id(), world.store._structures)


def clear(world: World, *task_ids: str) -> CommandPlan:
    return plan_clear(world.about(), ClearRequest(task_ids))


def test_a_claim_behind_a_clear_is_refused(world: World, behind: Behind) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    refused = behind(command(world, clear(world)), lambda store: world.claim(a, store=store))
    assert isinstance(refused, Refused)
    assert world.state(a) == "none"
    world.sound()


def test_a_clear_behind_a_claim_is_stale(world: World, behind: Behind) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    plan = clear(world, "a")
    won: list[Claim | Refused] = []

    request = ClaimRequest(a, 1, world.process(), world.process(), "hash", LEASE)

    def claim(tx: Any) -> None:
        won.append(tries.claimed_from(tries.claim_try(tx, request, world.write_id())))

    answer = behind(claim, lambda store: store.command(plan, world.write_id()))
    assert isinstance(won[0], Claim)
    assert isinstance(answer, MetastoreStale)
    assert world.state(a) == "running"


def test_a_clear_behind_the_runs_verdict_is_stale(world: World, behind: Behind) -> None:
    _, job = world.begun(AB)
    for id in world.by_task(1).values():
        world.run_try(AB, job, id)
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),))
    plan = clear(world, "a")
    answer = behind(planned(world, verdict), lambda store: store.command(plan, world.write_id()))
    assert isinstance(answer, MetastoreStale)
    assert "found success" in answer.reason
    assert world.row(dag_run, 1).state == "success"


def test_a_runs_verdict_behind_a_clear_is_stale(world: World, behind: Behind) -> None:
    _, job = world.begun(AB)
    for id in world.by_task(1).values():
        world.run_try(AB, job, id)
    verdict = Plan(AB, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),))
    applied = behind(command(world, clear(world, "a")), lambda store: store.apply(verdict, world.write_id()))
    assert applied.judged == ()
    assert world.row(dag_run, 1).state == "running"
    world.sound()


def judged_run(world: World) -> tuple[int, int, Plan]:
    """A backfill whose one run has failed, and the verdict over it that nobody has written yet."""
    backfill_id, job = world.begun(AB)
    for id in world.by_task(1).values():
        world.run_try(AB, job, id, OutcomeKind.FAILED_FOR_GOOD)
    world.step(AB, job, backfill_id)
    plan = world.decided(world.store.snapshot(job, AB, backfill_id))
    assert plan.backfill_verdict is not None
    return backfill_id, job, plan


def test_a_backfills_verdict_behind_a_clear_is_stale(world: World, behind: Behind) -> None:
    backfill_id, _, verdict = judged_run(world)
    applied = behind(command(world, clear(world)), lambda store: store.apply(verdict, world.write_id()))
    assert not applied.backfill_judged
    assert (world.row(backfill, backfill_id).state, world.row(dag_run, 1).state) == ("running", "queued")
    world.sound()


def test_a_clear_behind_the_backfills_verdict_is_stale(world: World, behind: Behind) -> None:
    """It was about to say that this backfill drives the run again."""
    backfill_id, _, verdict = judged_run(world)
    plan = clear(world)
    answer = behind(planned(world, verdict), lambda store: store.command(plan, world.write_id()))
    assert isinstance(answer, MetastoreStale)
    assert "expected to be wanted by" in answer.reason
    assert world.row(backfill, backfill_id).state == "failed"
    assert any(
        f"what was judged stays as it is: backfill {backfill_id}" in text_of(notice) for notice in clear(world).notices
    )


def test_a_clear_behind_another_is_stale(world: World, behind: Behind) -> None:
    judged_run(world)
    mine, theirs = clear(world), clear(world)
    assert isinstance(behind(command(world, mine), lambda store: store.command(theirs, "theirs")), MetastoreStale)
    assert world.row(dag_run, 1).version == 2
    world.sound()


def test_a_deadlock_behind_the_mark_of_its_blocker_is_stale(world: World, behind: Behind) -> None:
    spec = dag("a b", a={"depends_on_past": True})
    backfill_id = world.backfill(spec, days=2)
    job = world.job(spec, backfill_id)
    world.activate(spec, job, 1, 2)
    for id in world.by_task(1).values():
        world.run_try(spec, job, id, OutcomeKind.FAILED_FOR_GOOD)
    world.run_try(spec, job, world.by_task(2)["b"])
    world.step(spec, job, backfill_id)
    late = world.decided(world.store.snapshot(job, spec, backfill_id))
    mark = plan_mark_tasks(world.about(FIRST), MarkRequest(TaskInstanceState.SUCCESS, ("a",)))
    applied = behind(command(world, mark), lambda store: store.apply(late, world.write_id()))
    assert applied.judged == ()
    assert world.row(dag_run, 2).state == "running"


def test_a_clear_behind_the_deadlock_it_would_have_lifted_is_stale(world: World, behind: Behind) -> None:
    backfill_id = world.backfill(PAST, days=2)
    job = world.job(PAST, backfill_id)
    world.activate(PAST, job, 1, 2)
    world.run_try(PAST, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    world.step(PAST, job, backfill_id)
    plan = plan_clear(world.about(FIRST), ClearRequest(("a",)))
    deadlock = world.decided(world.store.snapshot(job, PAST, backfill_id))
    assert [verdict.state for verdict in deadlock.run_verdicts] == ["deadlocked"]
    answer = behind(planned(world, deadlock), lambda store: store.command(plan, world.write_id()))
    assert isinstance(answer, MetastoreStale)
    assert "deadlocked" in answer.reason


def test_a_cancel_behind_a_creation_that_wants_its_run_is_stale(world: World, behind: Behind) -> None:
    first = world.backfill(AB, days=2)
    plan = plan_cancel(world.about(backfill_id=first))
    wants = world.decide(AB, days=1)
    assert wants.refusals == ()

    def create(tx: Any) -> None:
        creation.write_backfill(tx, AB, wants, "typed", "mine", world.store._structures)

    answer = behind(create, lambda store: store.command(plan, world.write_id()))
    assert isinstance(answer, MetastoreStale)
    assert {row.state for row in world.rows(dag_run)} == {"queued"}


def test_a_creation_behind_the_cancel_of_its_runs_is_stale(world: World, behind: Behind) -> None:
    first = world.backfill(AB, days=2)
    wants = world.decide(AB, days=1)
    answer = behind(
        command(world, plan_cancel(world.about(backfill_id=first))),
        lambda store: store.create_backfill(AB, wants, "typed", "theirs"),
    )
    assert isinstance(answer, MetastoreStale)
    assert len(world.rows(backfill)) == 1


def test_an_activation_behind_a_cancel_is_stale(world: World, behind: Behind) -> None:
    first = world.backfill(AB)
    job = world.job(AB, first)
    begins = Plan(AB, job, activations=(world.activation(1),))
    cancel = plan_cancel(world.about(backfill_id=first))
    applied = behind(command(world, cancel), lambda store: store.apply(begins, world.write_id()))
    assert applied.activated == ()
    assert world.row(dag_run, 1).state == "cancelled"
    world.sound()


def test_a_report_behind_a_cancel_ends_as_the_person_wanted(world: World, behind: Behind) -> None:
    first, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    cancel = plan_cancel(world.about(backfill_id=first))
    accepted = behind(command(world, cancel), lambda store: world.report(AB, claim, store=store))
    assert accepted.state == "none"
    world.sound()


def test_a_mark_of_a_run_behind_what_finished_in_it_is_stale(world: World, behind: Behind) -> None:
    _, job = world.begun(AB)
    step = world.transition(world.by_task(1)["a"])
    plan = plan_mark_runs(world.about(), DagRunState.SUCCESS)
    answer = behind(
        planned(world, Plan(AB, job, transitions=(step,))), lambda store: store.command(plan, world.write_id())
    )
    assert isinstance(answer, MetastoreStale)
    assert isinstance(world.do(plan_mark_runs(world.about(), DagRunState.SUCCESS)), Done)
    world.sound()


def test_a_trigger_behind_a_trigger_of_the_same_moment_is_stale(world: World, behind: Behind) -> None:
    facts = world.store.trigger_facts("dag", FIRST, "manual__x")
    mine, theirs = (
        plan_trigger(AB, TriggerRequest(FIRST, run_id), world.clock.now, facts) for run_id in ("manual__x", "manual__y")
    )

    def trigger(tx: Any) -> None:
        triggering.write_trigger(tx, AB, mine, "mine", world.store._structures)

    assert isinstance(behind(trigger, lambda store: store.trigger(AB, theirs, "theirs")), MetastoreStale)
    assert len(world.rows(dag_run)) == 1
