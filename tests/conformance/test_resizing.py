"""A pool of 0 slots only holds back; slots that are given open again what was deadlocked for want of them."""

import pytest
from sqlalchemy import delete

from tailrace.metastore.db.tables import dag_run, pool
from tailrace.metastore.store import Metastore, MetastoreStale
from tailrace.model.states import DagRunState
from tailrace.planning.resizing import plan_resize
from tests.conformance.worlds import DAY, FIRST, World, dag
from tests.message_text import lines, text_of

WIDE = dag("a>b", a={"pool": "p", "pool_slots": 2})


@pytest.fixture
def begun(world: World) -> tuple[int, int]:
    """A run whose first task needs both slots of its pool; the rows of its backfill and of the job."""
    world.pool("p", 2)
    return world.begun(WIDE)


def deadlock(world: World, begun: tuple[int, int]) -> None:
    """The pool is too small by now: the run is judged."""
    world.pool("p", 1)
    id, job = begun
    for _ in range(2):
        world.step(WIDE, job, id)
    assert world.row(dag_run, 1).state == "deadlocked"


def test_a_frozen_pool_is_a_wait(world: World, begun: tuple[int, int]) -> None:
    id, job = begun
    world.pool("p", 0)
    decided = world.decided(world.store.snapshot(job, WIDE, id))
    assert (decided.transitions, decided.run_verdicts) == ((), ())
    [of_a] = [each for each in decided.decisions if each.key.task_id == "a"]
    assert not of_a.doomed
    assert "it goes on after `tailrace pools set p SLOTS`" in text_of(of_a.failed[0].reason)
    world.pool("p", 2)
    assert world.step(WIDE, job, id).queued
    world.sound()


def test_a_backfill_may_be_created_while_its_pool_is_frozen(world: World) -> None:
    world.pool("p", 0)
    creation = world.decide(WIDE)
    assert creation.refusals == ()
    assert lines(creation.notices) == (
        "pool 'p' has 0 slots: what needs it waits until `tailrace pools set p 2` or more",
    )
    world.pool("p", 1)
    assert "enlarge it with `tailrace pools set p 2`" in text_of(world.decide(WIDE).refusals[0])


@pytest.mark.parametrize(
    ("slots", "state"), [(3, "queued"), (2, "queued"), (-1, "queued"), (1, "deadlocked"), (0, "deadlocked")]
)
def test_what_was_deadlocked_for_a_pool_opens_again_once_it_fits(
    world: World, begun: tuple[int, int], slots: int, state: str
) -> None:
    deadlock(world, begun)
    world.pool("p", slots)
    row = world.row(dag_run, 1)
    assert row.state == state
    assert (bool(row.live), row.blocked is None) == ((True, True) if state == "queued" else (False, False))
    world.sound()


def test_another_pool_opens_nothing(world: World, begun: tuple[int, int]) -> None:
    deadlock(world, begun)
    world.pool("q", 9)
    world.pool("q", 10)
    assert world.row(dag_run, 1).state == "deadlocked"


def test_a_pool_that_is_made_again_opens_what_it_was_missing_for(world: World, begun: tuple[int, int]) -> None:
    id, job = begun
    gone = delete(pool).where(pool.c.name == "p")  # no command deletes one that is used
    world.store._database.write(lambda tx: tx.change(gone))
    for _ in range(2):
        world.step(WIDE, job, id)
    assert world.row(dag_run, 1).state == "deadlocked"
    assert world.pool("p", 2) is True
    assert world.row(dag_run, 1).state == "queued"


def test_runs_that_those_had_deadlocked_open_too(world: World) -> None:
    spec = dag("a", a={"pool": "p", "pool_slots": 2, "depends_on_past": True})
    world.pool("p", 2)
    id, job = world.begun(spec, days=3)
    world.pool("p", 1)
    for _ in range(4):
        world.step(spec, job, id)
    assert {row.state for row in world.rows(dag_run)} == {"deadlocked"}
    plan = plan_resize(world.store.resize_facts("p"), "p", 2)
    assert text_of(plan.notices[0]) == "3 runs of dag that were deadlocked for it go again"
    assert world.store.resize(plan, world.write_id()) is False
    assert {row.state for row in world.rows(dag_run)} == {"queued"}
    world.sound()


def test_runs_of_several_dags_open_together(world: World, begun: tuple[int, int]) -> None:
    second = world.named(WIDE, "second")
    id = world.backfill(second)
    job = world.job(second, id)
    world.activate(second, job, 2)
    deadlock(world, begun)
    for _ in range(2):
        world.step(second, job, id)
    world.pool("p", 2)
    assert [row.state for row in world.rows(dag_run)] == ["queued", "queued"]
    world.sound()


def test_a_resizing_that_came_too_late_writes_nothing(world: World, other: Metastore, begun: tuple[int, int]) -> None:
    deadlock(world, begun)
    late = plan_resize(world.store.resize_facts("p"), "p", 2)
    world.pool("p", 3)
    answer = other.resize(late, world.write_id())
    assert isinstance(answer, MetastoreStale)
    assert answer.reason == "pool p: expected 1 slots, found 3"


def test_a_run_that_is_found_deadlocked_meanwhile_makes_a_resizing_stale(world: World, begun: tuple[int, int]) -> None:
    id, job = begun
    world.pool("p", 1)
    late = plan_resize(world.store.resize_facts("p"), "p", 2)
    for _ in range(2):
        world.step(WIDE, job, id)
    assert world.row(dag_run, 1).state == DagRunState.DEADLOCKED
    assert isinstance(world.store.resize(late, world.write_id()), MetastoreStale)
    assert world.store.list_pools()[-1].slots == 1


def test_a_run_that_names_its_own_pool_opens_for_that_one(world: World) -> None:
    world.pool("own", 2)
    id = world.backfill(WIDE, first=FIRST + 3 * DAY, pool="own")
    job = world.job(WIDE, id)
    world.activate(WIDE, job, 1)
    world.pool("own", 1)
    for _ in range(2):
        world.step(WIDE, job, id)
    assert world.row(dag_run, 1).state == "deadlocked"
    world.pool("p", 5)
    assert world.row(dag_run, 1).state == "deadlocked"
    world.pool("own", 2)
    assert world.row(dag_run, 1).state == "queued"
