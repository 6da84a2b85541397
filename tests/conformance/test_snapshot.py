"""One snapshot per decision: of one moment, of what is active, and no dearer for a long range or a long history."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from tailrace.metastore.db.tables import backfill
from tailrace.metastore.plans import snapshots
from tailrace.metastore.store import Metastore
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.plan import CapacityWait, Plan, WaitChanges
from tailrace.planning.snapshot import PoolSnapshot
from tests.conformance.listening import hearing, plan_of
from tests.conformance.worlds import DAY, FIRST, LEASE, World, dag

A = dag("a")

#: Scans of what is few by its nature: pools and what occupies them, DAGs, what is open, jobs that run, lanes that wait.
BOUNDED = (
    "SCAN pool",
    "SCAN task_instance USING INDEX ix_task_instance_occupying",
    "SCAN job USING INDEX ix_job_running",
    "SCAN capacity_wait",
    "SCAN dag USING INDEX",
    "SCAN backfill USING INDEX ix_backfill_open",
)


def test_it_has_what_the_job_drives(world: World) -> None:
    id, job = world.begun(A, days=2)
    snapshot = world.store.snapshot(job, A, id)
    assert (snapshot.now, snapshot.job_id, snapshot.dag) == (world.clock.now, job, A)
    assert [(run.id, run.logical_date, run.state, run.owner_job_id, run.owner_alive) for run in snapshot.runs] == [
        (1, FIRST, DagRunState.RUNNING, job, True),
        (2, FIRST + DAY, DagRunState.RUNNING, job, True),
    ]
    [ti] = snapshot.runs[0].task_instances
    assert (ti.task_id, ti.state, ti.try_number, ti.max_tries, ti.token) == ("a", TaskInstanceState.NONE, 0, 1, 0)
    assert snapshot.pools == {"default_pool": PoolSnapshot("default_pool", 128, 0)}
    assert (snapshot.dag_active_runs, snapshot.dag_active_tasks) == (2, 0)
    view = snapshot.backfill
    assert view is not None
    assert (view.id, view.state, view.version, view.open_runs, view.active_runs) == (id, "queued", 1, 2, 2)


def test_runs_of_a_live_job_are_left_to_it(world: World) -> None:
    id, first = world.begun(A)
    second = world.job(A, id)
    snapshot = world.store.snapshot(second, A, id)
    assert (snapshot.runs, snapshot.dag_active_runs) == ((), 1)
    assert snapshot.backfill is not None
    assert (snapshot.backfill.open_runs, snapshot.backfill.active_runs) == (1, 1)
    world.clock.advance(LEASE)
    [run] = world.store.snapshot(second, A, id).runs
    assert (run.owner_job_id, run.owner_alive) == (first, False)


def test_only_wanted_runs_are_there(world: World) -> None:
    first, job = world.begun(A)
    other = world.backfill(A, first=FIRST + DAY)
    snapshot = world.store.snapshot(job, A, other)
    assert (snapshot.runs, [run.id for run in snapshot.candidates]) == ((), [2])
    assert [run.id for run in world.store.snapshot(job, A, first).runs] == [1]
    assert world.store.snapshot(job, A, None).runs == ()


def test_live_runs_are_a_lane_of_their_own(world: World) -> None:
    _, job = world.begun(A)
    world.backfill(A, days=2, first=FIRST + DAY)
    world.set_run(1, live=True)
    world.set_run(3, live=True)
    snapshot = world.store.snapshot(job, A, None)
    assert ([run.id for run in snapshot.runs], [run.id for run in snapshot.candidates]) == ([1], [3])
    assert (snapshot.dag_active_runs, snapshot.backfill, snapshot.schedule_paused) == (1, None, False)
    world.store.set_paused(A.dag_id, True, world.write_id())
    assert world.store.snapshot(job, A, None).schedule_paused


def test_candidates_are_the_next_queued_runs_of_the_window(world: World) -> None:
    id = world.backfill(A, days=40, max_active_runs=3)
    job = world.job(A, id)
    world.activate(A, job, 2)
    snapshot = world.store.snapshot(job, A, id)
    assert [run.id for run in snapshot.candidates] == [1, 3, 4]
    assert {run.task_instances for run in snapshot.candidates} == {()}
    world.backfill(A, days=40)
    assert len(world.store.snapshot(job, A, id).candidates) == 16


def test_previous_runs_come_only_where_tasks_look_at_them(world: World) -> None:
    id, job = world.begun(A)
    world.run_try(A, job, world.by_task(1)["a"])
    assert world.apply(A, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),)).judged
    id = world.backfill(A, days=3)
    world.activate(A, job, 2)
    assert world.store.snapshot(job, A, id).previous == {}
    past = dag("a", a={"depends_on_past": True})
    previous = world.store.snapshot(job, past, id).previous
    assert {(run.id, run.state) for run in previous.values()} == {(1, "success"), (2, "running")}
    assert previous[1].states == {"a": (TaskInstanceState.SUCCESS,)}
    assert previous[2].states == {"a": (TaskInstanceState.NONE,)}


def test_what_other_dags_occupy_counts_in_the_pools_alone(world: World) -> None:
    spec = dag("a", a={"pool_slots": 3, "max_active_tis_per_dag": 5})
    _, job = world.begun(spec)
    world.queue(spec, job, world.by_task(1)["a"])
    elsewhere = DagSpec("elsewhere", A.tasks, schedule=A.schedule, start_date=FIRST)
    there, their_job = world.begun(elsewhere)
    snapshot = world.store.snapshot(their_job, elsewhere, there)
    assert (snapshot.pools["default_pool"].occupied, snapshot.dag_active_tasks, snapshot.task_active) == (3, 0, {})
    here = world.store.snapshot(job, spec, 1)
    assert (here.pools["default_pool"].occupied, here.dag_active_tasks, here.task_active) == (3, 1, {"a": 1})


def test_the_counts_behind_a_verdict_come_when_nothing_is_open(world: World) -> None:
    id = world.backfill(A, days=3)
    job = world.job(A, id)
    for run, kind, state in ((1, OutcomeKind.SUCCESS, "success"), (2, OutcomeKind.FAILED, "failed")):
        world.activate(A, job, run)
        world.run_try(A, job, world.by_task(run)["a"], kind)
        assert world.apply(A, job, run_verdicts=(world.verdict(run, DagRunState(state)),)).judged
        view = world.store.snapshot(job, A, id).backfill
        assert view is not None
        assert (view.open_runs > 0, view.closed_by_state, view.failed_runs) == (True, {}, 0)
    world.backfill(A, days=3, stop_on_failure=True)
    view = world.store.snapshot(job, A, id).backfill
    assert view is not None
    assert (view.failed_runs, view.closed_by_state) == (1, {"success": 1, "failed": 1})


def test_a_paused_or_unknown_backfill(world: World) -> None:
    id, job = world.begun(A)
    world.store._database.write(lambda tx: tx.change(update(backfill).values(paused=True)))
    view = world.store.snapshot(job, A, id).backfill
    assert view is not None
    assert view.paused
    assert world.store.snapshot(job, A, 999).backfill is None


def test_a_lease_of_another_boot_has_run_out(world: World) -> None:
    id, job = world.begun(A)
    a = world.by_task(1)["a"]
    world.queue(A, job, a)
    world.running(a)
    [run] = world.store.snapshot(job, A, id).runs
    assert (run.owner_alive, run.task_instances[0].lease_expired) == (True, False)
    world.clock.boot, world.clock.seconds = "boot-2", 1.0
    [run] = world.store.snapshot(job, A, id).runs
    assert (run.owner_alive, run.task_instances[0].lease_expired) == (False, True)


def test_it_is_of_one_moment(world: World, other: Metastore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two task instances change in one write while a snapshot is being read: it has both before or both after."""
    spec = dag("a b")
    id, job = world.begun(spec)
    steps = tuple(world.transition(each) for each in world.by_task(1).values())
    read = snapshots._task_instances

    def write_in_between(tx: Any, runs: Any, now: Any) -> Any:
        assert world.apply(spec, job, other, transitions=steps).won == steps
        return read(tx, runs, now)

    monkeypatch.setattr(snapshots, "_task_instances", write_in_between)
    snapshot = world.store.snapshot(job, spec, id)
    assert {ti.state for ti in snapshot.runs[0].task_instances} == {"none"}
    assert snapshot.dag_active_tasks == 0
    monkeypatch.undo()
    assert world.store.snapshot(job, spec, id).dag_active_tasks == 2


@pytest.fixture
def reads(store: Metastore) -> Callable[[Callable[[], Any]], list[str]]:
    """The statements some work executes."""

    def during(work: Callable[[], Any]) -> list[str]:
        seen: list[str] = []
        with hearing(store, seen.append):
            work()
        return [statement for statement in seen if statement.lstrip().startswith("SELECT")]

    return during


def test_its_queries_do_not_grow_with_the_range(world: World, reads: Callable[..., list[str]]) -> None:
    small, job = world.begun(A, days=2)
    few = reads(lambda: world.store.snapshot(job, A, small))
    large = world.backfill(A, days=500, first=FIRST + 10 * DAY)
    world.activate(A, job, *world.run_rows()[100:110])
    many = reads(lambda: world.store.snapshot(job, A, large))
    assert len(many) == len(few) <= 8


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_its_queries_walk_over_nothing_that_is_done(world: World, reads: Callable[..., list[str]]) -> None:
    """SQLite tells its plan: every table that grows is searched by an index, none is scanned."""
    past = dag("a b", a={"depends_on_past": True, "max_active_tis_per_dag": 3})
    id, job = world.begun(past, days=2)
    statements: list[str] = []
    other = world.job(past, id)
    world.apply(past, other, lane=id, waits=WaitChanges(begun=(CapacityWait("pool:default_pool", 0.0),)))
    world.queue(past, job, world.by_task(1)["a"])
    claim = world.running(world.by_task(1)["a"])
    with hearing(world.store, statements.append):
        world.store.snapshot(job, past, id)
        world.store.snapshot(job, past, None)
        world.store.agenda(job)
        world.store.apply(_queue_plan(world, past, job), "counted")
        world.store.renew(claim, LEASE)
        world.report(past, claim)
    scanned = [
        (line, statement)
        for statement in statements
        if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        for line in plan_of(world.store, statement)
        if line.startswith("SCAN") and not line.startswith(BOUNDED)
    ]
    assert scanned == []
    assert len(statements) > 15


def _queue_plan(world: World, spec: DagSpec, job: int) -> Plan:
    return Plan(spec, job, transitions=(world.transition(world.by_task(1)["b"]),))
