"""Every part of a plan says what it expects to find, and lands only if it finds it; the rest of the plan stands."""

import pytest
from msgspec.structs import replace

from tailrace.effects.tries import Renewal
from tailrace.errors import InternalError
from tailrace.metastore.db.tables import backfill_run, dag_run, task_instance
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.states import FINISHED, DagRunState, JobState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.plan import RunActivation, RunAdoption, RunTakeover
from tailrace.planning.planner import plan
from tests.conformance.worlds import LEASE, World, dag, places

ABC = dag("a b c")


def test_a_transition_lands_with_its_history_and_its_submission(world: World) -> None:
    _, job = world.begun(ABC)
    [a, *_] = world.by_task(1).values()
    applied = world.queue(ABC, job, a)
    assert [step.id for step in applied.won] == [a]
    assert [(s.id, s.key.try_number) for s in applied.queued] == [(a, 1)]
    row = world.row(task_instance, a)
    assert (row.state, row.try_number, row.queued_at) == ("queued", 1, world.clock.now)
    [told] = world.history(task_instance_id=a, after="queued")
    assert (told.before, told.actor, told.cause, told.job_id) == ("none", "planner", "dependencies_met", job)


@pytest.mark.parametrize(
    "wrong",
    [
        {"before": TaskInstanceState.UP_FOR_RETRY},
        {"before_try": 1, "try_number": 2},
        {"run": 999},
        {"id": 999},
    ],
)
def test_a_transition_that_finds_something_else_is_lost(world: World, wrong: dict[str, object]) -> None:
    _, job = world.begun(ABC)
    a, b, _ = world.by_task(1).values()
    wrong_step = replace(world.transition(a), **wrong)
    before = len(world.history())
    applied = world.apply(ABC, job, transitions=(wrong_step, world.transition(b)))
    assert applied.lost == (wrong_step,)
    assert [step.id for step in applied.won] == [b]
    assert (world.state(a), world.state(b)) == ("none", "queued")
    assert len(world.history()) == before + 1


def test_nothing_is_queued_in_a_run_that_has_ended(world: World) -> None:
    _, job = world.begun(ABC)
    a, b, c = world.by_task(1).values()
    late = world.transition(c)
    for id in (a, b, c):
        world.apply(ABC, job, transitions=(world.transition(id, TaskInstanceState.SKIPPED),))
    world.set_state(c, state="none")
    assert world.apply(ABC, job, run_verdicts=(world.verdict(1, DagRunState.FAILED),)).judged
    assert world.apply(ABC, job, transitions=(late,)).lost == (late,)
    assert world.state(c) == "none"


def test_a_step_the_table_does_not_have_is_our_bug_and_writes_nothing(world: World) -> None:
    _, job = world.begun(ABC)
    a, b, _ = world.by_task(1).values()
    bad = world.transition(a, TaskInstanceState.SUCCESS)
    with pytest.raises(InternalError, match="may not step none → success"):
        world.apply(ABC, job, transitions=(world.transition(b), bad))
    assert world.state(b) == "none"


def test_a_lost_try_is_guarded_by_its_token(world: World) -> None:
    _, job = world.begun(ABC)
    a = world.by_task(1)["a"]
    world.queue(ABC, job, a)
    claim = world.running(a)
    fields = {"retry_at": world.clock.now, "max_tries": 2, "lost_tries": 1}
    lose = world.transition(a, TaskInstanceState.UP_FOR_RETRY, Cause.LOST, token=claim.token, **fields)
    assert world.apply(ABC, job, transitions=(replace(lose, token=claim.token + 1),)).lost
    assert world.apply(ABC, job, transitions=(lose,)).won
    row = world.row(task_instance, a)
    assert (row.state, row.max_tries, row.lost_tries, row.holder, row.lease_until) == ("up_for_retry", 2, 1, None, None)


def test_only_a_lease_that_has_run_out_is_lost(world: World) -> None:
    backfill, job = world.begun(ABC)
    a = world.by_task(1)["a"]
    world.queue(ABC, job, a)
    claim = world.running(a)
    lose = world.transition(
        a, TaskInstanceState.UP_FOR_RETRY, Cause.LOST, token=claim.token, only_if_expired=True, retry_at=world.clock.now
    )
    assert world.apply(ABC, job, transitions=(lose,)).lost
    world.clock.advance(LEASE - 1)
    assert world.store.renew(claim, LEASE) is Renewal.HELD
    world.clock.advance(LEASE - 1)
    assert world.apply(ABC, job, transitions=(lose,)).lost, "it was renewed since"
    world.clock.advance(1)
    world.store.heartbeat(job, LEASE)
    [run] = world.store.snapshot(job, ABC, backfill).runs
    assert [ti.id for ti in run.task_instances if ti.lease_expired] == [a]
    assert world.store.renew(claim, LEASE) is Renewal.GONE, "whoever saw it run out may be ending the task by now"
    assert world.apply(ABC, job, transitions=(lose,)).won


@pytest.mark.parametrize("rule", ["all_success", "one_failed"])
def test_what_builds_on_a_refused_loss_is_refused_with_it(world: World, rule: str) -> None:
    """A plan declares a lost for good and decides b from that; a's success lands first, so b is to be decided again.

    Found by the simulator (seed 13478): the step of a was refused and that of b landed, so a run whose tasks had all
    succeeded was judged failed, and under one_failed code started that never should.
    """
    spec = dag("a>b", b={"trigger_rule": TriggerRule(rule)})
    backfill, job = world.begun(spec)
    a, b = world.by_task(1).values()
    world.queue(spec, job, a)
    claim = world.running(a)
    world.set_state(a, lost_tries=2)
    world.clock.advance(LEASE)
    world.store.heartbeat(job, LEASE)
    decided = plan(world.store.snapshot(job, spec, backfill))
    assert [step.id for step in decided.transitions] == [a, b]
    assert decided.transitions[0].after in FINISHED
    world.report(spec, claim)
    applied = world.store.apply(decided, world.write_id())
    assert (applied.won, len(applied.lost)) == ((), 2)
    assert (world.state(a), world.state(b)) == ("success", "none")


def test_activation_creates_the_task_instances_and_takes_the_run(world: World) -> None:
    backfill = world.backfill(ABC, days=2)
    job = world.job(ABC, backfill)
    assert world.rows(task_instance) == []
    first, second = world.run_rows()
    assert world.activate(ABC, job, first).activated == (first,)
    run = world.row(dag_run, first)
    assert (run.state, run.owner_job_id, run.started_at) == ("running", job, world.clock.now)
    assert [(ti.task_id, ti.state, ti.max_tries) for ti in world.task_instances(first)] == [
        ("a", "none", 1),
        ("b", "none", 1),
        ("c", "none", 1),
    ]
    assert len(world.history(run_id=run.run_id, kind="task_instance", cause="created")) == 3
    assert world.task_instances(second) == []


@pytest.mark.parametrize("wrong", [{"version": 2}, {"id": 999}])
def test_an_activation_of_another_version_is_stale(world: World, wrong: dict[str, int]) -> None:
    backfill = world.backfill(ABC)
    job = world.job(ABC, backfill)
    applied = world.apply(ABC, job, activations=(replace(world.activation(1), **wrong),))
    assert applied.activated == ()
    assert len(applied.stale) == 1
    assert world.row(dag_run, 1).state == "queued"
    assert world.rows(task_instance) == []


def test_a_run_is_activated_once(world: World) -> None:
    _, job = world.begun(ABC)
    applied = world.apply(ABC, job, activations=(RunActivation(1, "run", 1),))
    assert applied.activated == ()
    assert "expected queued version 1, found running" in str(applied.stale[0])


def test_adoption_creates_only_what_is_missing(world: World) -> None:
    _, job = world.begun(ABC)
    more = dag("a b c d")
    adoption = RunAdoption(1, "run", ("c", "d"))
    assert world.apply(more, job, adoptions=(adoption,)).adopted == (1,)
    assert [ti.task_id for ti in world.task_instances(1)] == ["a", "b", "c", "d"]
    assert len(world.history(task_id="d")) == 1
    gone = world.apply(more, job, adoptions=(replace(adoption, id=999),))
    assert (gone.adopted, len(gone.stale)) == ((), 1)


def test_a_run_is_taken_over_only_from_the_dead(world: World) -> None:
    backfill, first = world.begun(ABC)
    second = world.job(ABC, backfill)
    takeover = RunTakeover(1, "run", first)
    refused = world.apply(ABC, second, takeovers=(takeover,))
    assert (refused.taken_over, len(refused.stale)) == ((), 1)
    assert world.row(dag_run, 1).owner_job_id == first
    world.store.mark_job_dead(first)
    assert world.apply(ABC, second, takeovers=(replace(takeover, previous_owner=None),)).taken_over == ()
    assert world.apply(ABC, second, takeovers=(takeover,)).taken_over == (1,)
    assert world.row(dag_run, 1).owner_job_id == second


def test_jobs_of_one_lane_share_what_one_has_opened(world: World) -> None:
    """Found by the benchmark of two at once: the first opened all runs, and kept the window full until the end."""
    backfill = world.backfill(ABC, days=5)
    first, second = world.job(ABC, backfill), world.job(ABC, backfill)
    assert len(world.step(ABC, first, backfill).activated) == 5
    assert world.step(ABC, second, backfill).taken_over == (4, 5)
    assert [row.owner_job_id for row in world.rows(dag_run)] == [first, first, first, second, second]
    assert [run.id for run in world.store.snapshot(first, ABC, backfill).runs] == [1, 2, 3]
    assert world.step(ABC, second, backfill).taken_over == (), "two and three are alike"
    third = world.job(ABC, backfill)
    assert world.step(ABC, third, backfill).taken_over == (3,)
    for id in (1, 2):
        world.apply(ABC, third, lane=backfill, takeovers=(RunTakeover(id, "run", first, shared=True),))
    waiting = world.by_task(4)["a"]
    world.set_state(waiting, state="queued", try_number=1)
    assert world.step(ABC, second, backfill).taken_over == (), "a try of its own waits for a worker"
    world.set_state(waiting, state="running")
    assert world.step(ABC, first, backfill).taken_over == (3,)


def test_another_lane_does_not_share(world: World) -> None:
    backfill = world.backfill(ABC, days=4)
    world.step(ABC, world.job(ABC, backfill), backfill)
    wider = world.backfill(ABC, days=5)
    assert world.step(ABC, world.job(ABC, wider), wider).taken_over == ()


def test_an_owner_without_heartbeats_is_dead_once_its_lease_has_run_out(world: World) -> None:
    backfill, first = world.begun(ABC)
    second = world.job(ABC, backfill)
    takeover = RunTakeover(1, "run", first)
    world.clock.advance(LEASE - 1)
    assert world.apply(ABC, second, takeovers=(takeover,)).taken_over == ()
    world.clock.advance(1)
    assert world.apply(ABC, second, takeovers=(takeover,)).taken_over == (1,)


def test_every_part_is_in_exactly_one_bucket(world: World) -> None:
    backfill, job = world.begun(ABC, days=2)
    world.store.end_job(job, JobState.FAILED)
    a, b, c = world.by_task(1).values()
    parts = {
        "transitions": (
            world.transition(a),
            world.transition(b, TaskInstanceState.SKIPPED),
            replace(world.transition(c), before_try=7),
        ),
        "activations": (RunActivation(1, "run", 1), RunActivation(999, "none", 1)),
        "adoptions": (RunAdoption(1, "run", ("a",)), RunAdoption(999, "none", ("a",))),
        "takeovers": (RunTakeover(1, "run", job), RunTakeover(2, "run", None)),
        "run_verdicts": (world.verdict(1, DagRunState.SUCCESS), world.verdict(2, DagRunState.SUCCESS, version=9)),
    }
    applied = world.apply(ABC, world.job(ABC, backfill), **parts)
    assert places(applied) == (3, 8)


def test_cleared_task_instances_start_over_with_a_new_budget(world: World) -> None:
    spec = dag("a>b", a={"retries": 2})
    _, job = world.begun(spec)
    ids = world.by_task(1)
    world.run_try(spec, job, ids["a"], OutcomeKind.FAILED_FOR_GOOD, xcoms={"k": 1}, followed=("b",))
    failed = world.transition(ids["b"], TaskInstanceState.UPSTREAM_FAILED)
    assert world.apply(spec, job, transitions=(failed,)).won
    assert world.apply(spec, job, run_verdicts=(world.verdict(1, DagRunState.FAILED),)).judged
    world.backfill(spec, reprocess="failed", new=True)
    run = world.row(dag_run, 1)
    assert (run.state, run.version, run.ended_at) == ("queued", 2, None)
    assert world.state(ids["a"]) == "failed", "nothing is cleared before the run's turn"
    assert world.activate(spec, job, 1).activated == (1,)
    row = world.row(task_instance, ids["a"])
    assert (row.state, row.try_number, row.max_tries, row.lost_tries) == ("none", 1, 4, 0)
    assert (row.followed, row.started_at, row.ended_at, row.queued_at) == (None, None, None, None)
    assert world.row(dag_run, 1).clear_on_activation is None
    assert len(world.history(task_instance_id=ids["a"], cause="reprocess")) == 1
    assert world.queue(spec, job, ids["a"]).queued[0].key.try_number == 2


def test_a_step_that_leans_on_a_previous_run_is_stale_once_that_run_is_cleared(world: World) -> None:
    """Found by seed 44162: the clearing waits for the run's turn, and another job had read the old outcome before."""
    spec = dag("a", a={"depends_on_past": True})
    backfill, job = world.begun(spec, days=2)
    first, second = world.by_task(1)["a"], world.by_task(2)["a"]
    world.run_try(spec, job, first)
    assert world.apply(spec, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),)).judged
    late = world.decided(world.store.snapshot(job, spec, backfill))
    assert [step.id for step in late.transitions] == [second]
    world.backfill(spec, reprocess="all", new=True)
    assert world.decided(world.store.snapshot(job, spec, backfill)).transitions == (), "its old outcome says nothing"
    assert world.activate(spec, job, 1).activated == (1,)
    assert world.state(first) == "none"
    assert world.store.apply(late, world.write_id()).lost == late.transitions
    world.sound()


def test_the_copies_of_a_runs_state_follow_it(world: World) -> None:
    _, job = world.begun(ABC)

    def copied() -> set[str]:
        return {row.run_state for row in world.rows(backfill_run)}

    assert copied() == {"running"}
    world.backfill(ABC, new=True)
    for id in world.by_task(1).values():
        world.apply(ABC, job, transitions=(world.transition(id, TaskInstanceState.SKIPPED),))
    assert world.apply(ABC, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),)).judged
    assert copied() == {"success"}
    world.backfill(ABC, new=True, reprocess="all")
    assert copied() == {"queued"}
    assert len(world.rows(backfill_run)) == 3
