"""A try gives its slot back and goes on: the same number, a larger token, its XComs and its start kept."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tailrace.effects.requests import Accepted
from tailrace.effects.tries import Claim, RefusalReason, Refused, Renewal, TryOutcome, XComQuery
from tailrace.metastore.db.tables import task_instance
from tailrace.metastore.store import Done
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.retries import after_try
from tests.conformance.worlds import World, dag

AB = dag("a>b", a={"retries": 1})
LATER = 60.0


@pytest.fixture
def begun(world: World) -> tuple[int, int, int]:
    """A backfill, its job, and the row of ``a``, whose first try runs."""
    backfill, job = world.begun(AB)
    return backfill, job, world.by_task(1)["a"]


def give_back(world: World, claim: Any, seconds: float = LATER, **more: Any) -> Any:
    at = world.clock.now + timedelta(seconds=seconds)
    outcome = TryOutcome(OutcomeKind.RESCHEDULED, "asked once", resumes_at=at, **more)
    budget = {"max_tries": claim.max_tries, "lost_tries": claim.lost_tries, "disable_retry": False}
    after = after_try(AB.by_id["a"], claim.key, outcome.kind, outcome.error, resumes_at=at, **budget)
    return world.store.report(claim, outcome, after, world.write_id())


def rescheduled(world: World, begun: tuple[int, int, int], **more: Any) -> Claim:
    """The first claim of a try that has given its slot back."""
    backfill, job, a = begun
    assert world.step(AB, job, backfill).won
    claim = world.running(a)
    assert give_back(world, claim, **more) == Accepted("up_for_reschedule")
    return claim


def resumed(world: World, begun: tuple[int, int, int]) -> Claim:
    """The next claim of the same try, once its time has come."""
    backfill, job, a = begun
    world.clock.advance(LATER)
    [won] = world.step(AB, job, backfill).won
    assert (won.cause, won.try_number) == (Cause.RESUMED, 1)
    return world.running(a)


def test_the_same_try_goes_on_with_a_larger_token(world: World, begun: tuple[int, int, int]) -> None:
    first = rescheduled(world, begun)
    row = world.row(task_instance, begun[2])
    assert (row.state, row.try_number, row.holder, row.lease_until) == ("up_for_reschedule", 1, None, None)
    assert row.retry_at == world.clock.now + timedelta(seconds=LATER)
    assert (row.started_at, row.ended_at) == (first.started_at, None)
    again = resumed(world, begun)
    assert (again.key, again.token, again.started_at) == (first.key, 2, first.started_at)
    assert (again.reschedules, again.claimed_at) == (1, world.clock.now)
    assert world.row(task_instance, begun[2]).started_at == first.started_at
    assert world.report(AB, again) == Accepted("success")
    world.sound()


def test_nothing_is_queued_before_its_time_and_the_plan_says_when(world: World, begun: tuple[int, int, int]) -> None:
    backfill, job, _ = begun
    rescheduled(world, begun)
    world.clock.advance(LATER - 1)
    plan = world.decided(world.store.snapshot(job, AB, backfill))
    assert plan.transitions == () and plan.run_verdicts == ()
    assert plan.wake_at == world.clock.now + timedelta(seconds=1)


def test_it_holds_no_slot_while_it_waits(world: World, begun: tuple[int, int, int]) -> None:
    rescheduled(world, begun)
    assert [(pool.name, pool.running, pool.queued) for pool in world.store.list_pools()] == [("default_pool", 0, 0)]


def test_the_old_token_writes_no_more(world: World, begun: tuple[int, int, int]) -> None:
    first = rescheduled(world, begun)
    assert world.store.renew(first, 20.0, "") is Renewal.GONE
    again = resumed(world, begun)
    late = world.report(AB, first, OutcomeKind.FAILED)
    assert isinstance(late, Refused) and late.reason is RefusalReason.STALE_TOKEN
    assert world.store.renew(first, 20.0, "") is Renewal.GONE
    assert world.store.renew(again, 20.0, "") is Renewal.HELD
    assert world.report(AB, again) == Accepted("success")
    world.sound()


def test_of_many_claims_of_a_resumed_try_one_wins(world: World, begun: tuple[int, int, int], other: Any) -> None:
    backfill, job, a = begun
    rescheduled(world, begun)
    world.clock.advance(LATER)
    plan = world.decided(world.store.snapshot(job, AB, backfill))
    applied = [world.store.apply(plan, world.write_id()), other.apply(plan, world.write_id())]
    assert [len(each.won) for each in applied] == [1, 0]
    claims = [world.claim(a, store=store) for store in (other, world.store, other)]
    assert [type(each) for each in claims] == [Claim, Refused, Refused]
    assert world.row(task_instance, a).token == 2


def test_xcoms_stay_with_the_try_and_go_with_the_next(world: World, begun: tuple[int, int, int]) -> None:
    a = begun[2]
    rescheduled(world, begun, xcoms={"seen": 1, "kept": "x"})
    again = resumed(world, begun)

    def left() -> dict[str, Any]:
        found = {}
        for key in ("seen", "kept", "more"):
            reply = world.store.read_xcom(XComQuery("dag", again.task_instance.run_id, ("a",), key))
            assert isinstance(reply, tuple)
            for _, _, value in reply:
                found[key] = value
        return found

    assert left() == {"seen": 1, "kept": "x"}
    assert give_back(world, again, xcoms={"seen": 2, "more": []}) == Accepted("up_for_reschedule")
    assert left() == {"seen": 2, "kept": "x", "more": []}
    world.sound()
    third = resumed(world, begun)
    assert (third.token, third.reschedules) == (3, 2)
    assert world.report(AB, third, OutcomeKind.FAILED) == Accepted("up_for_retry")
    world.clock.advance(600)
    assert world.step(AB, begun[1], begun[0]).won
    fourth = world.running(a, 2)
    assert (fourth.token, fourth.reschedules, fourth.claimed_at, left()) == (4, 0, None, {})
    assert fourth.started_at == world.clock.now
    world.sound()


def test_the_lost_budget_starts_anew_after_a_claim_that_ended_well(world: World, begun: tuple[int, int, int]) -> None:
    backfill, job, a = begun
    number = 0
    for _ in range(2):  # two losses: one more would fail it
        number += 1
        assert world.step(AB, job, backfill).won
        assert world.report(AB, world.running(a, number), OutcomeKind.LOST) == Accepted("up_for_retry")
    number += 1
    assert world.step(AB, job, backfill).won
    claim = world.running(a, number)
    assert claim.lost_tries == 2
    assert give_back(world, claim) == Accepted("up_for_reschedule")
    world.clock.advance(LATER)
    assert world.step(AB, job, backfill).won
    again = world.running(a, number)
    assert again.lost_tries == 0
    assert world.report(AB, again, OutcomeKind.LOST) == Accepted("up_for_retry")
    world.sound()


def test_a_resume_waits_for_room(world: World) -> None:
    narrow = dag("a>b", a={"pool": "one"}, _dag={"max_active_tasks": 1})
    world.pool("one", 1)
    backfill, job = world.begun(narrow, days=2)
    first = world.by_task(1)["a"]
    assert len(world.step(narrow, job, backfill).won) == 1
    give_back(world, world.running(first))
    second = world.by_task(2)["a"]
    assert [step.id for step in world.step(narrow, job, backfill).won] == [second]  # its slot was free
    world.clock.advance(LATER)
    assert world.step(narrow, job, backfill).won == ()  # and is taken now
    world.report(narrow, world.running(second))
    world.step(narrow, job, backfill)
    assert TaskInstanceState(world.state(first)) in (TaskInstanceState.QUEUED, TaskInstanceState.UP_FOR_RESCHEDULE)
    world.sound()


def test_what_becomes_of_its_upstream_is_no_more_to_it(world: World) -> None:
    backfill, job = world.begun(AB)
    rows = world.by_task(1)
    world.run_try(AB, job, rows["a"])
    assert world.step(AB, job, backfill).won
    give_back(world, world.running(rows["b"]))
    world.clear("a", downstream=False)
    world.clock.advance(LATER)
    won = {step.id: step.cause for step in world.step(AB, job, backfill).won}
    assert won == {rows["a"]: Cause.DEPENDENCIES_MET, rows["b"]: Cause.RESUMED}
    world.sound()


@pytest.mark.parametrize("state", [TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.SKIPPED])
def test_a_mark_takes_it_at_once(world: World, begun: tuple[int, int, int], state: TaskInstanceState) -> None:
    rescheduled(world, begun)
    assert isinstance(world.do(plan_mark_tasks(world.about(), MarkRequest(state, ("a",)))), Done)
    assert world.state(begun[2]) == state
    world.sound()


@pytest.mark.parametrize(("state", "becomes"), [(DagRunState.SUCCESS, "success"), (DagRunState.FAILED, "failed")])
def test_a_mark_of_its_run_takes_it_at_once(
    world: World, begun: tuple[int, int, int], state: DagRunState, becomes: str
) -> None:
    rescheduled(world, begun)
    assert isinstance(world.do(plan_mark_runs(world.about(), state)), Done)
    assert world.state(begun[2]) == becomes
    world.sound()


def test_a_clear_begins_a_new_try(world: World, begun: tuple[int, int, int]) -> None:
    backfill, job, a = begun
    rescheduled(world, begun, xcoms={"seen": 1})
    world.clear("a")
    assert world.state(a) == "none"
    [won] = world.step(AB, job, backfill).won
    assert (won.try_number, won.cause) == (2, Cause.DEPENDENCIES_MET)
    claim = world.running(a, 2)
    assert (claim.started_at, claim.reschedules) == (world.clock.now, 0)
    world.sound()


def test_a_pause_keeps_the_try_that_was_queued_again(world: World, begun: tuple[int, int, int]) -> None:
    backfill, job, a = begun
    first = rescheduled(world, begun)
    world.clock.advance(LATER)
    assert world.step(AB, job, backfill).won
    assert isinstance(world.do(plan_pause(world.about(backfill_id=backfill), True)), Done)
    row = world.row(task_instance, a)
    assert (row.state, row.try_number, row.max_tries, row.started_at) == ("up_for_reschedule", 1, 2, first.started_at)
    assert world.step(AB, job, backfill).won == ()
    assert isinstance(world.do(plan_pause(world.about(backfill_id=backfill), False)), Done)
    assert [step.cause for step in world.step(AB, job, backfill).won] == [Cause.RESUMED]
    again = world.running(a)
    assert (again.token, again.started_at, again.reschedules) == (2, first.started_at, 1)
    world.sound()


@pytest.mark.parametrize("queued", [False, True])
def test_a_cancel_ends_the_waiting(world: World, begun: tuple[int, int, int], queued: bool) -> None:
    backfill, job, a = begun
    rescheduled(world, begun)
    if queued:
        world.clock.advance(LATER)
        assert world.step(AB, job, backfill).won
    assert isinstance(world.do(plan_cancel(world.about(backfill_id=backfill))), Done)
    row = world.row(task_instance, a)
    assert (row.state, row.max_tries, row.retry_at) == ("none", 3, None)
    world.sound()


def test_waiting_is_no_deadlock_but_a_pool_too_small_is(world: World) -> None:
    wide = dag("a>b", a={"pool": "two", "pool_slots": 2})
    world.pool("two", 2)
    backfill, job = world.begun(wide)
    a = world.by_task(1)["a"]
    assert world.step(wide, job, backfill).won
    give_back(world, world.running(a))
    assert world.step(wide, job, backfill).judged == ()
    world.pool("two", 0)  # frozen: a person will give it slots again
    world.clock.advance(LATER)
    assert world.step(wide, job, backfill).judged == ()
    world.pool("two", 1)
    assert [verdict.state for verdict in world.step(wide, job, backfill).judged] == [DagRunState.DEADLOCKED]
    world.sound()
    world.pool("two", 2)  # opens it again
    world.step(wide, job, world.backfill(wide))
    assert (world.state(a), world.row(task_instance, a).try_number) == ("up_for_reschedule", 1)
    world.sound()


def test_explain_says_how_often_it_was_asked_and_until_when(world: World, begun: tuple[int, int, int]) -> None:
    ends = world.clock.now + timedelta(hours=1)
    first = rescheduled(world, begun, times_out_at=ends)
    [a, _] = world.store.explained(1).task_instances
    assert (a.reschedules, a.times_out_at, a.reason) == (1, ends, "asked once")
    assert [(each.number, each.started_at, each.outcome) for each in a.tries] == [(1, first.started_at, None)]
    again = resumed(world, begun)
    world.report(AB, again)
    [a, _] = world.store.explained(1).task_instances
    assert [(each.started_at, each.outcome) for each in a.tries] == [(first.started_at, "success")]


def test_a_moment_of_any_zone_is_kept(world: World, begun: tuple[int, int, int]) -> None:
    backfill, job, a = begun
    assert world.step(AB, job, backfill).won
    claim = world.running(a)
    at = datetime.fromisoformat("2024-06-01T02:00:00.123456+05:30")
    outcome = TryOutcome(OutcomeKind.RESCHEDULED, "later", resumes_at=at, times_out_at=at)
    after = after_try(
        AB.by_id["a"], claim.key, outcome.kind, "later", resumes_at=at, max_tries=2, lost_tries=0, disable_retry=True
    )
    assert world.store.report(claim, outcome, after, world.write_id()) == Accepted("up_for_reschedule")
    assert world.row(task_instance, a).retry_at == at
    world.sound()
