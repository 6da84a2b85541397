"""The previous run that depends_on_past looks at: the chronologically previous one that counts, as things stand."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.db.tables import backfill as backfill_table
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.plans.lookback import read_previous
from tailrace.metastore.store import Done
from tailrace.model.keys import RunType
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.model.states import BackfillState, DagRunState, JobKind, TaskInstanceState
from tailrace.planning.cancelling import plan_cancel
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandScope
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tests.conformance.worlds import DAY, FIRST, World, dag
from tests.message_text import lines

A = dag("a", a={"depends_on_past": True})
AB = dag("a b", a={"depends_on_past": True}, b={"depends_on_past": True})
SKIPPED = TaskInstanceState.SKIPPED


def looks(world: World, day: float, spec: DagSpec = A, task_id: str = "a") -> float | None:
    """The day of the run that the task of this day's run looks at."""
    rows = {row.logical_date: row.id for row in world.rows(dag_run)}
    days = {id: (date - FIRST) / DAY for date, id in rows.items()}
    run = rows[FIRST + day * DAY]
    found = world.store.read(lambda tx: read_previous(tx, spec, [run])).looks_at.get(run, {})
    return days[found[task_id]] if task_id in found else None


def run_of(world: World, day: float) -> int:
    return next(row.id for row in world.rows(dag_run) if row.logical_date == FIRST + day * DAY)


def done(
    world: World,
    day: int,
    days: int = 1,
    spec: DagSpec = A,
    kind: OutcomeKind = OutcomeKind.SUCCESS,
    **request: object,
) -> None:
    """A backfill of these days, driven to its end."""
    id = world.backfill(spec, days, first=FIRST + day * DAY, new=True, **request)
    job = world.job(spec, id)
    for _ in range(3 * days + 3):
        for submission in world.step(spec, job, id).queued:
            world.report(spec, world.running(submission.id, submission.key.try_number), kind)
    assert world.row(backfill_table, id).ended_at is not None


def trigger(world: World, spec: DagSpec, date: datetime) -> int:
    wanted = plan_trigger(spec, TriggerRequest(date), world.clock.now, None)
    facts = world.store.trigger_facts(spec.dag_id, wanted.logical_date, wanted.run_id)
    row = world.store.trigger(spec, plan_trigger(spec, TriggerRequest(date), world.clock.now, facts), world.write_id())
    assert isinstance(row, int)
    return row


def test_a_hole_that_is_filled_stands_in_between_from_then_on(world: World) -> None:
    world.backfill(A, 2, first=FIRST + 5 * DAY)
    assert (looks(world, 5), looks(world, 6)) == (None, 5)
    world.backfill(A, 1, first=FIRST)
    assert looks(world, 5) == 0
    world.backfill(A, 1, first=FIRST + 3 * DAY)
    assert (looks(world, 5), looks(world, 3), looks(world, 6)) == (3, 0, 5)


def test_each_task_looks_at_the_run_that_has_it(world: World) -> None:
    """A task that is added to a DAG finds no run of it before: nothing holds it back."""
    done(world, 0, 2)
    world.backfill(AB, 2, first=FIRST + 2 * DAY)
    assert (looks(world, 2, AB), looks(world, 2, AB, "b")) == (1, None)
    assert (looks(world, 3, AB), looks(world, 3, AB, "b")) == (2, 2), "an open run counts for every task"


def test_a_removed_task_instance_does_not_count(world: World) -> None:
    done(world, 0, 2, AB)
    world.set_state(world.by_task(run_of(world, 1))["b"], state=TaskInstanceState.REMOVED)
    world.backfill(AB, first=FIRST + 2 * DAY)
    assert (looks(world, 2, AB), looks(world, 2, AB, "b")) == (1, 0)


def test_what_a_stopped_backfill_left_is_not_waited_for(world: World) -> None:
    id = world.backfill(A, 3, stop_on_failure=True)
    job = world.job(A, id)
    world.activate(A, job, 1)
    world.run_try(A, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    world.backfill(A, first=FIRST + 3 * DAY)
    assert looks(world, 3) == 2, "an unfinished backfill wants it"
    for _ in range(2):
        world.step(A, job, id)
    assert world.row(backfill_table, id).state == "failed"
    assert looks(world, 3) == 0
    world.backfill(A, 3, new=True)
    assert looks(world, 3) == 2, "somebody wants it again"


def test_a_run_that_was_cancelled_counts_once_it_had_begun(world: World) -> None:
    id = world.backfill(A, 2)
    job = world.job(A, id)
    world.activate(A, job, 1)
    plan = plan_cancel(world.store.command_facts(CommandScope(backfill_id=id)))
    assert isinstance(world.do(plan), Done)
    later = world.backfill(A, first=FIRST + 2 * DAY)
    assert looks(world, 2) == 0, "the second run had not begun"
    job = world.job(A, later)
    world.activate(A, job, run_of(world, 2))
    world.step(A, job, later)
    row = world.row(dag_run, run_of(world, 2))
    assert row.state == "deadlocked"
    assert "is cancelled after it had begun; its a is none" in row.reason
    world.sound()


def test_beside_a_schedule_nobody_looks_at_a_triggered_run(world: World) -> None:
    done(world, 0)
    trigger(world, A, FIRST + DAY / 2)
    trigger(world, A, FIRST + 3 * DAY)
    world.backfill(A, 1, first=FIRST + 4 * DAY)
    assert looks(world, 0.5) == 0
    assert looks(world, 3) == 0
    assert looks(world, 4) == 0


def test_without_a_schedule_triggered_runs_look_at_each_other(world: World) -> None:
    spec = replace(A, schedule=Schedule(ScheduleKind.NONE))
    for day in (3, 1, 2):
        trigger(world, spec, FIRST + day * DAY)
    assert [looks(world, day, spec) for day in (1, 2, 3)] == [None, 1, 2]


def test_a_live_run_looks_over_the_dates_that_were_missed(world: World) -> None:
    done(world, 0, kind=OutcomeKind.FAILED_FOR_GOOD)
    world.backfill(A, first=FIRST + 9 * DAY)
    world.set_run(run_of(world, 9), run_type=RunType.SCHEDULED, live=True)
    assert looks(world, 9) == 0


def test_what_is_stored_to_be_cleared_is_undecided(world: World) -> None:
    done(world, 0)
    id = world.backfill(A, first=FIRST + DAY)
    job = world.job(A, id)
    world.activate(A, job, 2)
    world.backfill(A, reprocess="all", new=True)
    assert world.decided(world.store.snapshot(job, A, id)).transitions == ()
    [decision] = world.decided(world.store.snapshot(job, A, id)).decisions
    assert "its a is stored to run again" in str(decision.failed[0].reason)


# --- what was decided before something changed -----------------------------------------------------------------


@pytest.fixture
def holed(world: World) -> tuple[int, int]:
    """Day 0 is done, day 5 is active: its task leans on day 0. The backfill of day 5, and its job."""
    done(world, 0)
    id = world.backfill(A, first=FIRST + 5 * DAY)
    job = world.job(A, id)
    world.activate(A, job, run_of(world, 5))
    return id, job


def test_a_start_is_stale_once_a_hole_before_it_was_filled(world: World, holed: tuple[int, int]) -> None:
    id, job = holed
    late = world.decided(world.store.snapshot(job, A, id))
    world.backfill(A, first=FIRST + 2 * DAY)
    assert world.store.apply(late, world.write_id()).lost == late.transitions
    assert world.decided(world.store.snapshot(job, A, id)).transitions == ()
    world.sound()


def test_a_start_is_stale_once_a_triggered_run_stands_before_it(world: World) -> None:
    spec = replace(A, schedule=Schedule(ScheduleKind.NONE))
    first = trigger(world, spec, FIRST + 5 * DAY)
    job = world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, 20.0, world.write_id())
    world.activate(spec, job, first)
    late = world.decided(world.store.snapshot(job, spec, None))
    assert [step.looked_back for step in late.transitions if step.takes_slot]
    trigger(world, spec, FIRST + 2 * DAY)
    assert world.store.apply(late, world.write_id()).lost == late.transitions
    world.sound()


def test_a_start_is_stale_once_a_run_before_it_is_opened_again(world: World) -> None:
    """The run in between has no task instance of the task: closed it does not count, open it does."""
    done(world, 0, 1, AB)
    done(world, 2, 1, A)
    id = world.backfill(AB, first=FIRST + 5 * DAY)
    job = world.job(AB, id)
    world.activate(AB, job, run_of(world, 5))
    late = world.decided(world.store.snapshot(job, AB, id))
    [of_b] = [step for step in late.transitions if step.key.task_id == "b"]
    assert looks(world, 5, AB, "b") == 0
    clear = plan_clear(world.about(FIRST + 2 * DAY), ClearRequest())
    assert isinstance(world.do(clear), Done)
    assert of_b in world.store.apply(late, world.write_id()).lost
    assert looks(world, 5, AB, "b") == 2
    world.sound()


def test_a_deadlock_is_stale_once_a_hole_before_it_was_filled(world: World) -> None:
    done(world, 0, kind=OutcomeKind.FAILED_FOR_GOOD)
    id = world.backfill(A, first=FIRST + 5 * DAY)
    job = world.job(A, id)
    world.activate(A, job, run_of(world, 5))
    late = world.decided(world.store.snapshot(job, A, id))
    assert [verdict.state for verdict in late.run_verdicts] == [DagRunState.DEADLOCKED]
    world.backfill(A, first=FIRST + 2 * DAY)
    applied = world.store.apply(late, world.write_id())
    assert "its DAG: expected version" in str(applied.stale[0])
    world.sound()


def test_a_verdict_that_leaves_runs_behind_is_one_that_others_look_at_again(world: World) -> None:
    id = world.backfill(A, 2, stop_on_failure=True)
    job = world.job(A, id)
    world.activate(A, job, 1)
    world.run_try(A, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    assert world.step(A, job, id).judged
    before = world.store.snapshot(job, A, id).dag_version
    verdict = world.backfill_verdict(id, BackfillState.FAILED)
    assert verdict.leaves_open
    assert world.apply(A, job, backfill_verdict=verdict).backfill_judged
    assert world.store.snapshot(job, A, id).dag_version > before


# --- a skip does not overtake ----------------------------------------------------------------------------------


def test_a_skip_waits_until_the_date_before_has_decided(world: World) -> None:
    spec = dag("up>a", a={"depends_on_past": True})
    id = world.backfill(spec, 2)
    job = world.job(spec, id)
    world.activate(spec, job, 1, 2)
    world.run_try(spec, job, world.by_task(1)["up"])
    world.run_try(spec, job, world.by_task(2)["up"], OutcomeKind.SKIPPED)
    world.step(spec, job, id)
    assert world.state(world.by_task(1)["a"]) == "queued"
    assert world.state(world.by_task(2)["a"]) == "none", "it would be skipped, were the date before done"
    world.report(spec, world.running(world.by_task(1)["a"]), OutcomeKind.FAILED_FOR_GOOD)
    world.step(spec, job, id)
    assert world.state(world.by_task(2)["a"]) == "skipped", "decided is decided, a failure too"
    [row] = world.history(task_id="a", after="skipped")
    assert '"previous_run":"backfill__2024-01-01' in row.evidence
    world.sound()


# --- order -----------------------------------------------------------------------------------------------------


def test_a_backwards_backfill_goes_forwards_once_its_dag_depends_on_the_past(world: World) -> None:
    plain = dag("a", _dag={"max_active_runs": 2})
    id = world.backfill(plain, 40, backwards=True)
    past = replace(A, max_active_runs=2)
    job = world.job(past, id)
    for _ in range(200):
        for submission in world.step(past, job, id).queued:
            world.report(past, world.running(submission.id, submission.key.try_number))
    assert world.row(backfill_table, id).state == "success"
    queued = [row.run_id for row in world.history(kind="task_instance", after="queued")]
    assert queued == sorted(queued)
    world.sound()


# --- what the command says beforehand --------------------------------------------------------------------------


def notices(world: World, spec: DagSpec, day: int, days: int = 1, **request: object) -> tuple[str, ...]:
    return lines(world.decide(spec, days, first=FIRST + day * DAY, **request).notices)


def test_what_the_first_date_looks_at_is_reported(world: World) -> None:
    none_before = "no run before 2024-01-01T00:00:00+00:00: depends_on_past is met for the first date"
    assert notices(world, A, 0) == (none_before,)
    done(world, 0)
    assert notices(world, A, 1) == ()
    [new] = notices(world, AB, 1)
    assert new == "no run with b before 2024-01-02T00:00:00+00:00: depends_on_past is met for the first date"


def test_later_dates_that_are_done_are_named_and_left(world: World) -> None:
    done(world, 3, 2)
    [_, later] = notices(world, A, 1)
    assert later.startswith("2 later runs that are done, from backfill__2024-01-04T00:00:00+00:00 on, look back at")
    creation = world.decide(A, 4, first=FIRST + DAY)
    assert [str(date.action) for date in creation.dates] == ["create", "create", "leave", "leave"]
    assert any(notice.startswith("2 later runs that are done") for notice in lines(creation.notices))
    assert not any("done" in notice for notice in notices(world, A, 5))


def test_an_open_run_that_nobody_drives_is_named(world: World) -> None:
    done(world, 0)
    id = world.backfill(A, 1, first=FIRST + DAY)
    world.set_backfill(id, state=BackfillState.FAILED)
    [notice] = notices(world, A, 2)
    assert notice == (
        "backfill__2024-01-02T00:00:00+00:00 is open and nobody drives it: depends_on_past does not wait for it; "
        "it looks at backfill__2024-01-01T00:00:00+00:00"
    )


# --- cleaning --------------------------------------------------------------------------------------------------


def cleaned(world: World) -> list[float]:
    """The days that are left after everything old was removed."""
    world.clock.advance(timedelta(days=60).total_seconds())
    asked = Cleaning(world.clock.now)
    counted = world.store.count_cleanable(asked)
    removed = 0
    for _ in range(50):
        piece = world.store.clean_some(asked, world.write_id())
        if not piece:
            break
        removed += piece.get("runs", 0)
    else:
        raise AssertionError("the cleaning does not end")
    assert removed == counted.get("runs", 0)
    return [(row.logical_date - FIRST) / DAY for row in world.rows(dag_run)]


def test_cleaning_keeps_what_an_open_run_looks_at(world: World) -> None:
    done(world, 0, 3)
    world.backfill(A, 1, first=FIRST + 9 * DAY)
    done(world, 20, ignore_first_depends_on_past=True)
    assert cleaned(world) == [2, 9, 20]
    assert looks(world, 9) == 2
    world.sound()


def test_cleaning_keeps_the_newest_run_that_has_each_task(world: World) -> None:
    done(world, 0, 2, AB)
    done(world, 2, 1, A)
    done(world, 3, 1, A)
    assert cleaned(world) == [1, 3]
    world.backfill(AB, first=FIRST + 4 * DAY)
    assert (looks(world, 4, AB), looks(world, 4, AB, "b")) == (3, 1)
    world.sound()


def test_a_task_instance_of_a_triggered_run_stands_in_for_none_of_the_schedule(world: World) -> None:
    done(world, 0)
    trigger(world, A, FIRST + DAY / 2)
    job = world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, 20.0, world.write_id())
    world.activate(A, job, run_of(world, 0.5))
    world.run_try(A, job, world.by_task(run_of(world, 0.5))["a"])
    assert world.apply(A, job, run_verdicts=(world.verdict(run_of(world, 0.5), DagRunState.SUCCESS),)).judged
    assert cleaned(world) == [0, 0.5]
    assert {row.task_id for row in world.rows(task_instance)} == {"a"}
