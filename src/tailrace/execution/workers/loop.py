"""The worker loop: take a try, claim it, see its process through, report. Pure: it yields effects and knows no clock.

The simulator drives this same generator. The order is the safety: the process is parked, then the claim (with the
process's identity in it) is confirmed, and only then does user code start.
"""

from collections.abc import Generator
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tailrace.effects.requests import (
    Accepted,
    AwaitTask,
    ClaimTry,
    DropTask,
    Effect,
    KillTask,
    Loop,
    NextTry,
    NotifyExecutor,
    Parked,
    ParkTask,
    ReadRecords,
    ReadXCom,
    RenewLease,
    ReplyToTask,
    ReportOutcome,
    ResolveSecret,
    StartTask,
    StillRunning,
    StopTask,
    ask,
)
from tailrace.effects.tries import (
    Claim,
    ClaimRequest,
    FailedTry,
    Refused,
    Renewal,
    Submission,
    TaskReply,
    TaskRequest,
    TryOutcome,
    Unstorable,
    XComQuery,
)
from tailrace.errors import InternalError
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.plain_text import visible_line
from tailrace.model.recorded import RecordsQuery
from tailrace.model.spec import BranchKind, TaskSpec
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.retries import AfterTry, after_try

RENEWALS_PER_LEASE = 3

#: What a try that did not succeed leaves its task instance in.
BAD_ENDS = (TaskInstanceState.FAILED, TaskInstanceState.UP_FOR_RETRY)

#: Longest pause between two renewals, in seconds: a renewal is also how a worker learns that its try must stop.
LONGEST_PAUSE = 4.0


def worker_loop(lease_seconds: float) -> Loop[None]:
    """Serve tries until no more come."""
    while True:
        submission = yield from ask(NextTry())
        if submission is None:
            return
        failed = yield from _serve(submission, lease_seconds)
        yield from ask(NotifyExecutor(submission, failed))


def _serve(submission: Submission, lease_seconds: float) -> Loop[FailedTry | None]:
    """One try from its process to its report; returns how it failed, if it did and that was recorded."""
    parked = yield from ask(ParkTask(submission))
    if parked is None:
        return None  # nothing was claimed: the try stays queued and is offered again
    claim = yield from ask(
        ClaimTry(
            ClaimRequest(
                submission.id,
                submission.key.try_number,
                parked.worker,
                parked.task,
                parked.code_hash,
                lease_seconds,
            )
        )
    )
    if isinstance(claim, Refused):
        yield from ask(DropTask())  # somebody else has this try, or a person took it back
        return None
    outcome: TryOutcome | None
    if claim.mark_success:
        yield from ask(DropTask())
        outcome = TryOutcome(OutcomeKind.SUCCESS, "marked as success without running")
    elif claim.run_conf is None:
        yield from ask(DropTask())
        outcome = TryOutcome(OutcomeKind.FAILED_FOR_GOOD, "what is stored as the conf of its run is no JSON object")
    else:
        yield from ask(StartTask(claim, parked.task_spec, lease_seconds))
        outcome = yield from _see_through(claim, lease_seconds)
    if outcome is None:
        return None
    return (yield from _report(claim, parked, outcome))


def _see_through(claim: Claim, lease_seconds: float) -> Generator[Effect[Any], Any, TryOutcome | None]:
    """Wait for the outcome, renewing the lease and replying to what it asks for. None: the try is no longer ours.

    A try that a person wants ended keeps its lease until nothing of it runs: only then may another follow.
    """
    pause = min(lease_seconds / RENEWALS_PER_LEASE, LONGEST_PAUSE)
    stopping = False
    while True:
        event = yield from ask(AwaitTask(pause))
        if isinstance(event, TryOutcome):
            return event
        if not isinstance(event, StillRunning):
            yield from reply(claim, event)
        else:
            renewal = yield from ask(RenewLease(claim, lease_seconds, event.waiting))
            if renewal is Renewal.GONE:
                yield from ask(KillTask())
                return TryOutcome(OutcomeKind.LOST, "the try was taken back while it ran; its process was killed")
            if renewal is not Renewal.HELD and not stopping:
                stopping = True
                yield from ask(StopTask(with_run=renewal is Renewal.RUN_STOPPED))


def reply(claim: Claim, request: TaskRequest) -> Generator[Effect[Any], Any, None]:
    """Reply to what the process of this try asks for."""
    if isinstance(request, XComQuery):
        replied: TaskReply = yield from ask(ReadXCom(request))
    elif isinstance(request, RecordsQuery):
        replied = yield from ask(ReadRecords(request))
    else:
        replied = yield from ask(ResolveSecret(claim, request))
    yield from ask(ReplyToTask(replied))


def _report(claim: Claim, parked: Parked, outcome: TryOutcome) -> Loop[FailedTry | None]:
    """Report the outcome. One that cannot be, for what its task has put into it, is a failure with that reason."""
    outcome = _believable(outcome, parked.task_spec)
    after = _after(claim, parked, outcome)
    landed = yield from ask(ReportOutcome(claim, outcome, after))
    if isinstance(landed, Unstorable):
        failed = TryOutcome(OutcomeKind.FAILED, visible_line(f"its outcome cannot be stored: {landed.why}"))
        after = _after(claim, parked, failed)
        landed = yield from ask(ReportOutcome(claim, failed, after))
        if isinstance(landed, Unstorable):
            raise InternalError(f"{claim.key}: not even a failure of it can be stored: {landed.why}")
    return _failed(claim, after, landed)


def _failed(claim: Claim, after: AfterTry, reply: Accepted | Refused) -> FailedTry | None:
    """What is reported of a try that failed; what was refused is reported by whoever ended that try."""
    if isinstance(reply, Refused) or reply.state not in BAD_ENDS:
        return None
    state = TaskInstanceState(reply.state)
    delay = after.retry_delay if after.retry_delay is not None and state is after.state else timedelta(0)
    lost = after.cause in (Cause.LOST, Cause.LOST_TOGETHER)
    if reply.stopped:
        return FailedTry(claim.key, state, False, reply.stopped, claim.max_tries, 0.0)
    return FailedTry(claim.key, state, lost, after.reason, after.max_tries, delay.total_seconds())


def _believable(outcome: TryOutcome, task: TaskSpec) -> TryOutcome:
    """A task decides over those below it alone, and only one that was written to decide."""
    followed = outcome.followed
    if followed is None or (task.decides is not BranchKind.NOTHING and set(followed) <= set(task.downstream)):
        return outcome
    return TryOutcome(OutcomeKind.FAILED, "its process reported that it follows tasks that are not below it")


def _after(claim: Claim, parked: Parked, outcome: TryOutcome) -> AfterTry:
    after = after_try(
        parked.task_spec,
        claim.key,
        outcome.kind,
        outcome.error,
        max_tries=claim.max_tries,
        lost_tries=claim.lost_tries,
        disable_retry=claim.disable_retry,
        rule=outcome.rule,
        resumes_at=outcome.resumes_at,
        awaits=outcome.awaits is not None,
    )
    # A person has said that it succeeded: nothing was run.
    return replace(after, event="") if claim.mark_success and after.event else after
