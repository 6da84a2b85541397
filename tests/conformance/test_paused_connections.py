"""Two PostgreSQL connections, one paused before its commit while the other is in the middle of a write behind it.

Under READ COMMITTED the second goes on, when the first has landed, with whatever it read before it had to wait. SQLite
hides all of this: it has one writer at a time. So each write must read what it decides from under a lock.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tailrace.effects.tries import Refused, TryOutcome
from tailrace.metastore.commands import creation
from tailrace.metastore.db.tables import backfill, dag_run
from tailrace.metastore.plans import applying
from tailrace.metastore.store import MetastoreStale
from tailrace.metastore.tries import claims as tries
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.plan import Plan
from tests.conformance.worlds import World, dag

AB = dag("a b")
pytestmark = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


def plan_work(world: World, plan: Plan) -> Callable[[Any], Any]:
    return lambda tx: applying.apply_plan(tx, plan, world.write_id(), world.store._structures)


def closing(world: World, job: int) -> Plan:
    return Plan(AB, job, run_verdicts=(world.verdict(1, DagRunState.FAILED),))


def test_a_claim_behind_the_runs_verdict_is_refused(world: World, behind: Callable[..., Any]) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    refused = behind(plan_work(world, closing(world, job)), lambda store: world.claim(a, store=store))
    assert isinstance(refused, Refused)
    assert refused.reason == "run_not_running"
    assert world.state(a) == "queued"


def test_a_transition_behind_the_runs_verdict_is_lost(world: World, behind: Callable[..., Any]) -> None:
    _, job = world.begun(AB)
    step = world.transition(world.by_task(1)["a"])
    applied = behind(
        plan_work(world, closing(world, job)), lambda store: store.apply(Plan(AB, job, transitions=(step,)), "behind")
    )
    assert applied.lost == (step,)
    assert world.state(step.id) == "none"


def test_a_verdict_behind_a_transition_is_stale(world: World, behind: Callable[..., Any]) -> None:
    _, job = world.begun(AB)
    step = world.transition(world.by_task(1)["a"])
    verdict = closing(world, job)
    applied = behind(plan_work(world, Plan(AB, job, transitions=(step,))), lambda store: store.apply(verdict, "behind"))
    assert applied.judged == ()
    assert "a: expected none, found queued" in str(applied.stale[0])


def test_a_loss_declared_behind_the_workers_own_report_is_lost(world: World, behind: Callable[..., Any]) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    lose = world.transition(a, TaskInstanceState.UP_FOR_RETRY, Cause.LOST, token=claim.token, retry_at=world.clock.now)
    outcome, after = TryOutcome(OutcomeKind.SUCCESS), world.after(AB, claim, OutcomeKind.SUCCESS)
    applied = behind(
        lambda tx: tries.report_outcome(tx, claim, outcome, after, "report"),
        lambda store: store.apply(Plan(AB, job, transitions=(lose,)), "behind"),
    )
    assert applied.lost == (lose,)
    assert world.state(a) == "success"


@pytest.mark.parametrize("which", ["pool", "dag"])
def test_a_planner_behind_the_one_that_took_the_last_slot(world: World, behind: Callable[..., Any], which: str) -> None:
    world.pool("small", 1, None)
    specs: dict[str, DagSpec] = {
        "pool": dag("a b", a={"pool": "small"}, b={"pool": "small"}),
        "dag": dag("a b", _dag={"max_active_tasks": 1}),
    }
    spec = specs[which]
    _, job = world.begun(spec, days=2)
    first, second = (world.transition(world.by_task(run)[task]) for run, task in ((1, "a"), (2, "b")))
    applied = behind(
        plan_work(world, Plan(spec, job, transitions=(first,))),
        lambda store: store.apply(Plan(spec, job, transitions=(second,)), "behind"),
    )
    assert applied.deferred == (second,)


def test_an_activation_behind_the_one_that_filled_the_window(world: World, behind: Callable[..., Any]) -> None:
    spec = dag("a", _dag={"max_active_runs": 1})
    job = world.job(spec, world.backfill(spec, days=2))
    first, second = (Plan(spec, job, activations=(world.activation(run),)) for run in (1, 2))
    applied = behind(plan_work(world, first), lambda store: store.apply(second, "behind"))
    assert applied.activated == ()
    assert "1 runs are running (the limit is 1)" in str(applied.stale[0])


@pytest.mark.parametrize("days", [1, 2], ids=["the same dates", "one date more"])
def test_a_creation_behind_the_same_command_is_stale(world: World, behind: Callable[..., Any], days: int) -> None:
    _, job = world.begun(AB)
    for id in world.by_task(1).values():
        world.run_try(AB, job, id)
    assert world.apply(AB, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),)).judged
    world.store._database.write(lambda tx: tx.change(backfill.update().values(state="success")))
    mine, theirs = world.decide(AB, days), world.decide(AB, days)
    assert mine.continues is theirs.continues is None

    def create(tx: Any) -> None:
        creation.write_backfill(tx, AB, mine, "typed", "mine", world.store._structures)

    answer = behind(create, lambda store: store.create_backfill(AB, theirs, "typed", "theirs"))
    assert isinstance(answer, MetastoreStale)
    assert len(world.rows(backfill)) == 2
    assert len(world.rows(dag_run)) == days


def test_the_first_two_creations_of_a_dag(world: World, behind: Callable[..., Any]) -> None:
    mine, theirs = world.decide(AB), world.decide(AB)

    def create(tx: Any) -> None:
        creation.write_backfill(tx, AB, mine, "typed", "mine", world.store._structures)

    answer = behind(create, lambda store: store.create_backfill(AB, theirs, "typed", "theirs"))
    assert isinstance(answer, MetastoreStale)
    assert len(world.rows(backfill)) == len(world.rows(dag_run)) == 1


def test_the_same_write_twice_at_once_lands_once(world: World, behind: Callable[..., Any]) -> None:
    """A commit that lands late: its repetition under the same id is already on its way."""
    _, job = world.begun(AB)
    step = world.transition(world.by_task(1)["a"])
    plan = Plan(AB, job, transitions=(step,))

    def first(tx: Any) -> None:
        applying.apply_plan(tx, plan, "once", world.store._structures)

    assert behind(first, lambda store: store.apply(plan, "once")).won == (step,)
    assert len(world.history(after="queued", kind="task_instance")) == 1
