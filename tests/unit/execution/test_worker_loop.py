"""The worker loop as a table of effects: what it asks for, in which order, given which answers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import (
    Accepted,
    AwaitTask,
    ClaimTry,
    DropTask,
    Effect,
    KillTask,
    NextTry,
    NotifyExecutor,
    Parked,
    ParkTask,
    ReadRecords,
    ReadXCom,
    RenewLease,
    ReplyToTask,
    ReportOutcome,
    StartTask,
    StillRunning,
)
from tailrace.effects.tries import (
    Claim,
    RefusalReason,
    Refused,
    Renewal,
    Submission,
    TryOutcome,
    Unreadable,
    Unstorable,
    XComQuery,
)
from tailrace.errors import InternalError
from tailrace.execution.workers.loop import worker_loop
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity, TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.recorded import Counted, RecordsQuery, Wanted
from tailrace.model.spec import BranchKind, TaskSpec
from tailrace.model.states import TaskInstanceState

DAY = datetime(2016, 1, 1, tzinfo=UTC)
KEY = TryKey(TaskInstanceKey("example", "run", "load"), 1)
SUBMISSION = Submission(7, KEY)
WORKER = ProcessIdentity("here", "boot", 10, 100)
TASK = ProcessIdentity("here", "boot", 11, 101)
SPEC = TaskSpec("load", retries=1, retry_delay=timedelta(seconds=30))
PARKED = Parked(WORKER, TASK, SPEC, "hash")
SUCCESS = TryOutcome(OutcomeKind.SUCCESS)
QUERY = XComQuery("example", "run", ("extract",), "return_value")
HELD = Renewal.HELD
REFUSED = Refused(RefusalReason.NOT_QUEUED, "running")


def claim(**changes: Any) -> Claim:
    facts: dict[str, Any] = {
        "id": 7,
        "key": KEY,
        "token": 3,
        "max_tries": 2,
        "lost_tries": 0,
        "logical_date": DAY,
        "data_interval": DataInterval(DAY, DAY + timedelta(days=1)),
        "run_type": "backfill",
        "run_conf": {},
        "disable_retry": False,
        "mark_success": False,
        "started_at": DAY,
    }
    return Claim(**{**facts, **changes})


def drive(answers: Sequence[Any]) -> list[Effect[Any]]:
    """The effects the loop asks for, given these answers in order; the last answer must end it."""
    loop = worker_loop(15.0)
    asked = [next(loop)]
    for answer in answers:
        try:
            asked.append(loop.send(answer))
        except StopIteration:
            assert answer is answers[-1], f"ended before the answers did, after {asked}"
            return asked
    raise AssertionError(f"still asks for {asked[-1]}")


def names(asked: Sequence[Effect[Any]]) -> list[str]:
    return [type(effect).__name__ for effect in asked]


def reported(asked: Sequence[Effect[Any]]) -> ReportOutcome:
    found = [effect for effect in asked if isinstance(effect, ReportOutcome)]
    assert len(found) == 1
    return found[0]


def test_nothing_to_do_ends_the_loop() -> None:
    assert names(drive([None])) == ["NextTry"]


def test_the_process_is_parked_then_claimed_then_started() -> None:
    asked = drive([SUBMISSION, PARKED, claim(), None, SUCCESS, Accepted("success"), None, None])
    assert asked[:6] == [
        NextTry(),
        ParkTask(SUBMISSION),
        asked[2],
        StartTask(claim(), SPEC, 15.0),
        AwaitTask(4.0),
        asked[5],
    ]
    request = asked[2]
    assert isinstance(request, ClaimTry)
    assert (request.request.worker, request.request.task) == (WORKER, TASK)
    assert (request.request.try_number, request.request.lease_seconds) == (1, 15.0)
    assert reported(asked).after.state is TaskInstanceState.SUCCESS
    assert asked[6:] == [NotifyExecutor(SUBMISSION), NextTry()]


def test_a_refused_claim_starts_nothing() -> None:
    asked = drive([SUBMISSION, PARKED, REFUSED, None, None, None])
    assert names(asked) == ["NextTry", "ParkTask", "ClaimTry", "DropTask", "NotifyExecutor", "NextTry"]


def test_without_a_process_nothing_is_claimed() -> None:
    assert names(drive([SUBMISSION, None, None, None])) == ["NextTry", "ParkTask", "NotifyExecutor", "NextTry"]


def test_mark_success_runs_no_user_code() -> None:
    asked = drive([SUBMISSION, PARKED, claim(mark_success=True), None, Accepted("success"), None, None])
    assert DropTask() in asked
    assert not any(isinstance(effect, StartTask | AwaitTask) for effect in asked)
    assert reported(asked).outcome.kind is OutcomeKind.SUCCESS


@pytest.mark.parametrize("marked", [False, True])
def test_what_is_marked_calls_nobody_back(marked: bool) -> None:
    parked = replace(PARKED, task_spec=replace(PARKED.task_spec, calls=("on_success_callback",)))
    ends = [None] if marked else [None, SUCCESS]
    asked = drive([SUBMISSION, parked, claim(mark_success=marked), *ends, Accepted("success"), None, None])
    assert reported(asked).after.event == ("" if marked else "on_success_callback")


def test_an_xcom_query_gets_its_reply_and_the_wait_goes_on() -> None:
    values = (("extract", -1, 5),)
    asked = drive([SUBMISSION, PARKED, claim(), None, QUERY, values, None, SUCCESS, Accepted("success"), None, None])
    middle = asked[4:8]
    assert middle == [AwaitTask(4.0), ReadXCom(QUERY), ReplyToTask(values), AwaitTask(4.0)]


def test_a_question_about_runs_gets_its_reply_and_the_wait_goes_on() -> None:
    query, reply = RecordsQuery(Wanted.RUN_COUNT, "example"), Counted(3)
    asked = drive([SUBMISSION, PARKED, claim(), None, query, reply, None, SUCCESS, Accepted("success"), None, None])
    assert asked[4:8] == [AwaitTask(4.0), ReadRecords(query), ReplyToTask(reply), AwaitTask(4.0)]


def test_the_lease_is_renewed_each_time_the_wait_is_over() -> None:
    still = StillRunning()
    asked = drive(
        [SUBMISSION, PARKED, claim(), None, still, HELD, still, HELD, SUCCESS, Accepted("success"), None, None]
    )
    assert [effect for effect in asked if isinstance(effect, RenewLease)] == [RenewLease(claim(), 15.0)] * 2


def test_a_try_that_must_stop_is_ended_gently_and_keeps_its_lease_until_it_has() -> None:
    stopping, still = Renewal.STOPPING, StillRunning()
    stopped = TryOutcome(OutcomeKind.LOST, "stopped")
    answers = [still, HELD, still, stopping, None, still, stopping, QUERY, (), None, stopped]
    asked = drive([SUBMISSION, PARKED, claim(), None, *answers, Accepted("none"), None, None])
    assert names(asked)[4:-2] == [
        *("AwaitTask", "RenewLease", "AwaitTask", "RenewLease", "StopTask"),
        *("AwaitTask", "RenewLease", "AwaitTask", "ReadXCom", "ReplyToTask", "AwaitTask", "ReportOutcome"),
    ]
    assert reported(asked).outcome == stopped


def test_a_try_that_is_lost_while_it_stops_is_killed() -> None:
    still = StillRunning()
    answers = [still, Renewal.STOPPING, None, still, Renewal.GONE, None, REFUSED]
    asked = drive([SUBMISSION, PARKED, claim(), None, *answers, None, None])
    assert names(asked)[5:10] == ["RenewLease", "StopTask", "AwaitTask", "RenewLease", "KillTask"]


def test_what_a_process_waits_for_at_its_end_goes_with_the_renewal() -> None:
    asked = drive(
        [SUBMISSION, PARKED, claim(), None, StillRunning("waiting"), HELD, SUCCESS, Accepted("success"), None, None]
    )
    assert RenewLease(claim(), 15.0, "waiting") in asked


def test_a_lease_that_cannot_be_renewed_kills_the_task_before_anything_is_reported() -> None:
    asked = drive([SUBMISSION, PARKED, claim(), None, StillRunning(), Renewal.GONE, None, REFUSED, None, None])
    assert names(asked)[5:8] == ["RenewLease", "KillTask", "ReportOutcome"]
    assert asked[6] == KillTask()
    assert reported(asked).outcome.kind is OutcomeKind.LOST


@pytest.mark.parametrize(
    ("kind", "changes", "state"),
    [
        (OutcomeKind.FAILED, {}, TaskInstanceState.UP_FOR_RETRY),
        (OutcomeKind.FAILED, {"disable_retry": True}, TaskInstanceState.FAILED),
        (OutcomeKind.FAILED, {"max_tries": 1}, TaskInstanceState.FAILED),
        (OutcomeKind.FAILED_FOR_GOOD, {}, TaskInstanceState.FAILED),
        (OutcomeKind.SKIPPED, {}, TaskInstanceState.SKIPPED),
        (OutcomeKind.LOST, {"max_tries": 1}, TaskInstanceState.UP_FOR_RETRY),
        (OutcomeKind.LOST, {"lost_tries": 2}, TaskInstanceState.FAILED),
    ],
)
def test_what_becomes_of_the_task_instance(
    kind: OutcomeKind, changes: dict[str, Any], state: TaskInstanceState
) -> None:
    outcome = TryOutcome(kind, "it broke")
    asked = drive([SUBMISSION, PARKED, claim(**changes), None, outcome, Accepted("any"), None, None])
    report = reported(asked)
    assert (report.outcome, report.after.state) == (outcome, state)
    assert report.claim == claim(**changes)


UNSTORABLE = Unstorable("a value cannot be stored: NUL\0")


def reports(asked: Sequence[Effect[Any]]) -> list[ReportOutcome]:
    return [effect for effect in asked if isinstance(effect, ReportOutcome)]


@pytest.mark.parametrize(
    ("changes", "state"), [({}, TaskInstanceState.UP_FOR_RETRY), ({"max_tries": 1}, TaskInstanceState.FAILED)]
)
def test_an_outcome_that_cannot_be_stored_is_a_failed_try(changes: dict[str, Any], state: TaskInstanceState) -> None:
    """Not a lost one: that would run the code again at nobody's cost."""
    won = claim(**changes)
    asked = drive([SUBMISSION, PARKED, won, None, SUCCESS, UNSTORABLE, Accepted("any"), None, None])
    first, second = reports(asked)
    assert first.outcome == SUCCESS
    assert second.outcome == TryOutcome(
        OutcomeKind.FAILED, "its outcome cannot be stored: a value cannot be stored: NUL\\x00"
    )
    assert (second.claim, second.after.state) == (won, state)
    assert names(asked)[-2:] == ["NotifyExecutor", "NextTry"]


def test_a_store_that_cannot_hold_even_a_plain_failure_is_our_bug() -> None:
    with pytest.raises(InternalError, match="not even a failure of it can be stored"):
        drive([SUBMISSION, PARKED, claim(), None, SUCCESS, UNSTORABLE, UNSTORABLE])


@pytest.mark.parametrize(
    ("spec", "followed", "kind"),
    [
        (SPEC, ("extract",), OutcomeKind.FAILED),
        (SPEC, (), OutcomeKind.FAILED),
        (TaskSpec("load", decides=BranchKind.BRANCH, downstream=("a", "b")), ("a", "nowhere"), OutcomeKind.FAILED),
        (TaskSpec("load", decides=BranchKind.BRANCH, downstream=("a", "b")), ("a",), OutcomeKind.SUCCESS),
        (TaskSpec("load", decides=BranchKind.BRANCH, downstream=("a", "b")), (), OutcomeKind.SUCCESS),
        (TaskSpec("load", decides=BranchKind.SHORT_CIRCUIT, downstream=("a",)), None, OutcomeKind.SUCCESS),
    ],
)
def test_a_task_decides_over_those_below_it_alone(
    spec: TaskSpec, followed: tuple[str, ...] | None, kind: OutcomeKind
) -> None:
    parked, outcome = Parked(WORKER, TASK, spec, "hash"), TryOutcome(OutcomeKind.SUCCESS, followed=followed)
    asked = drive([SUBMISSION, parked, claim(), None, outcome, Accepted("any"), None, None])
    assert reported(asked).outcome.kind is kind


def test_a_run_whose_conf_cannot_be_read_fails_its_tries_and_starts_nothing() -> None:
    asked = drive([SUBMISSION, PARKED, claim(run_conf=None), None, Accepted("any"), None, None])
    assert DropTask() in asked
    assert not any(isinstance(effect, StartTask | AwaitTask) for effect in asked)
    assert reported(asked).outcome == TryOutcome(
        OutcomeKind.FAILED_FOR_GOOD, "what is stored as the conf of its run is no JSON object"
    )


def test_a_query_that_cannot_be_served_gets_a_reply_all_the_same() -> None:
    no = Unreadable("too much")
    asked = drive([SUBMISSION, PARKED, claim(), None, QUERY, no, None, SUCCESS, Accepted("success"), None, None])
    assert ReplyToTask(no) in asked


def test_a_refused_report_is_no_reason_to_stop_working() -> None:
    first = [SUBMISSION, PARKED, claim(), None, SUCCESS, Refused(RefusalReason.STALE_TOKEN, "token 4"), None]
    second = [SUBMISSION, PARKED, REFUSED, None, None, None]
    assert names(drive(first + second)).count("ParkTask") == 2
