"""The outbox: an event for each step with a callback, in that step's own transaction, and called by one at a time."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.effects.events import EventClaim, EventEnd, Uncallable
from tailrace.effects.tries import Claim, Refused, Renewal, TryOutcome
from tailrace.metastore.db.tables import dag_version, outbox
from tailrace.metastore.store import Metastore
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.callbacks import MOST_CLAIMS, OF_DAGS, OF_TASKS, EventState
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, DeadlineReference, DeadlineSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.planner import plan
from tailrace.planning.schedules import ScheduleFacts
from tailrace.planning.scheduling import due_runs
from tests.conformance.stories import Drive
from tests.conformance.worlds import FIRST, LEASE, World, dag

ALL = tuple(sorted(map(str, OF_TASKS)))
CALLING = replace(dag("a>b", a={"retries": 1, "calls": ALL}), calls=tuple(sorted(map(str, OF_DAGS))))
MINE = {CALLING.dag_id}


@pytest.fixture
def running(world: World) -> Claim:
    """The first try of a task with every callback, running."""
    _, job = world.begun(CALLING)
    a = world.by_task(1)["a"]
    assert world.queue(CALLING, job, a).won
    return world.running(a)


def claimed(world: World, store: Metastore | None = None, holder: str = "me") -> EventClaim:
    found = (store or world.store).claim_event(MINE, holder, LEASE, world.write_id())
    assert isinstance(found, EventClaim), found
    return found


def events(world: World) -> list[tuple[Any, ...]]:
    return [(row.callback, row.kind, row.task_id, row.try_number, row.after, row.status) for row in world.rows(outbox)]


@pytest.mark.parametrize(
    ("kind", "callback", "state"),
    [
        (OutcomeKind.SUCCESS, "on_success_callback", "success"),
        (OutcomeKind.SKIPPED, "on_skipped_callback", "skipped"),
        (OutcomeKind.FAILED_FOR_GOOD, "on_failure_callback", "failed"),
        (OutcomeKind.FAILED, "on_retry_callback", "up_for_retry"),
        (OutcomeKind.LOST, "on_retry_callback", "up_for_retry"),
        (OutcomeKind.LOST_TOGETHER, "on_retry_callback", "up_for_retry"),
    ],
)
def test_each_end_of_a_try_is_one_event(
    world: World, running: Claim, kind: OutcomeKind, callback: str, state: str
) -> None:
    world.report(CALLING, running, kind)
    assert events(world) == [(callback, "task_instance", "a", 1, state, "waiting")]
    [row], [step] = world.rows(outbox), world.history(after=state)
    assert row.event_id == step.digest
    world.sound()


def test_a_task_and_a_dag_without_callbacks_have_no_event(world: World, running: Claim) -> None:
    world.report(CALLING, running)
    [before] = events(world)
    plain = replace(CALLING, dag_id="plain", tasks=dag("a>b").tasks, calls=())
    Drive(world, plain, world.backfill(plain), {("a", 1): OutcomeKind.FAILED}).go()
    assert events(world) == [before]


def test_a_result_that_is_refused_is_no_event(world: World, running: Claim) -> None:
    world.clock.advance(LEASE + 1)
    world.step(CALLING, 1, 1)
    assert [each[0] for each in events(world)] == ["on_retry_callback"], "it was lost"
    outcome, after = TryOutcome(OutcomeKind.SUCCESS), world.after(CALLING, running, OutcomeKind.SUCCESS)
    assert isinstance(world.store.report(running, outcome, after, world.write_id()), Refused)
    assert [each[0] for each in events(world)] == ["on_retry_callback"]
    world.sound()


def test_a_try_that_is_lost_for_good_is_a_failure(world: World) -> None:
    Drive(world, CALLING, world.backfill(CALLING), {("a", n): OutcomeKind.LOST for n in (1, 2, 3, 4, 5)}).go()
    told = [(callback, try_number) for callback, kind, _, try_number, *_ in events(world) if kind == "task_instance"]
    assert told == [("on_retry_callback", 1), ("on_retry_callback", 2), ("on_failure_callback", 3)]
    world.sound()


def test_runs_and_backfills_are_events_of_their_dag(world: World) -> None:
    Drive(world, CALLING, world.backfill(CALLING, days=2), {("b", 1): OutcomeKind.FAILED}).go()
    found = [each for each in events(world) if each[1] != "task_instance"]
    assert [(callback, kind, after) for callback, kind, _, _, after, _ in found] == [
        ("on_failure_callback", "dag_run", DagRunState.FAILED),
        ("on_failure_callback", "dag_run", DagRunState.FAILED),
        ("on_backfill_end", "backfill", BackfillState.FAILED),
    ]
    world.sound()


IN_AN_HOUR = DeadlineSpec(DeadlineReference.QUEUED_AT, timedelta(hours=1))
LATE = replace(CALLING, deadline=IN_AN_HOUR, calls=("on_late_callback",))


def test_a_run_that_misses_its_deadline_is_an_event_once(world: World) -> None:
    backfill, job = world.begun(LATE)
    world.clock.advance(3600)
    seen = plan(world.store.snapshot(job, LATE, backfill))
    world.store.apply(seen, world.write_id())
    world.store.apply(seen, world.write_id())
    world.step(LATE, job, backfill)
    assert events(world) == [("on_late_callback", "dag_run", None, None, "late", "waiting")]
    [row], [step] = world.rows(outbox), world.history(cause="late")
    assert (row.event_id, row.dag_run_id) == (step.digest, 1)
    found = claimed(world)
    assert (found.event.after, found.event.reason, found.try_of.task_instance.task_id) == ("late", step.reason, "a")
    world.sound()


def test_a_run_that_is_late_before_it_begins_is_one_too(world: World) -> None:
    one = replace(LATE, max_active_runs=1, catchup=True, end_date=FIRST + timedelta(days=1))
    job = world.store.start_job("scheduler", world.process(), None, None, 20.0, world.write_id())
    due = due_runs(one, ScheduleFacts(), world.clock.now)
    assert due is not None
    world.store.create_due_runs(due, job, world.write_id())
    world.clock.advance(3600)
    world.store.apply(plan(world.store.snapshot(job, one, None)), world.write_id())
    assert [each[0] for each in events(world)] == ["on_late_callback"] * 2
    assert {claimed(world).try_of.task_instance.task_id for _ in "12"} == {"a"}
    world.sound()


def test_what_a_person_does_is_no_event(world: World, running: Claim) -> None:
    facts = world.about()
    world.do(plan_clear(facts, ClearRequest(("a",))))
    assert world.state(running.id) == TaskInstanceState.STOPPING
    world.report(CALLING, running, OutcomeKind.FAILED)
    facts = world.about()
    world.do(plan_mark_tasks(facts, MarkRequest(TaskInstanceState.FAILED, ("a",))))
    assert world.state(running.id) == TaskInstanceState.FAILED
    assert events(world) == []
    world.sound()


def test_what_is_marked_as_it_runs_is_no_event(world: World) -> None:
    plain = replace(CALLING, tasks=dag("a>b").tasks)
    Drive(world, plain, world.backfill(plain, mark_success=True), {}).go()
    assert [each[1] for each in events(world)] == ["backfill"]
    world.sound()


def test_a_claim_carries_what_its_context_needs(world: World, running: Claim) -> None:
    world.report(CALLING, running, OutcomeKind.FAILED_FOR_GOOD)
    found = claimed(world, holder="process 7 on here")
    assert (found.event.callback, found.event.kind, found.event.after) == (
        "on_failure_callback",
        "task_instance",
        "failed",
    )
    assert (found.token, found.try_state, found.try_of.key) == (1, "failed", running.key)
    kept = ("data_interval", "logical_date", "run_conf", "run_type", "started_at", "run_started_at", "max_tries")
    assert [getattr(found.try_of, name) for name in kept] == [getattr(running, name) for name in kept]
    [row] = world.rows(outbox)
    assert (row.holder, row.token, row.status) == ("process 7 on here", 1, "waiting")


def test_the_context_of_a_run_is_about_the_task_that_failed(world: World) -> None:
    three = replace(CALLING, tasks=dag("a b c").tasks)
    Drive(world, three, world.backfill(three), {("b", 1): OutcomeKind.FAILED}).go()
    found = claimed(world)
    assert (found.event.kind, found.try_of.task_instance.task_id, found.try_state) == ("dag_run", "b", "failed")
    found = claimed(world)
    assert (found.event.kind, found.event.backfill_id, found.try_of.task_instance.task_id) == ("backfill", 1, "b")


def test_one_calls_while_its_lease_holds_then_another(world: World, running: Claim, other: Metastore) -> None:
    world.report(CALLING, running)
    first = claimed(world)
    assert other.claim_event(MINE, "other", LEASE, world.write_id()) is None
    world.clock.advance(LEASE - 1)
    assert world.store.renew_event(first, LEASE) is Renewal.HELD
    world.clock.advance(LEASE - 1)
    assert other.claim_event(MINE, "other", LEASE, world.write_id()) is None
    world.clock.advance(2)
    assert world.store.renew_event(first, LEASE) is Renewal.GONE, "one that ran out is not renewed"
    second = claimed(world, other)
    assert (second.event.event_id, second.token) == (first.event.event_id, 2)
    assert not world.store.end_event(first, EventEnd(EventState.CALLED)), "it is another's by now"
    assert other.end_event(second, EventEnd(EventState.FAILED, "notify: ValueError: no"))
    assert not other.end_event(second, EventEnd(EventState.CALLED)), "it has ended"
    [row] = world.rows(outbox)
    assert (row.status, row.error, row.lease_until) == ("failed", "notify: ValueError: no", None)
    assert world.store.events_left(MINE).count == 0
    world.sound()


def test_one_that_is_given_back_is_free_at_once(world: World, running: Claim) -> None:
    world.report(CALLING, running)
    assert world.store.end_event(claimed(world), EventEnd(EventState.WAITING))
    assert claimed(world).token == 2


def test_one_whose_caller_is_lost_again_and_again_is_given_up(world: World, running: Claim) -> None:
    world.report(CALLING, running)
    for _ in range(MOST_CLAIMS):
        claimed(world)
        world.clock.advance(LEASE + 1)
    found = world.store.claim_event(MINE, "me", LEASE, world.write_id())
    assert isinstance(found, Uncallable)
    assert found.why == f"whoever called them was lost {MOST_CLAIMS} times (the limit)"
    assert world.rows(outbox)[0].status == "failed"


def test_events_of_other_dags_are_left_alone(world: World, running: Claim) -> None:
    world.report(CALLING, running)
    assert world.store.claim_event({"another"}, "me", LEASE, world.write_id()) is None
    assert world.store.claim_event(set(), "me", LEASE, world.write_id()) is None
    assert (world.store.events_left(MINE).count, world.store.events_left({"another"}).count) == (1, 0)


def test_a_claim_that_is_repeated_is_the_same(world: World, running: Claim) -> None:
    world.report(CALLING, running)
    claims = [world.store.claim_event(MINE, "me", LEASE, "same") for _ in range(2)]
    assert isinstance(claims[0], EventClaim)
    assert claims[1] is None, "nobody repeats a write that has landed, but with its id"
    assert len(world.rows(outbox)) == 1


def test_the_run_says_who_is_to_call(world: World, running: Claim) -> None:
    world.report(CALLING, running)

    def told() -> tuple[Any, ...]:
        [each] = world.store.callbacks_of(CALLING.dag_id, running.task_instance.run_id)
        return each.state, each.called_by, each.jobs

    assert told() == ("waiting", None, (1,))
    first = claimed(world, holder="process 7 on here")
    assert told() == ("waiting", "process 7 on here", (1,))
    world.clock.advance(LEASE + 1)
    assert told() == ("waiting", None, ()), "no job is alive"
    assert world.store.end_event(first, EventEnd(EventState.CALLED))
    assert told() == ("called", None, ())


def test_the_structure_of_a_dag_without_callbacks_is_as_it_was(world: World) -> None:
    assert "calls" not in spec_text(dag("a>b"))
    assert spec_from(spec_text(CALLING)) == CALLING
    world.begun(CALLING)
    stored: DagSpec = spec_from(world.rows(dag_version)[0].spec)
    assert (stored.calls, stored.tasks[0].calls, stored.tasks[1].calls) == (CALLING.calls, ALL, ())


@pytest.mark.parametrize("column", ["callback", "after", "reason", "task_id"])
def test_an_event_that_is_changed_added_or_gone_is_found(world: World, running: Claim, column: str) -> None:
    world.report(CALLING, running)
    assert audit(world.store.audit_records()) == ()
    [row] = world.rows(outbox)

    def found(change: Any) -> list[str]:
        world.store._database.write(lambda tx: tx.change(change))
        said = [str(each) for each in audit(world.store.audit_records())]
        world.store._database.write(lambda tx: tx.change(outbox.delete()))
        world.store._database.write(lambda tx: tx.change(outbox.insert(), dict(row._mapping)))
        return said

    assert column in found(outbox.update().values({column: "x"}))[0]
    assert "is not there" in found(outbox.delete())[0]
    assert "is of no step" in found(outbox.insert().values({**row._mapping, "id": 99, "event_id": "x"}))[0]
