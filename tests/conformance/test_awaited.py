"""A rescheduled try goes on by what it waits for in another DAG's run: by the step that decides it, and no sooner."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import Accepted
from tailrace.effects.tries import Claim, TryOutcome
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.plans.awaited import has_changed
from tailrace.model.awaited import Awaited
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, GroupSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandScope
from tailrace.planning.explain import explain_run
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.reasons import Awaits
from tailrace.planning.retries import after_try
from tests.conformance.worlds import DAY, FIRST, World, dag

RAW = dag("extract>load", load={"retries": 1}, _dag={"dag_id": "raw"})
REPORT = dag("loaded>write", _dag={"dag_id": "report"})
WEEK = timedelta(days=7)


def wait_for(world: World, claim: Claim, spec: DagSpec = REPORT, **awaited: Any) -> Any:
    """Report that the try waits: for ``load`` of the first date of ``raw``, if nothing else is said."""
    if not {"task_group_id", "of_run"} & awaited.keys():
        awaited.setdefault("task_ids", ("load",))
    awaited.pop("of_run", None)
    at = world.clock.now + awaited.pop("timeout", WEEK)
    dates = awaited.pop("logical_dates", (FIRST,))
    asked = Awaited(awaited.pop("dag_id", "raw"), dates, allowed_states=("success",), **awaited)
    outcome = TryOutcome(OutcomeKind.RESCHEDULED, "asked once", resumes_at=at, times_out_at=at, awaits=asked)
    budget = {"max_tries": claim.max_tries, "lost_tries": claim.lost_tries, "disable_retry": False}
    task = spec.by_id[claim.task_instance.task_id]
    after = after_try(task, claim.key, outcome.kind, outcome.error, resumes_at=at, awaits=True, **budget)
    return world.store.report(claim, outcome, after, world.write_id())


class Waiting:
    """A backfill of ``report`` whose ``loaded`` has given its slot back."""

    def __init__(self, world: World, **awaited: Any) -> None:
        self.world = world
        self.backfill, self.job = world.begun(REPORT)
        self.row = world.by_task(1)["loaded"]
        assert world.step(REPORT, self.job, self.backfill).won
        self.claim = world.running(self.row)
        assert wait_for(world, self.claim, **awaited) == Accepted("up_for_reschedule")

    def resumes(self) -> bool:
        """Whether the next step of its job has it look again; that says why."""
        won = self.world.step(REPORT, self.job, self.backfill).won
        assert [(step.cause, step.try_number) for step in won] in ([], [(Cause.RESUMED, 1)])
        return bool(won)


def raw(world: World, days: int = 1) -> tuple[int, int, dict[str, int]]:
    """A backfill of ``raw``, its job, and the rows of its first run's task instances."""
    backfill, job = world.begun(RAW, days)
    run = min(row.id for row in world.rows(dag_run) if row.dag_id == "raw")
    return backfill, job, world.by_task(run)


def test_it_goes_on_by_the_end_of_a_task_and_no_sooner(world: World) -> None:
    waits = Waiting(world)
    assert not waits.resumes()  # there is no run
    backfill, job, rows = raw(world)
    assert not waits.resumes()
    world.run_try(RAW, job, rows["extract"])
    assert not waits.resumes()
    world.run_try(RAW, job, rows["load"], OutcomeKind.FAILED)
    assert world.state(rows["load"]) == "up_for_retry" and not waits.resumes()
    world.clock.advance(600)
    world.run_try(RAW, job, rows["load"])
    assert waits.resumes()
    [row] = world.history(task_id="loaded", cause=Cause.RESUMED)
    assert row.reason.startswith("What it waited for is decided: task load of dag raw, run backfill__2024-01-01")
    again = world.running(waits.row)
    assert (again.token, again.reschedules, again.started_at) == (2, 1, waits.claim.started_at)
    assert world.report(REPORT, again) == Accepted("success")
    world.sound()


def test_its_timeout_has_it_look_without_an_event(world: World) -> None:
    waits = Waiting(world, timeout=timedelta(seconds=90))
    plan = world.decided(world.store.snapshot(waits.job, REPORT, waits.backfill))
    assert plan.wake_at == world.clock.now + timedelta(seconds=90)
    world.clock.advance(90)
    assert waits.resumes()
    [row] = world.history(task_id="loaded", cause=Cause.RESUMED)
    assert row.reason == ""
    world.sound()


@pytest.mark.parametrize(("failed", "resumes"), [((), False), (("failed",), True)])
def test_a_state_that_fails_it_decides_only_where_it_is_named(world: World, failed: Any, resumes: bool) -> None:
    waits = Waiting(world, failed_states=failed)
    _, job, rows = raw(world)
    world.run_try(RAW, job, rows["extract"])
    for _ in range(2):
        world.clock.advance(600)
        world.run_try(RAW, job, rows["load"], OutcomeKind.FAILED)
    assert world.state(rows["load"]) == "failed"
    assert waits.resumes() == resumes


@pytest.mark.parametrize("state", [DagRunState.DEADLOCKED, DagRunState.CANCELLED, DagRunState.FAILED])
def test_a_run_that_is_worse_than_failed_has_failed(world: World, state: DagRunState) -> None:
    waits = Waiting(world, of_run=True, failed_states=("failed",))
    raw(world)
    run = max(world.run_rows())
    assert not waits.resumes()
    world.set_run(run, state=state)
    assert waits.resumes()


def test_a_group_is_the_tasks_that_it_has_in_any_structure(world: World) -> None:
    grouped = replace(RAW, groups=(GroupSpec("g", tasks=("extract", "load")),))
    waits = Waiting(world, task_group_id="g")
    backfill, job = world.begun(grouped)
    rows = world.by_task(max(world.run_rows()))
    world.run_try(grouped, job, rows["extract"])
    assert not waits.resumes()
    world.run_try(grouped, job, rows["load"])
    assert waits.resumes()


def test_all_of_several_dates_and_tasks(world: World) -> None:
    waits = Waiting(world, task_ids=("extract", "load"), logical_dates=(FIRST, FIRST + DAY))
    _, job, rows = raw(world, 2)
    second = world.by_task(max(world.run_rows()))
    for row in (rows["extract"], rows["load"], second["extract"]):
        world.run_try(RAW, job, row)
        assert not waits.resumes()
    world.run_try(RAW, job, second["load"])
    assert waits.resumes()


def test_a_person_on_either_side_in_the_middle(world: World) -> None:
    """What is waited for is marked, which ends the wait; the sensor is cleared while it waits, and begins a new try."""
    waits = Waiting(world)
    raw(world)
    facts = world.store.command_facts(CommandScope("raw", (), first=FIRST))
    world.do(plan_mark_tasks(facts, MarkRequest(TaskInstanceState.SUCCESS, ("load",))))
    assert waits.resumes()
    facts = world.store.command_facts(CommandScope("raw", (), first=FIRST))
    world.do(plan_clear(facts, ClearRequest(("load",))))
    again = world.running(waits.row)  # it looks, and finds it cleared: it waits on
    assert wait_for(world, again) == Accepted("up_for_reschedule")
    assert not waits.resumes()
    facts = world.store.command_facts(CommandScope("report", (), first=FIRST))
    world.do(plan_clear(facts, ClearRequest(("loaded",))))
    [step] = world.step(REPORT, waits.job, waits.backfill).won
    assert (step.cause, step.try_number) == (Cause.DEPENDENCIES_MET, 2)
    world.sound()


def test_the_loop_is_told_what_to_watch_and_hears_of_a_step_there_alone(world: World) -> None:
    waits = Waiting(world)
    snapshot = world.store.snapshot(waits.job, REPORT, waits.backfill)
    since = snapshot.newest_change
    assert {each.awaited.dag_id for each in snapshot.awaiting.values()} == {"raw"}

    def heard() -> bool:
        return world.store.read(lambda tx: has_changed(tx, ["raw"], since))

    world.backfill(REPORT, 1, FIRST + DAY)
    assert not heard()
    world.backfill(RAW)
    assert heard()


def test_nothing_is_read_for_a_run_that_waits_for_its_time_alone(world: World) -> None:
    backfill, job = world.begun(REPORT)
    row = world.by_task(1)["loaded"]
    assert world.step(REPORT, job, backfill).won
    claim = world.running(row)
    at = world.clock.now + WEEK
    outcome = TryOutcome(OutcomeKind.RESCHEDULED, "asked once", resumes_at=at)
    budget = {"max_tries": claim.max_tries, "lost_tries": claim.lost_tries, "disable_retry": False}
    after = after_try(REPORT.by_id["loaded"], claim.key, outcome.kind, "asked once", resumes_at=at, **budget)
    world.store.report(claim, outcome, after, world.write_id())
    snapshot = world.store.snapshot(job, REPORT, backfill)
    assert (snapshot.awaiting, snapshot.newest_change) == ({}, 0)


def test_what_it_waits_for_is_shown_with_its_own_state(world: World) -> None:
    waits = Waiting(world)
    raw(world)
    run = world.row(task_instance, waits.row).dag_run_id
    explained = explain_run(world.store.explained(run))
    [loaded, _] = explained.task_instances
    assert loaded.waits.startswith(
        "Try 1 waits for task load of dag raw, run backfill__2024-01-01T00:00:00+00:00, which has not begun; it times"
    )
    [reason] = [status.reason for status in loaded.statuses if not status.passed]
    assert isinstance(reason, Awaits) and [each.state for each in reason.awaited] == ["none"]
    assert loaded.release is not None and loaded.release.code == "awaited_ends"
    summary = world.store.backfill_summary(waits.backfill)
    assert summary.waiting.count == 1
    [first] = summary.waiting.first
    assert [str(each) for each in first.waits_for] == [
        "task load of dag raw, run backfill__2024-01-01T00:00:00+00:00, which has not begun"
    ]
    [line, _] = world.store.task_instances_of(run)
    assert line.waits_for == first.waits_for
