"""A person's commands beside jobs and workers: each lands whole, or is stale and changes nothing."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import Accepted
from tailrace.effects.tries import Refused, Renewal
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, task_instance, xcom
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.plan import RunTakeover
from tests.conformance.worlds import DAY, FIRST, LEASE, World, dag
from tests.message_text import text_of

AB = dag("a>b", a={"retries": 1})
PAST = dag("a>b", a={"depends_on_past": True})


def finished(world: World, spec: Any, job: int, backfill_id: int) -> None:
    """Let the planner come to its end without starting anything."""
    for _ in range(10):
        applied = world.step(spec, job, backfill_id)
        for submission in applied.queued:
            world.report(spec, world.running(submission.id, submission.key.try_number))


def failed_run(world: World) -> tuple[int, int, dict[str, int]]:
    """A backfill of one run that has failed because a failed; b is upstream_failed."""
    backfill_id, job = world.begun(AB)
    ids = world.by_task(1)
    world.run_try(AB, job, ids["a"], OutcomeKind.FAILED_FOR_GOOD, xcoms={"k": 1})
    world.step(AB, job, backfill_id)
    assert world.row(dag_run, 1).state == "failed"
    return backfill_id, job, ids


def test_clearing_a_failed_run_lets_its_backfill_drive_it_again(world: World) -> None:
    backfill_id, job, ids = failed_run(world)
    world.clear("a")
    run = world.row(dag_run, 1)
    assert (run.state, run.version, run.ended_at, run.owner_job_id) == ("queued", 2, None, None)
    row = world.row(task_instance, ids["a"])
    assert (row.state, row.try_number, row.max_tries, row.started_at) == ("none", 1, 3, None)
    assert world.rows(xcom) == []
    assert world.state(ids["b"]) == "none", "what followed from it is cleared with it"
    assert {each.run_state for each in world.rows(backfill_run)} == {"queued"}
    finished(world, AB, job, backfill_id)
    assert (world.row(dag_run, 1).state, world.row(backfill, backfill_id).state) == ("success", "success")
    assert world.row(task_instance, ids["a"]).try_number == 2
    world.sound()


def test_a_run_that_is_opened_again_and_marked_took_no_time(world: World) -> None:
    failed_run(world)
    world.clear("a")
    assert world.row(dag_run, 1).started_at is None
    world.clock.advance(3600)
    assert isinstance(world.do(plan_mark_runs(world.about(), DagRunState.SUCCESS)), Done)
    assert (world.row(dag_run, 1).started_at, world.row(dag_run, 1).ended_at) == (None, world.clock.now)
    world.sound()


def test_what_is_closed_and_marked_ended_when_its_work_did(world: World) -> None:
    backfill_id, job, ids = failed_run(world)
    finished(world, AB, job, backfill_id)
    ended = world.row(dag_run, 1).ended_at, world.row(task_instance, ids["a"]).ended_at
    world.clock.advance(3600)
    mark = MarkRequest(TaskInstanceState.SUCCESS, ("a",), downstream=True)
    assert isinstance(world.do(plan_mark_tasks(world.about(), mark)), Done)
    assert (world.row(dag_run, 1).state, world.state(ids["a"])) == ("success", "success")
    assert (world.row(dag_run, 1).ended_at, world.row(task_instance, ids["a"]).ended_at) == ended
    world.sound()


def test_a_mark_clears_what_failed_below_it_and_its_run_goes_on(world: World) -> None:
    backfill_id, job, ids = failed_run(world)
    finished(world, AB, job, backfill_id)
    assert (world.state(ids["b"]), world.row(dag_run, 1).state) == ("upstream_failed", "failed")
    mark = MarkRequest(TaskInstanceState.SUCCESS, ("a",), downstream_failed=True)
    plan = plan_mark_tasks(world.about(), mark)
    assert isinstance(world.do(plan), Done)
    assert isinstance(world.do(plan), MetastoreStale), "it is decided from what was there"
    assert (world.state(ids["a"]), world.state(ids["b"]), world.row(dag_run, 1).state) == ("success", "none", "queued")
    world.sound()
    again = world.backfill(AB, new=True)
    job = world.job(AB, again)
    world.activate(AB, job, 1)
    world.run_try(AB, job, ids["b"], OutcomeKind.SUCCESS)
    finished(world, AB, job, again)
    assert world.row(dag_run, 1).state == "success"
    world.sound()


def test_a_judged_backfill_stays_judged_and_a_new_one_takes_the_run(world: World) -> None:
    backfill_id, job, _ = failed_run(world)
    finished(world, AB, job, backfill_id)
    assert world.row(backfill, backfill_id).state == "failed"
    plan = world.clear("a")
    assert "`tailrace backfill dag -s 2024-01-01T00:00+00:00`" in text_of(plan.notices[0])
    assert (world.row(backfill, backfill_id).state, world.row(dag_run, 1).state) == ("failed", "queued")
    again = world.backfill(AB)
    assert again != backfill_id
    finished(world, AB, world.job(AB, again), again)
    assert world.row(backfill, again).state == "success"
    world.sound()


def test_a_verdict_drawn_before_a_clear_does_not_land(world: World) -> None:
    backfill_id, job, _ = failed_run(world)
    verdict = world.store.snapshot(job, AB, backfill_id)
    from_before = world.decided(verdict)
    assert from_before.backfill_verdict is not None
    world.clear("a")
    applied = world.store.apply(from_before, world.write_id())
    assert not applied.backfill_judged
    assert "expected version" in str(applied.stale[0])
    world.sound()


def test_a_clear_decided_before_a_claim_is_stale_and_then_stops_the_try(world: World) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    before = plan_clear(world.about(), ClearRequest(("a",)))
    claim = world.running(a)
    answer = world.do(before)
    assert isinstance(answer, MetastoreStale)
    assert "expected queued try 1, found running try 1" in answer.reason
    world.clear("a")
    row = world.row(task_instance, a)
    assert (row.state, row.stopping_to, row.token, row.max_tries) == ("stopping", "none", claim.token, 3)
    assert world.store.renew(claim, LEASE) is Renewal.STOPPING, "so its worker ends it"
    assert world.report(AB, claim, OutcomeKind.LOST) == Accepted("none")
    assert world.queue(AB, job, a).queued[0].key.try_number == 2
    world.sound()


def test_a_claim_behind_a_clear_is_refused_and_its_number_is_not_used_again(world: World) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    world.clear("a")
    assert isinstance(world.claim(a), Refused)
    assert world.queue(AB, job, a).queued[0].key.try_number == 2
    world.sound()


def test_a_try_that_succeeds_while_stopping_ends_as_the_person_wanted(world: World) -> None:
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    mark = MarkRequest(TaskInstanceState.FAILED, ("a",))
    assert isinstance(world.do(plan_mark_tasks(world.about(), mark)), Done)
    assert world.report(AB, claim) == Accepted("failed")
    assert world.rows(xcom) == []
    world.sound()


@pytest.mark.parametrize("ends", ["none", "success", "failed", "skipped"])
def test_a_stopping_try_whose_worker_is_lost_ends_as_the_person_wanted(world: World, ends: str) -> None:
    backfill_id, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    world.running(a)
    if ends == "none":
        world.clear("a")
    else:
        world.do(plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState(ends), ("a",))))
    world.clock.advance(LEASE + 1)
    world.step(AB, job, backfill_id)
    row = world.row(task_instance, a)
    assert (row.state, row.lost_tries, row.stopping_to) == (ends, 0, None)
    world.sound()


def test_the_end_of_a_stopping_try_does_not_land_when_the_person_wants_another_by_then(world: World) -> None:
    """Found by seed 3375: the lost try had become success, behind the clear that wanted it to run again."""
    backfill_id, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    world.running(a)
    world.do(plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("a",))))
    world.clock.advance(LEASE + 1)
    decided = world.decided(world.store.snapshot(job, AB, backfill_id))
    assert [step.after for step in decided.transitions if step.id == a] == ["success"]
    world.clear("a")
    applied = world.store.apply(decided, world.write_id())
    assert a in [step.id for step in applied.lost]
    world.step(AB, job, backfill_id)
    assert world.state(a) == "none"
    world.sound()


def test_two_people_clear_at_once_and_the_second_finds_nothing_to_do(world: World, other: Metastore) -> None:
    failed_run(world)
    mine, theirs = (plan_clear(world.about(), ClearRequest()) for _ in range(2))
    assert isinstance(world.do(mine), Done)
    assert isinstance(world.do(theirs, other), MetastoreStale)
    assert not plan_clear(world.about(), ClearRequest()).writes
    world.sound()


def test_a_command_repeated_under_its_id_lands_once(world: World) -> None:
    failed_run(world)
    plan = plan_clear(world.about(), ClearRequest())
    first = world.store.command(plan, "once")
    assert first == world.store.command(plan, "once") == Done(2, 1)
    assert world.row(dag_run, 1).version == 2


def test_clearing_a_blocker_opens_the_runs_that_it_deadlocked(world: World) -> None:
    backfill_id = world.backfill(PAST, days=3)
    job = world.job(PAST, backfill_id)
    world.activate(PAST, job, 1, 2, 3)
    world.run_try(PAST, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    for _ in range(5):
        world.step(PAST, job, backfill_id)
    assert [row.state for row in world.rows(dag_run)] == ["failed", "deadlocked", "deadlocked"]
    plan = plan_clear(world.about(FIRST), ClearRequest(("a",)))
    assert isinstance(world.do(plan), Done)
    assert [row.state for row in world.rows(dag_run)] == ["queued"] * 3
    again = world.backfill(PAST, days=3)
    finished(world, PAST, world.job(PAST, again), again)
    assert [row.state for row in world.rows(dag_run)] == ["success"] * 3
    world.sound()


def test_a_deadlock_that_lands_after_the_facts_makes_the_clear_stale(world: World) -> None:
    backfill_id = world.backfill(PAST, days=2)
    job = world.job(PAST, backfill_id)
    world.activate(PAST, job, 1, 2)
    world.run_try(PAST, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    world.step(PAST, job, backfill_id)
    assert [row.state for row in world.rows(dag_run)] == ["failed", "running"]
    early = plan_clear(world.about(FIRST), ClearRequest(("a",)))
    world.step(PAST, job, backfill_id)
    assert world.row(dag_run, 2).state == "deadlocked"
    answer = world.do(early)
    assert isinstance(answer, MetastoreStale)
    assert "deadlocked" in answer.reason


def test_a_deadlock_decided_before_a_mark_of_its_blocker_does_not_land(world: World) -> None:
    """The previous run stays failed, another of its leaves failed too: only its version tells."""
    spec = dag("a b", a={"depends_on_past": True})
    backfill_id = world.backfill(spec, days=2)
    job = world.job(spec, backfill_id)
    world.activate(spec, job, 1, 2)
    for task in ("a", "b"):
        world.run_try(spec, job, world.by_task(1)[task], OutcomeKind.FAILED_FOR_GOOD)
    world.run_try(spec, job, world.by_task(2)["b"])
    world.step(spec, job, backfill_id)
    late = world.decided(world.store.snapshot(job, spec, backfill_id))
    assert [verdict.state for verdict in late.run_verdicts] == ["deadlocked"]
    mark = plan_mark_tasks(world.about(FIRST), MarkRequest(TaskInstanceState.SUCCESS, ("a",)))
    assert isinstance(world.do(mark), Done)
    assert world.row(dag_run, 1).state == "failed"
    applied = world.store.apply(late, world.write_id())
    assert applied.judged == ()
    assert "previous run: expected version" in str(applied.stale[0])
    finished(world, spec, job, backfill_id)
    assert world.row(dag_run, 2).state == "success"
    world.sound()


def test_marking_a_run_that_never_began_gives_it_all_its_task_instances(world: World) -> None:
    backfill_id = world.backfill(AB, days=2)
    plan = plan_mark_runs(world.about(FIRST), DagRunState.SUCCESS)
    assert isinstance(world.do(plan), Done)
    assert world.row(dag_run, 1).state == "success"
    assert [world.state(id) for id in world.by_task(1).values()] == ["success", "success"]
    finished(world, AB, world.job(AB, backfill_id), backfill_id)
    assert world.row(backfill, backfill_id).state == "success"
    world.sound()


def test_a_run_marked_failed_keeps_its_running_try_until_it_is_acknowledged(world: World) -> None:
    backfill_id, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    assert isinstance(world.do(plan_mark_runs(world.about(), DagRunState.FAILED)), Done)
    assert (world.row(dag_run, 1).state, world.state(a)) == ("failed", "stopping")
    assert world.report(AB, claim) == Accepted("failed")
    finished(world, AB, job, backfill_id)
    assert world.row(backfill, backfill_id).state == "failed"
    world.sound()


def test_a_mark_that_changes_a_runs_verdict_makes_its_backfills_verdict_stale(world: World) -> None:
    backfill_id, job, _ = failed_run(world)
    from_before = world.decided(world.store.snapshot(job, AB, backfill_id))
    assert from_before.backfill_verdict is not None
    mark = MarkRequest(TaskInstanceState.SUCCESS, ("a",), downstream=True)
    assert isinstance(world.do(plan_mark_tasks(world.about(), mark)), Done)
    assert world.row(dag_run, 1).state == "success"
    assert not world.store.apply(from_before, world.write_id()).backfill_judged
    finished(world, AB, job, backfill_id)
    assert world.row(backfill, backfill_id).state == "success"
    world.sound()


# --- cancel, pause and resume ------------------------------------------------------------------------------


def cancel(world: World, id: int) -> Done | MetastoreStale:
    return world.do(plan_cancel(world.about(backfill_id=id)))


def test_cancelling_one_backfill_leaves_the_runs_that_another_wants(world: World) -> None:
    first = world.backfill(AB, days=2)
    second = world.backfill(AB, days=2, first=FIRST + DAY)
    job = world.job(AB, first)
    world.activate(AB, job, 1, 2)
    for run in (1, 2):
        world.queue(AB, job, world.by_task(run)["a"])
    mine, shared = (world.running(world.by_task(run)["a"]) for run in (1, 2))
    assert isinstance(cancel(world, first), Done)
    assert [row.state for row in world.rows(dag_run)] == ["cancelled", "running", "queued"]
    assert world.row(backfill, first).state == "cancelled"
    assert world.store.renew(mine, LEASE) is Renewal.STOPPING
    assert world.store.renew(shared, LEASE) is Renewal.HELD
    assert world.report(AB, mine, OutcomeKind.LOST) == Accepted("none")
    world.report(AB, shared)
    heir = world.job(AB, second)
    world.store.mark_job_dead(job)
    world.apply(AB, heir, takeovers=(RunTakeover(2, "run", job),))
    finished(world, AB, heir, second)
    assert world.row(backfill, second).state == "success"
    world.sound()


def test_a_backfill_that_came_to_want_a_run_meanwhile_makes_the_cancel_stale(world: World) -> None:
    first = world.backfill(AB, days=2)
    early = plan_cancel(world.about(backfill_id=first))
    world.backfill(AB, days=1)
    answer = world.do(early)
    assert isinstance(answer, MetastoreStale)
    assert "expected to be wanted by" in answer.reason


def test_a_cancel_behind_the_verdict_is_stale_and_then_refused(world: World) -> None:
    backfill_id, job = world.begun(AB)
    early = plan_cancel(world.about(backfill_id=backfill_id))
    finished(world, AB, job, backfill_id)
    assert isinstance(world.do(early), MetastoreStale)
    assert "is success already" in text_of(plan_cancel(world.about(backfill_id=backfill_id)).refusals[0])


def test_the_same_command_after_a_cancel_runs_what_was_cancelled(world: World) -> None:
    backfill_id, job = world.begun(AB, days=2)
    for id in world.by_task(1).values():
        world.run_try(AB, job, id)
    assert isinstance(cancel(world, backfill_id), Done)
    again = world.backfill(AB, days=2)
    assert again != backfill_id
    finished(world, AB, world.job(AB, again), again)
    assert [row.state for row in world.rows(dag_run)] == ["success", "success"]
    assert world.row(backfill, again).state == "success"
    world.sound()


def test_the_lost_stopping_try_of_a_cancelled_run_gives_its_slot_back(world: World) -> None:
    """Nobody drives a cancelled run: whoever plans, for whatever DAG, settles what was lost in it."""
    backfill_id, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    world.running(a)
    cancel(world, backfill_id)
    world.clock.advance(LEASE + 1)
    world.pool("default_pool", 1, None)
    other_dag = world.named(dag("c"), "other")
    other = world.backfill(other_dag)
    its_job = world.job(other_dag, other)
    for _ in range(3):
        world.step(other_dag, its_job, other)
    assert world.state(a) == "none"
    assert [row.state for row in world.rows(task_instance) if row.dag_id == "other"] == ["queued"]
    world.sound()


def test_pausing_takes_back_what_waits_and_lets_finish_what_runs(world: World) -> None:
    spec = dag("a b")
    backfill_id, job = world.begun(spec)
    a, b = world.by_task(1).values()
    world.queue(spec, job, a, b)
    claim = world.running(a)
    assert isinstance(world.do(plan_pause(world.about(backfill_id=backfill_id), True)), Done)
    assert (world.state(a), world.state(b)) == ("running", "none")
    assert isinstance(world.claim(b), Refused)
    world.report(spec, claim)
    world.step(spec, job, backfill_id)
    assert world.state(b) == "none", "nothing starts while it is paused"
    assert isinstance(world.do(plan_pause(world.about(backfill_id=backfill_id), False)), Done)
    finished(world, spec, job, backfill_id)
    row = world.row(task_instance, b)
    assert (row.state, row.try_number, row.max_tries) == ("success", 2, 2)
    world.sound()


def test_a_stale_pause_changes_nothing(world: World) -> None:
    backfill_id = world.backfill(AB)
    early = plan_pause(world.about(backfill_id=backfill_id), True)
    cancel(world, backfill_id)
    assert isinstance(world.do(early), MetastoreStale)
    assert world.row(backfill, backfill_id).paused is False


def test_what_a_command_knows_of_its_runs(world: World) -> None:
    backfill_id, _ = world.begun(AB, days=3)
    known = world.about(FIRST + DAY, "nothing__like_it", FIRST - DAY)
    assert [run.logical_date for run in known.runs] == [FIRST + DAY]
    assert known.not_found == ("nothing__like_it", FIRST - DAY)
    [run] = known.runs
    assert (run.wanted_by, run.owner_alive, len(run.task_instances)) == ((backfill_id,), True, 2)
    assert known.backfills[backfill_id].driven
    assert [run.id for run in world.about(first=FIRST + DAY, last=FIRST + 2 * DAY).runs] == [2, 3]
    world.clock.advance(LEASE + 1)
    assert not world.about().backfills[backfill_id].driven
    assert not world.about(first=FIRST, last=FIRST + timedelta(hours=1)).runs[0].owner_alive


def test_a_skip_decided_before_a_mark_of_what_it_leans_on_does_not_land(world: World) -> None:
    """Found by the simulator: b was skipped under all_success although a, marked in between, had succeeded."""
    backfill_id, job = world.begun(AB)
    ids = world.by_task(1)
    world.run_try(AB, job, ids["a"], OutcomeKind.SKIPPED)
    decided = world.decided(world.store.snapshot(job, AB, backfill_id))
    assert [step.after for step in decided.transitions] == [TaskInstanceState.SKIPPED]
    world.do(plan_mark_tasks(world.about(FIRST), MarkRequest(TaskInstanceState.SUCCESS, ("a",))))
    assert len(world.store.apply(decided, world.write_id()).lost) == 1
    finished(world, AB, job, backfill_id)
    assert (world.state(ids["b"]), world.row(dag_run, 1).state) == ("success", "success")
    world.sound()


def test_a_start_decided_before_a_clear_of_the_previous_run_does_not_land(world: World) -> None:
    backfill_id, job = world.begun(PAST, days=2)
    first, second = world.run_rows()
    for task in ("a", "b"):
        world.run_try(PAST, job, world.by_task(first)[task])
    decided = world.decided(world.store.snapshot(job, PAST, backfill_id))
    assert [step.run for step in decided.transitions] == [second]
    world.do(plan_clear(world.about(FIRST), ClearRequest(("a",))))
    assert len(world.store.apply(decided, world.write_id()).lost) == 1
    finished(world, PAST, job, backfill_id)
    assert {row.state for row in world.rows(dag_run)} == {"success"}
    world.sound()


def test_a_start_decided_before_a_pause_does_not_land(world: World) -> None:
    backfill_id, job = world.begun(AB)
    decided = world.decided(world.store.snapshot(job, AB, backfill_id))
    assert [step.after for step in decided.transitions] == [TaskInstanceState.QUEUED]
    world.do(plan_pause(world.about(backfill_id=backfill_id), True))
    assert len(world.store.apply(decided, world.write_id()).lost) == 1
    world.sound()


# --- a previous run that is opened again behind active runs --------------------------------------------------


def test_a_cleared_run_behind_a_full_window_gets_its_place_again(world: World) -> None:
    """Found with two backfills and a person who clears: sixteen active runs waited for one that had no room."""
    spec = dag("a", a={"depends_on_past": True}, _dag={"max_active_runs": 2})
    backfill_id = world.backfill(spec, days=4)
    job = world.job(spec, backfill_id)
    world.activate(spec, job, 1, 2)
    for run in (1, 2):
        world.run_try(spec, job, world.by_task(run)["a"])
        world.apply(spec, job, run_verdicts=(world.verdict(run, DagRunState.SUCCESS),))
    world.activate(spec, job, 3, 4)
    assert [row.state for row in world.rows(dag_run)] == ["success", "success", "running", "running"]
    assert isinstance(world.do(plan_clear(world.about(FIRST, FIRST + DAY), ClearRequest())), Done)
    finished(world, spec, job, backfill_id)
    finished(world, spec, job, backfill_id)
    assert [row.state for row in world.rows(dag_run)] == ["success"] * 4
    stepped_back = world.history(kind="dag_run", cause="yielded")
    assert stepped_back and all("previous_run" in row.evidence for row in stepped_back)
    world.sound()


def test_a_run_does_not_step_back_for_one_that_has_begun_meanwhile(world: World) -> None:
    spec = dag("a", a={"depends_on_past": True}, _dag={"max_active_runs": 2})
    backfill_id = world.backfill(spec, days=2)
    job = world.job(spec, backfill_id)
    world.activate(spec, job, 2)
    early = world.decided(world.store.snapshot(job, replace(spec, max_active_runs=1), backfill_id))
    assert [step.id for step in early.yields] == [2]
    world.activate(spec, job, 1)
    applied = world.store.apply(replace(early, activations=()), world.write_id())
    assert (applied.yielded, world.row(dag_run, 2).state) == ((), "running")
    assert "not queued any more" in str(applied.stale[0])
    world.sound()


def test_a_run_does_not_step_back_by_what_counted_as_previous_before(world: World) -> None:
    """A run that is inserted meanwhile, or one that nobody wants any more: another one may be the previous run now."""
    spec = dag("a", a={"depends_on_past": True}, _dag={"max_active_runs": 2})
    backfill_id = world.backfill(spec, days=2)
    job = world.job(spec, backfill_id)
    world.activate(spec, job, 2)
    early = world.decided(world.store.snapshot(job, replace(spec, max_active_runs=1), backfill_id))
    assert [step.id for step in early.yields] == [2]
    world.backfill(spec, days=1, first=FIRST + 5 * DAY)
    applied = world.store.apply(replace(early, activations=()), world.write_id())
    assert (applied.yielded, world.row(dag_run, 2).state) == ((), "running")
    assert "of its DAG, found version" in str(applied.stale[0])
    world.sound()
