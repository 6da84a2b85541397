"""A verdict lands only if everything it stands on is still true when it is written."""

from types import MappingProxyType

import pytest
from msgspec.structs import replace

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, dag_run
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.planning.messages import Sentence
from tailrace.planning.plan import BackfillVerdict, Blocker, Dependency, DependencyStatus, RunVerdict
from tests.conformance.worlds import World, dag

AB = dag("a b")
SKIPPED = TaskInstanceState.SKIPPED


@pytest.fixture
def finished(world: World) -> int:
    """The job of a backfill of two runs; every task instance of the first is finished."""
    _, job = world.begun(AB, days=2)
    for id in world.by_task(1).values():
        world.apply(AB, job, transitions=(world.transition(id, SKIPPED),))
    return job


def test_a_verdict_closes_the_run_and_keeps_its_evidence(world: World, finished: int) -> None:
    verdict = world.verdict(1, DagRunState.SUCCESS, reason="all is well")
    assert world.apply(AB, finished, run_verdicts=(verdict,)).judged == (verdict,)
    row = world.row(dag_run, 1)
    assert (row.state, row.owner_job_id, row.ended_at, row.reason) == ("success", None, world.clock.now, "all is well")
    [told] = world.history(kind="dag_run", cause="judged")
    assert from_json(told.evidence)["task_instances"] == {str(id): "skipped" for id in verdict.evidence}


def stale(world: World, job: int, verdict: RunVerdict) -> str:
    """The one line that says why the verdict was refused."""
    applied = world.apply(AB, job, run_verdicts=(verdict,))
    assert applied.judged == ()
    assert world.row(dag_run, verdict.id).state == "running"
    assert world.history(kind="dag_run", cause="judged") == []
    [line] = map(str, applied.stale)
    return line


def test_a_task_instance_that_changed_makes_it_stale(world: World, finished: int) -> None:
    verdict = world.verdict(1, DagRunState.SUCCESS)
    world.set_state(world.by_task(1)["b"], state="none")
    assert "b: expected skipped, found none" in stale(world, finished, verdict)


def test_a_task_instance_it_did_not_see_makes_it_stale(world: World, finished: int) -> None:
    verdict = world.verdict(1, DagRunState.SUCCESS)
    unseen = dict(list(verdict.evidence.items())[:1])
    assert "expected nothing, found skipped" in stale(world, finished, replace(verdict, evidence=unseen))


def test_a_task_instance_that_is_gone_makes_it_stale(world: World, finished: int) -> None:
    verdict = world.verdict(1, DagRunState.SUCCESS)
    more = replace(verdict, evidence={**verdict.evidence, 999: SKIPPED})
    assert "expected skipped, found nothing" in stale(world, finished, more)


def test_a_command_in_between_makes_it_stale(world: World, finished: int) -> None:
    verdict = world.verdict(1, DagRunState.SUCCESS)
    assert "expected running version 2" in stale(world, finished, replace(verdict, version=2))


def test_a_previous_run_in_another_state_makes_it_stale(world: World, finished: int) -> None:
    past = MappingProxyType({2: DagRunState.FAILED})
    verdict = world.verdict(1, DagRunState.DEADLOCKED, past_evidence=past)
    assert "previous run: expected failed, found running" in stale(world, finished, verdict)
    right = replace(verdict, past_evidence=MappingProxyType({2: DagRunState.RUNNING}))
    assert world.apply(AB, finished, run_verdicts=(right,)).judged


@pytest.mark.parametrize("slots", [5, None])
def test_a_pool_of_another_size_makes_it_stale(world: World, finished: int, slots: int | None) -> None:
    verdict = world.verdict(1, DagRunState.DEADLOCKED, pool_evidence=MappingProxyType({"default_pool": slots}))
    assert f"pool default_pool: expected {slots} slots, found 128" in stale(world, finished, verdict)
    right = replace(verdict, pool_evidence=MappingProxyType({"default_pool": 128, "none such": None}))
    assert world.apply(AB, finished, run_verdicts=(right,)).judged


def test_its_own_plans_transitions_are_evidence(world: World, finished: int) -> None:
    a, b = world.by_task(2).values()
    steps = (world.transition(a, SKIPPED), world.transition(b, SKIPPED))
    verdict = world.verdict(2, DagRunState.SUCCESS, evidence={a: SKIPPED, b: SKIPPED})
    assert world.apply(AB, finished, transitions=steps, run_verdicts=(verdict,)).judged == (verdict,)


def test_a_transition_it_counted_on_and_that_was_lost_makes_it_stale(world: World, finished: int) -> None:
    a, b = world.by_task(2).values()
    lost = replace(world.transition(b, SKIPPED), before_try=3)
    verdict = world.verdict(2, DagRunState.SUCCESS, evidence={a: SKIPPED, b: SKIPPED})
    applied = world.apply(AB, finished, transitions=(world.transition(a, SKIPPED), lost), run_verdicts=(verdict,))
    assert (applied.lost, applied.judged) == ((lost,), ())
    assert world.row(dag_run, 2).state == "running"


def test_the_race_of_2016_is_stale(world: World) -> None:
    """A → B: a verdict drawn from A unfinished is refused when A's worker finishes before it is written."""
    spec = dag("a>b")
    _, job = world.begun(spec)
    a = world.by_task(1)["a"]
    world.queue(spec, job, a)
    claim = world.running(a)
    torn = world.verdict(1, DagRunState.DEADLOCKED)
    world.report(spec, claim)
    applied = world.apply(spec, job, run_verdicts=(torn,))
    assert applied.judged == ()
    assert "a: expected running, found success" in str(applied.stale[0])


def test_a_deadlock_keeps_its_blockers(world: World, finished: int) -> None:
    key = TaskInstanceKey("dag", world.row(dag_run, 1).run_id, "b")
    blocker = Blocker(
        key, TaskInstanceState.NONE, (DependencyStatus(Dependency.TRIGGER_RULE, False, Sentence("a failed")),)
    )
    verdict = world.verdict(1, DagRunState.DEADLOCKED, blocked=(blocker,))
    assert world.apply(AB, finished, run_verdicts=(verdict,)).judged
    assert world.store.backfill_summary(1).blocked == (blocker,)


# --- of a backfill ---------------------------------------------------------------------------------------------


def judge(world: World, job: int, state: BackfillState, version: int = 1) -> bool:
    applied = world.apply(AB, job, backfill_verdict=world.backfill_verdict(1, state, version, "so"))
    assert applied.backfill_judged != bool(applied.stale)
    return applied.backfill_judged


def close(world: World, job: int, run: int, kind: OutcomeKind = OutcomeKind.SUCCESS) -> None:
    for id in world.by_task(run).values():
        world.run_try(AB, job, id, kind)
    state = DagRunState.SUCCESS if kind is OutcomeKind.SUCCESS else DagRunState.FAILED
    assert world.apply(AB, job, run_verdicts=(world.verdict(run, state),)).judged


def test_a_backfill_starts_once(world: World) -> None:
    id = world.backfill(AB)
    job = world.job(AB, id)
    for _ in range(2):
        world.apply(AB, job, backfill_start=id)
    assert world.row(backfill, id).state == "running"
    assert len(world.history(kind="backfill", after="running")) == 1


def test_a_backfill_is_not_judged_while_a_wanted_run_is_open(world: World, finished: int) -> None:
    close_first = world.verdict(1, DagRunState.SUCCESS)
    assert world.apply(AB, finished, run_verdicts=(close_first,)).judged
    assert not judge(world, finished, BackfillState.SUCCESS)
    close(world, finished, 2)
    assert not judge(world, finished, BackfillState.SUCCESS, version=2)
    assert judge(world, finished, BackfillState.SUCCESS)
    row = world.row(backfill, 1)
    assert (row.state, row.ended_at, row.reason) == ("success", world.clock.now, "so")
    assert not judge(world, finished, BackfillState.FAILED), "it is judged once"


def test_the_last_run_and_the_backfill_are_judged_together(world: World) -> None:
    _, job = world.begun(AB)
    for id in world.by_task(1).values():
        world.apply(AB, job, transitions=(world.transition(id, SKIPPED),))
    verdict = world.verdict(1, DagRunState.SUCCESS)
    judged = BackfillVerdict(1, 1, BackfillState.SUCCESS, {DagRunState.SUCCESS: 1})
    both = world.apply(AB, job, run_verdicts=(verdict,), backfill_verdict=judged)
    assert (len(both.judged), both.backfill_judged) == (1, True)


@pytest.mark.parametrize("stop_on_failure", [True, False])
def test_stop_on_failure_leaves_queued_runs_but_never_a_running_one(world: World, stop_on_failure: bool) -> None:
    id = world.backfill(AB, days=3, stop_on_failure=stop_on_failure)
    job = world.job(AB, id)
    world.activate(AB, job, 1, 2)
    assert not judge(world, job, BackfillState.FAILED), "nothing has failed"
    close(world, job, 1, OutcomeKind.FAILED)
    assert not judge(world, job, BackfillState.FAILED), "a wanted run is running"
    close(world, job, 2)
    assert not judge(world, job, BackfillState.SUCCESS)
    assert judge(world, job, BackfillState.FAILED) is stop_on_failure


def test_a_failure_that_was_left_alone_stops_nothing(world: World) -> None:
    first = world.backfill(AB)
    job = world.job(AB, first)
    world.activate(AB, job, 1)
    close(world, job, 1, OutcomeKind.FAILED)
    again = world.backfill(AB, days=2, stop_on_failure=True)
    verdict = world.backfill_verdict(again, BackfillState.FAILED)
    assert not world.apply(AB, job, backfill_verdict=verdict).backfill_judged


def test_a_backfill_that_stopped_is_judged_by_its_runs_as_they_are(world: World) -> None:
    """Found by seed 94540: another backfill opened the deadlocked run again, and it failed, before this was written."""
    id = world.backfill(AB, days=2, stop_on_failure=True)
    job = world.job(AB, id)
    world.activate(AB, job, 1)
    world.set_run(1, state=DagRunState.DEADLOCKED)
    stale = BackfillVerdict(id, 1, BackfillState.DEADLOCKED, {DagRunState.DEADLOCKED: 1}, leaves_open=True)
    world.set_run(1, state=DagRunState.RUNNING)
    close(world, job, 1, OutcomeKind.FAILED)
    applied = world.apply(AB, job, backfill_verdict=stale)
    assert not applied.backfill_judged
    assert tuple(map(str, applied.stale)) == (
        f"backfill {id}: verdict deadlocked refused: its closed runs are 1 failed by now",
    )
    assert judge(world, job, BackfillState.FAILED)
