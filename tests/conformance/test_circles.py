"""Runs of several DAGs that wait for each other are deadlocked by one proof, which is true of one moment or refused."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.effects.requests import Accepted
from tailrace.effects.results import Applied, StaleKind
from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.plans import applying
from tailrace.metastore.store import Done
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, JobState, TaskInstanceState
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandScope
from tailrace.planning.explain import explain_run
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.plan import Blocker, Plan
from tests.conformance.test_awaited import wait_for
from tests.conformance.worlds import DAY, FIRST, World, dag

DATE = "backfill__2024-01-01T00:00:00+00:00"


class Waiting:
    """A backfill of one date of a DAG s > t whose s waits for another DAG's t, if nothing else is said."""

    def __init__(self, world: World, name: str, on: str, days: int = 1, **awaited: Any) -> None:
        self.world = world
        self.spec: DagSpec = dag("s>t", _dag={"dag_id": name})
        self.backfill, self.job = world.begun(self.spec, days)
        self.runs = [row.id for row in world.rows(dag_run) if row.dag_id == name]
        self.rows: Mapping[str, int] = world.by_task(self.runs[0])
        assert world.step(self.spec, self.job, self.backfill).won
        for run in self.runs:
            self.wait(world.by_task(run)["s"], on, **awaited)

    def wait(self, row: int, on: str, number: int = 1, **awaited: Any) -> None:
        awaited = {"task_ids": ("t",), "dag_id": on, **awaited}
        assert wait_for(self.world, self.world.running(row, number), self.spec, **awaited) == Accepted(
            "up_for_reschedule"
        )

    def plan(self) -> Plan:
        return self.world.decided(self.world.store.snapshot(self.job, self.spec, self.backfill))

    def step(self) -> Applied:
        return self.world.step(self.spec, self.job, self.backfill)

    @property
    def state(self) -> str:
        return str(self.world.row(dag_run, self.runs[0]).state)


def clear(world: World, dag_id: str, *tasks: str) -> None:
    facts = world.store.command_facts(CommandScope(dag_id, (), first=FIRST))
    assert isinstance(world.do(plan_clear(facts, ClearRequest(tasks))), Done)


def test_two_runs_that_wait_for_each_other_are_deadlocked(world: World) -> None:
    one, other = Waiting(world, "one", "other"), Waiting(world, "other", "one")
    [verdict] = one.step().judged
    assert verdict.state is DagRunState.DEADLOCKED
    assert [(each.dag_id, each.state) for each in verdict.circle] == [("other", "running")]
    assert [blocker.key for blocker in verdict.blocked] == [TaskInstanceKey("one", DATE, name) for name in "st"]
    names = [f"{name} / {DATE} / s" for name in ("one", "other", "one")]
    assert verdict.reason == f"2 task instances can never run; tries wait for each other: {' for '.join(names)}"
    world.sound()
    [second] = other.step().judged  # what it waits for can never run: its run is closed
    assert second.state is DagRunState.DEADLOCKED
    assert [(each.dag_id, each.state) for each in second.circle] == [("one", "deadlocked")]
    assert second.reason == f"2 task instances can never run; tries wait for one / {DATE}, which is deadlocked"
    world.sound()
    assert (one.state, other.state) == ("deadlocked", "deadlocked")


def test_it_is_explained_before_and_after(world: World) -> None:
    one, _ = Waiting(world, "one", "other"), Waiting(world, "other", "one")

    def explained() -> Any:
        return explain_run(world.store.explained(one.runs[0]))

    before = explained()
    assert "the next step closes it as deadlocked: 2 task instances can never run" in before.waits
    one.step()
    sensor = explained().task_instances[0]
    assert sensor.doomed and sensor.waits.startswith("Try 1 waits for task t of dag other")
    assert sensor.release is not None and sensor.release.code == "nothing_awaited"


def test_three_in_a_circle_and_one_that_only_leads_there(world: World) -> None:
    three = [Waiting(world, name, on) for name, on in (("a", "b"), ("b", "c"), ("c", "a"))]
    leads = Waiting(world, "d", "a")
    [verdict] = leads.step().judged
    assert [each.dag_id for each in verdict.circle] == ["a", "b", "c"]
    world.sound()
    for each in three:
        assert [judged.state for judged in each.step().judged] == [DagRunState.DEADLOCKED]
        world.sound()


def test_within_one_dag_over_its_dates(world: World) -> None:
    spec = dag("s>t", _dag={"dag_id": "one"})
    backfill, job = world.begun(spec, 2)
    assert len(world.step(spec, job, backfill).won) == 2
    for run, date in ((1, FIRST + DAY), (2, FIRST)):
        row = world.by_task(run)["s"]
        asked = {"task_ids": ("t",), "dag_id": "one", "logical_dates": (date,)}
        assert wait_for(world, world.running(row), spec, **asked) == Accepted("up_for_reschedule")
    for _ in range(2):
        world.step(spec, job, backfill)
    assert [row.state for row in world.rows(dag_run)] == ["deadlocked"] * 2
    world.sound()


def test_a_run_that_waits_for_itself(world: World) -> None:
    one = Waiting(world, "one", "one")
    assert [(each.state, each.circle) for each in one.step().judged] == [(DagRunState.DEADLOCKED, ())]
    world.sound()


@pytest.mark.parametrize("of_run", [{"failed_states": ("failed",)}, {}])
def test_a_wait_for_a_whole_run_in_a_circle(world: World, of_run: dict[str, Any]) -> None:
    one, other = Waiting(world, "one", "other", task_ids=(), of_run=True, **of_run), Waiting(world, "other", "one")
    assert [judged.state for judged in one.step().judged] == [DagRunState.DEADLOCKED]
    assert [judged.state for judged in other.step().judged] == [DagRunState.DEADLOCKED]
    world.sound()


def test_what_goes_on_by_itself_is_no_circle(world: World) -> None:
    """A task that is skipped at its timeout, a run that is not there, one that is queued, one that nobody drives."""
    soft, other = Waiting(world, "soft", "other", goes_on=True), Waiting(world, "other", "soft")
    assert not soft.step().judged and not other.step().judged
    missing = Waiting(world, "missing", "nowhere")
    assert not missing.step().judged
    one, two = Waiting(world, "one", "two"), Waiting(world, "two", "one")
    world.store.end_job(two.job, JobState.INTERRUPTED)
    assert not one.step().judged
    assert [judged.state for judged in two.step().judged] == [DagRunState.DEADLOCKED]  # it is driven again
    world.sound()


@pytest.mark.parametrize(("failed", "judged"), [(("failed",), 0), ((), 1)])
def test_another_way_to_be_decided_is_no_circle(world: World, failed: Any, judged: int) -> None:
    """Of two dates one is in the circle; the other, which has no run yet, may still fail it if that is looked for."""
    Waiting(world, "other", "one")
    one = Waiting(world, "one", "other", logical_dates=(FIRST, FIRST + DAY), failed_states=failed)
    assert len(one.step().judged) == judged
    world.sound()


def test_what_has_failed_is_waited_for_until_somebody_clears_it(world: World) -> None:
    one = Waiting(world, "one", "raw")
    raw = dag("t", _dag={"dag_id": "raw"})
    backfill, job = world.begun(raw)
    [run] = [row.id for row in world.rows(dag_run) if row.dag_id == "raw"]
    world.run_try(raw, job, world.by_task(run)["t"], OutcomeKind.FAILED)
    world.step(raw, job, backfill)
    assert world.row(dag_run, run).state == "failed"
    assert not one.step().judged


@pytest.mark.parametrize(
    "changes",
    [
        lambda world, other: clear(world, "other", "s"),
        lambda world, other: world.store.command(_marked(world, "other"), world.write_id()),
        lambda world, other: other.step(),
        lambda world, other: _looks_again(world, other),
    ],
    ids=["cleared", "marked", "closed", "looked again"],
)
def test_a_proof_that_is_true_no_more_is_refused(world: World, changes: Any) -> None:
    one, other = Waiting(world, "one", "other"), Waiting(world, "other", "one")
    plan = one.plan()
    assert [verdict.state for verdict in plan.run_verdicts] == [DagRunState.DEADLOCKED]
    changes(world, other)
    applied = world.store.apply(plan, world.write_id())
    assert (applied.judged, [stale.kind for stale in applied.stale]) == ((), [StaleKind.VERDICT_CIRCLE])
    assert one.state == "running"
    world.sound()


def _marked(world: World, dag_id: str) -> Any:
    facts = world.store.command_facts(CommandScope(dag_id, (), first=FIRST))
    return plan_mark_tasks(facts, MarkRequest(TaskInstanceState.SUCCESS, ("t",)))


def _looks_again(world: World, other: Waiting) -> None:
    """Its timeout comes, it looks, and says that it waits for something else: state and try are what they were."""
    world.clock.advance(timedelta(days=8).total_seconds())
    assert other.step().won
    other.wait(other.rows["s"], "elsewhere")
    world.clock.advance(-timedelta(days=8).total_seconds())


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_circle_is_judged_while_another_job_judges_it_too(world: World, behind: Any) -> None:
    """Both have decided; the second waits for the first one's locks, taken in one order, and is refused."""
    one, other = Waiting(world, "one", "other"), Waiting(world, "other", "one")
    first, second = one.plan(), other.plan()
    structures = world.store._structures
    applied = behind(
        lambda tx: applying.apply_plan(tx, first, world.write_id(), structures),
        lambda store: store.apply(second, world.write_id()),
    )
    assert applied.judged == () and [stale.kind for stale in applied.stale] == [StaleKind.VERDICT_CIRCLE]
    assert [judged.state for judged in other.step().judged] == [DagRunState.DEADLOCKED]
    world.sound()


def test_a_structure_that_is_no_more_proves_nothing(world: World) -> None:
    one, other = Waiting(world, "one", "other"), Waiting(world, "other", "one")
    apart = dag("s t", _dag={"dag_id": "other"})
    world.store.store_loaded([apart], world.write_id())
    assert not one.step().judged
    world.store.store_loaded([other.spec], world.write_id())
    assert one.step().judged


def test_a_circle_is_opened_by_a_clear_of_both(world: World) -> None:
    one, other = Waiting(world, "one", "other"), Waiting(world, "other", "one")
    one.step(), other.step()
    clear(world, "other", "s", "t")
    assert other.state in ("queued", "running")
    again = other.step()
    assert again.activated or again.won
    world.sound()


def test_the_audit_finds_that_a_circle_was_none(world: World) -> None:
    """Somebody writes a verdict, of which all that it leans on is so, over a run whose wait would have ended."""
    raw = dag("t", _dag={"dag_id": "raw"})
    world.begun(raw)
    one = Waiting(world, "one", "raw")
    plan, run = one.plan(), one.runs[0]
    blocked = tuple(Blocker(each.key, each.state, each.failed) for each in plan.decisions)
    assert len(blocked) == 2
    verdict = world.verdict(run, DagRunState.DEADLOCKED, blocked=blocked, tokens={one.rows["s"]: 1})
    applied = world.store.apply(replace(plan, run_verdicts=(verdict,)), world.write_id())
    assert applied.judged
    found = audit(world.store.audit_records())
    assert [each.check for each in found] == ["false deadlock"]
    assert "s, t could still run" in found[0].text


def test_the_audit_compares_what_a_verdict_says_of_the_other_runs(world: World) -> None:
    one, other = Waiting(world, "one", "other"), Waiting(world, "other", "one")
    [verdict] = one.plan().run_verdicts
    [there] = verdict.circle
    wrong = replace(verdict, circle=(replace(there, run_id="another"),))
    assert world.store.apply(replace(one.plan(), run_verdicts=(wrong,)), world.write_id()).judged
    assert other.state == "running"
    records = world.store.audit_records()
    [judged] = [row for row in records.history if row.kind == "dag_run" and row.cause == "judged"]
    assert judged.evidence is not None and [each.run[1] for each in judged.evidence.circle] == ["another"]
    told = replace(judged.evidence, circle=(replace(judged.evidence.circle[0], run=("other", DATE), state="queued"),))
    history = tuple(replace(row, evidence=told) if row is judged else row for row in records.history)
    found = audit(replace(records, history=history))
    assert [each.check for each in found] == ["circle of waits"]
    assert "as queued, it was running" in found[0].text
