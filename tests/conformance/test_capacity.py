"""Limits hold over all jobs: two planners that both see room for one get one between them."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.plans import applying
from tailrace.metastore.store import Metastore
from tailrace.model.spec import DagSpec
from tailrace.planning.plan import Plan, TaskTransition
from tests.conformance.worlds import World, dag

POOLED = dag("a b", a={"pool": "small"}, b={"pool": "small"})
LIMITED = {
    "pool": POOLED,
    "pool_slots": dag("a b", a={"pool": "big", "pool_slots": 3}, b={"pool": "big", "pool_slots": 2}),
    "max_active_tasks": dag("a b", _dag={"max_active_tasks": 1}),
}


def states(world: World) -> list[str]:
    return sorted(row.state for row in world.rows(task_instance))


def set_up(world: World, spec: DagSpec, days: int = 1) -> int:
    world.pool("small", 1, None)
    world.pool("big", 4, None)
    return world.begun(spec, days)[1]


@pytest.mark.parametrize("spec", LIMITED.values(), ids=LIMITED.keys())
def test_two_planners_share_the_last_slot(world: World, other: Metastore, spec: DagSpec) -> None:
    job = set_up(world, spec)
    a, b = (world.transition(id) for id in world.by_task(1).values())  # both decided before either is applied
    mine = world.apply(spec, job, transitions=(a,))
    theirs = world.apply(spec, job, other, transitions=(b,))
    assert (mine.won, theirs.won, theirs.deferred) == ((a,), (), (b,))
    assert states(world) == ["none", "queued"]


@pytest.mark.parametrize("limit", ["max_active_tis_per_dag", "max_active_tis_per_dagrun"])
def test_limits_of_a_task(world: World, other: Metastore, limit: str) -> None:
    spec = dag("a", a={limit: 1})
    job = set_up(world, spec, days=2)
    first, second = (world.transition(world.by_task(run)["a"]) for run in (1, 2))
    assert world.apply(spec, job, transitions=(first,)).won
    per_run = limit == "max_active_tis_per_dagrun"
    applied = world.apply(spec, job, other, transitions=(second,))
    assert (applied.won, applied.deferred) == (((second,), ()) if per_run else ((), (second,)))


def test_within_one_plan_the_first_that_fit_are_taken(world: World) -> None:
    spec = dag("a b c", a={"pool": "big", "pool_slots": 3}, b={"pool": "big", "pool_slots": 2}, c={"pool": "big"})
    job = set_up(world, spec)
    a, b, c = (world.transition(id) for id in world.by_task(1).values())
    applied = world.apply(spec, job, transitions=(a, b, c))
    assert (applied.won, applied.deferred) == ((a, c), (b,))


@pytest.mark.parametrize("state", ["queued", "running", "stopping"])
def test_what_is_queued_running_or_stopping_occupies(world: World, state: str) -> None:
    job = set_up(world, POOLED)
    a, b = world.by_task(1).values()
    world.set_state(a, state=state)
    assert world.queue(POOLED, job, b).deferred
    assert world.store.snapshot(job, POOLED, 1).pools["small"].occupied == 1
    [pool] = [pool for pool in world.store.list_pools() if pool.name == "small"]
    assert (pool.queued, pool.running, pool.open) == ((1, 0, 0) if state == "queued" else (0, 1, 0))


@pytest.mark.parametrize("state", ["none", "success", "failed", "up_for_retry"])
def test_what_waits_or_has_ended_does_not(world: World, state: str) -> None:
    job = set_up(world, POOLED)
    a, b = world.by_task(1).values()
    world.set_state(a, state=state)
    assert world.queue(POOLED, job, b).won


def test_a_pool_that_is_not_there_has_no_room_and_an_unlimited_one_always(world: World) -> None:
    job = set_up(world, dag("a b"))
    spec = dag("a b", a={"pool": "none such"}, b={"pool": "endless", "pool_slots": 1000})  # as edited meanwhile
    world.pool("endless", -1, None)
    a, b = (world.transition(id) for id in world.by_task(1).values())
    applied = world.apply(spec, job, transitions=(a, b))
    assert (applied.won, applied.deferred) == ((b,), (a,))


def test_the_pool_of_the_run_stands_in_for_the_tasks(world: World) -> None:
    world.pool("small", 1, None)
    spec = dag("a b")
    _, job = world.begun(spec, pool="small")
    assert len(world.queue(spec, job, *world.by_task(1).values()).deferred) == 1


def test_pools_are_counted_over_all_dags(world: World) -> None:
    job = set_up(world, POOLED)
    another = replace(POOLED, dag_id="another")
    assert world.queue(POOLED, job, world.by_task(1)["a"]).won
    elsewhere = world.begun(another)[1]
    assert world.queue(another, elsewhere, world.by_task(2)["a"]).deferred


def test_two_planners_share_the_last_place_of_the_window(world: World, other: Metastore) -> None:
    spec = dag("a", _dag={"max_active_runs": 2})
    backfill = world.backfill(spec, days=3)
    job = world.job(spec, backfill)
    first, second, third = (world.activation(run) for run in world.run_rows())
    assert world.apply(spec, job, activations=(first, second)).activated == (1, 2)
    full = world.apply(spec, job, other, activations=(third,))
    assert full.activated == ()
    assert "2 runs are running (the limit is 2)" in str(full.stale[0])
    lower = world.apply(spec, job, activations=(third,), activation_limit=1)
    assert lower.activated == ()
    assert [row.state for row in world.rows(dag_run)] == ["running", "running", "queued"]


def test_a_run_closed_by_the_same_plan_makes_room(world: World) -> None:
    spec = dag("a", _dag={"max_active_runs": 1})
    backfill = world.backfill(spec, days=2)
    job = world.job(spec, backfill)
    world.activate(spec, job, 1)
    world.run_try(spec, job, world.by_task(1)["a"])
    applied = world.apply(
        spec,
        job,
        run_verdicts=(world.verdict(1, "success"),),
        activations=(world.activation(2),),  # type: ignore[arg-type]
    )
    assert (len(applied.judged), applied.activated) == (1, (2,))


# --- both at once ----------------------------------------------------------------------------------------------


def during(store: Metastore, plan: Plan, meanwhile: Callable[[], Any]) -> None:
    """Apply ``plan``, and call ``meanwhile`` when all is done but the commit."""

    def work(tx: Any) -> None:
        applying.apply_plan(tx, plan, "held", store._structures)
        meanwhile()

    store._database.write(work)


@pytest.fixture
def held(world: World, other: Metastore) -> Callable[[DagSpec, Plan, Plan], None]:
    """Asserts that the second plan waits for the first one's guards, whatever rows the two are about."""

    def check(spec: DagSpec, first: Plan, second: Plan) -> None:
        def meanwhile() -> None:
            with pytest.raises(EnvironmentBroken, match="locked for 0.2 s"):
                other.apply(second, "waiting")

        during(world.store, first, meanwhile)

    return check


def queue_plan(spec: DagSpec, step: TaskTransition) -> Plan:
    return Plan(spec, 1, transitions=(step,))


@pytest.mark.parametrize("spec", LIMITED.values(), ids=LIMITED.keys())
def test_whoever_takes_room_holds_the_guard(
    world: World, other: Metastore, held: Callable[..., None], spec: DagSpec
) -> None:
    set_up(world, spec, days=2)
    first, second = (world.transition(world.by_task(run)[task]) for run, task in ((1, "a"), (2, "b")))
    held(spec, queue_plan(spec, first), queue_plan(spec, second))
    assert other.apply(queue_plan(spec, second), "at last").deferred == (second,)


def test_a_pools_guard_holds_between_dags(world: World, other: Metastore, held: Callable[..., None]) -> None:
    set_up(world, POOLED)
    another = replace(POOLED, dag_id="another")
    world.begun(another)
    first, second = (world.transition(world.by_task(run)["a"]) for run in (1, 2))
    held(POOLED, queue_plan(POOLED, first), queue_plan(another, second))
    assert other.apply(queue_plan(another, second), "at last").deferred == (second,)


def test_whoever_activates_holds_the_dags_guard(world: World, other: Metastore, held: Callable[..., None]) -> None:
    spec = dag("a", _dag={"max_active_runs": 1})
    world.job(spec, world.backfill(spec, days=2))
    first, second = (Plan(spec, 1, activations=(world.activation(run),)) for run in (1, 2))
    held(spec, first, second)
    assert other.apply(second, "at last").activated == ()
