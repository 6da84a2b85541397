"""A try is claimed and reported: once, unless it gives its slot back. What an outcome leads to is decided elsewhere.

Every statement names the try: its row, state, try number and, once claimed, its token. With the state alone, a stale
worker could finish somebody else's try.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import convert, to_builtins
from msgspec.structs import replace
from sqlalchemy import bindparam, select, text

from tailrace.effects.requests import Accepted
from tailrace.effects.tries import Claim, ClaimRequest, PastRun, RefusalReason, Refused, TryOutcome
from tailrace.metastore.db.columns import to_json
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rescheduled import rescheduled_text, times_in
from tailrace.metastore.plans.rows import STATES, conf_from, holder_text
from tailrace.metastore.writes.records import Author, History, insert_history, record, recorded
from tailrace.metastore.writes.task_instances import (
    StateChange,
    delete_xcoms,
    end_claimed_try,
    refuse_result,
    take_claim,
)
from tailrace.metastore.writes.xcoms import drop_xcoms, insert_xcoms, xcom_rows, xcoms_left
from tailrace.model.chains import Chain, moment_cell, text_digest
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause
from tailrace.planning.retries import AfterTry
from tailrace.planning.run_stops import STOPPED

succeeded = dag_run.alias("succeeded")
_earlier = dag_run.alias("earlier")

#: The row of the newest run before one that succeeded, joined to it as ``succeeded``.
NEWEST_SUCCESS = (
    select(_earlier.c.id)
    .where(
        _earlier.c.dag_id == dag_run.c.dag_id,
        _earlier.c.logical_date < dag_run.c.logical_date,
        text(f"earlier.state = '{DagRunState.SUCCESS}'"),  # literal: the partial index is used only so
    )
    .order_by(_earlier.c.logical_date.desc())
    .limit(1)
    .correlate(dag_run)
    .scalar_subquery()
)

#: What a context has of it, by these names.
OF_NEWEST_SUCCESS = (
    succeeded.c.interval_start.label("success_start"),
    succeeded.c.interval_end.label("success_end"),
    succeeded.c.started_at.label("success_began"),
    succeeded.c.ended_at.label("success_ended"),
)

#: The run is locked against being ended or cancelled meanwhile; any number of claims may share that lock.
_RUN_OF_TRY = (
    select(
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.state.label("task_instance_state"),
        task_instance.c.try_number,
        task_instance.c.token,
        task_instance.c.cause,
        task_instance.c.started_at.label("try_began"),
        task_instance.c.rescheduled,
        task_instance.c.chain_head,
        task_instance.c.chain_length,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        dag_run.c.state,
        dag_run.c.logical_date,
        dag_run.c.interval_start,
        dag_run.c.interval_end,
        dag_run.c.run_type,
        dag_run.c.started_at,
        dag_run.c.conf,
        dag_run.c.disable_retry,
        dag_run.c.mark_success,
        *OF_NEWEST_SUCCESS,
    )
    .select_from(
        task_instance.join(dag_run, dag_run.c.id == task_instance.c.dag_run_id).outerjoin(
            succeeded, succeeded.c.id == NEWEST_SUCCESS
        )
    )
    .where(task_instance.c.id == bindparam("task_instance"))
    .with_for_update(read=True, of=dag_run)
)

_FOUND = (
    select(
        task_instance.c.state,
        task_instance.c.try_number,
        task_instance.c.token,
        task_instance.c.stopping_to,
        task_instance.c.cause,
        task_instance.c.reason,
        task_instance.c.max_tries,
        task_instance.c.lost_tries,
        task_instance.c.started_at.label("try_began"),
        task_instance.c.rescheduled,
        task_instance.c.chain_head,
        task_instance.c.chain_length,
        task_instance.c.refused_head,
        task_instance.c.refused_length,
    )
    .where(task_instance.c.id == bindparam("task_instance"))
    .with_for_update(key_share=True)
)


def claim_try(tx: Transaction, request: ClaimRequest, write_id: str) -> dict[str, Any]:
    """queued → running for one worker, once each time that it is queued.

    The result is recorded under ``write_id`` (see ``claimed_from``). A refusal writes nothing, so it must not be
    returned to the repetition of a claim that landed: the worker would drop a try that is its own (found by the
    simulator, seed 4 with a lost acknowledgement).
    """
    result = _claim_or_refusal(tx, request, write_id)
    if "refused" in result:
        landed = recorded(tx, write_id)
        return result if landed is None else dict(landed[0])
    return result


def _claim_or_refusal(tx: Transaction, request: ClaimRequest, write_id: str) -> dict[str, Any]:
    row = tx.row(_RUN_OF_TRY, {"task_instance": request.id})
    if row is None:
        return _refusal(RefusalReason.GONE, "no such task instance")
    key = TaskInstanceKey(row.dag_id, row.run_id, row.task_id, row.map_index)
    if row.state != DagRunState.RUNNING:
        return _refusal(RefusalReason.RUN_NOT_RUNNING, f"{key}: expected its run running, found it {row.state}")
    now, history = tx.moment, History()
    author = Author(now.wall, write_id, Actor.WORKER)
    queued_as = row
    won = _won(tx, author, request, key, row, history)
    if won is None:
        queued_as = found = tx.row(_FOUND, {"task_instance": request.id})
        as_asked = found.state == TaskInstanceState.QUEUED and found.try_number == request.try_number
        if as_asked:  # what was read of it before was older than that it was queued
            won = _won(tx, author, request, key, found, history)
        if won is None:
            queued = found.state == TaskInstanceState.QUEUED and not as_asked
            reason = RefusalReason.OTHER_TRY if queued else RefusalReason.NOT_QUEUED
            expected = f"expected queued try {request.try_number}"
            return _refusal(reason, f"{key}: {expected}, found {found.state} try {found.try_number}")
    (token, max_tries, lost_tries), chain = won
    goes_on = _began(queued_as)
    if token > 1 and goes_on is None:  # an earlier try may have left some
        delete_xcoms(tx, request.id)
    insert_history(tx, history)
    claim = Claim(
        id=request.id,
        key=TryKey(key, request.try_number),
        token=token,
        max_tries=max_tries,
        lost_tries=lost_tries,
        logical_date=row.logical_date,
        data_interval=DataInterval(row.interval_start, row.interval_end),
        run_type=row.run_type,
        run_conf=None,
        disable_retry=row.disable_retry,
        mark_success=row.mark_success,
        started_at=goes_on or now.wall,
        run_started_at=row.started_at,
        previous_success=past_run(row),
        chain=chain,
        claimed_at=None if goes_on is None else now.wall,
        reschedules=0 if goes_on is None else times_in(queued_as.rescheduled, request.try_number),
    )
    # The conf goes along as it is stored: what is wrong with it must not keep the claim from landing.
    result = {"claim": to_builtins(claim), "conf": row.conf}
    record(tx, write_id, result)
    return result


def past_run(row: Any) -> PastRun | None:
    """The newest earlier run that succeeded, from a row with its columns; None: there is none."""
    if row.success_start is None:
        return None
    return PastRun(DataInterval(row.success_start, row.success_end), row.success_began, row.success_ended)


def _won(
    tx: Transaction, author: Author, request: ClaimRequest, key: TaskInstanceKey, found: Any, history: History
) -> tuple[Any, Chain] | None:
    """The row of the try that was claimed, if it is as ``found`` says."""
    now, worker = tx.moment, request.worker
    holder = {
        "to_holder": holder_text(worker, request.task),
        "to_code_hash": request.code_hash,
        "to_lease_until": now.lease + request.lease_seconds,
        "to_lease_epoch": now.epoch,
        "to_lease_seconds": request.lease_seconds,
    }
    change = StateChange(
        request.id,
        key,
        TaskInstanceState.QUEUED,
        TaskInstanceState.RUNNING,
        Cause.CLAIMED,
        f"worker {worker.pid} on {worker.host}",
        request.try_number,
        0,
        0,
        token=next_token(found.token, resumes=_began(found) is not None),
        started_at=_began(found),
        chain=Chain(found.chain_head, found.chain_length),
    )
    return take_claim(tx, author, change, holder, history)


def next_token(newest: int, *, resumes: bool) -> int:
    """The token of a new claim: larger than that of each before it, of one that ``resumes`` its try too."""
    return newest + 1


def _began(found: Any) -> datetime | None:
    """When the queued try began, if it goes on; None: this is its first claim."""
    began: datetime | None = found.try_began
    return began if found.cause == Cause.RESUMED else None


def claimed_from(result: dict[str, Any]) -> Claim | Refused:
    """The result of a claim, from its record."""
    if "refused" in result:
        return Refused(RefusalReason(result["refused"]), result["found"])
    return replace(convert(result["claim"], Claim), run_conf=conf_from(result["conf"]))


def report_outcome(
    tx: Transaction, claim: Claim, outcome: TryOutcome, after: AfterTry, write_id: str
) -> dict[str, Any]:
    """End the try as ``after`` says, XComs included; or, while it is stopping, as the person who stopped it intended.

    A late result changes nothing and is recorded in history as refused.
    """
    author, history = Author(tx.moment.wall, write_id, Actor.WORKER), History()
    change = _change(author, claim, TaskInstanceState.RUNNING, after, outcome)
    xcoms, by_run = xcom_rows(tx, claim.id, outcome.xcoms), False
    earlier = xcoms_left(tx, claim.id) if claim.reschedules and xcoms else {}
    if not _ended(tx, author, change, xcoms, earlier, history):
        found = tx.row(_FOUND, {"task_instance": claim.id})
        if found is not None:
            claim = replace(claim, chain=Chain(found.chain_head, found.chain_length))
        stopped = _as_intended(found, claim)
        if stopped is not None:
            by_run = found.cause in STOPPED
            change, xcoms = _change(author, claim, TaskInstanceState.STOPPING, stopped, None), []
        elif found is not None:  # while it runs, its history may have gone on without it
            change = replace(change, chain=claim.chain)
        if not _ended(tx, author, change, xcoms, earlier, history):
            return _refuse_late(tx, author, claim, found, change)
    insert_history(tx, history)
    result = {"accepted": change.after.value}
    if by_run:
        result["stopped"] = change.reason
    record(tx, write_id, result)
    return result


def _ended(
    tx: Transaction,
    author: Author,
    change: StateChange,
    xcoms: list[dict[str, Any]],
    earlier: Mapping[str, Any],
    history: History,
) -> bool:
    """End the claim, what it leaves included; False if it is not as the change says.

    ``earlier``: what claims before it have left in the same try, as history says it.
    """
    left = {row["key"]: [text_digest(row["value"]), moment_cell(row["at"])] for row in xcoms}
    if not end_claimed_try(tx, author, change, history, {**earlier, **left} if left else left):
        return False
    again = sorted(left.keys() & earlier.keys())
    if again:
        drop_xcoms(tx, change.id, again)
    insert_xcoms(tx, xcoms)
    return True


def reported_from(result: dict[str, Any]) -> Accepted | Refused:
    """The result of a report, from its record."""
    if "refused" in result:
        return Refused(RefusalReason(result["refused"]), result["found"])
    return Accepted(result["accepted"], result.get("stopped", ""))


def _change(
    author: Author, claim: Claim, before: TaskInstanceState, after: AfterTry, outcome: TryOutcome | None
) -> StateChange:
    followed = None if outcome is None or outcome.followed is None else list(outcome.followed)
    return StateChange(
        claim.id,
        claim.task_instance,
        before,
        after.state,
        after.cause,
        after.reason,
        claim.key.try_number,
        after.max_tries,
        after.lost_tries,
        token=claim.token,
        retry_at=after.resumes_at if after.retry_delay is None else author.at + after.retry_delay,
        rescheduled=_rescheduled(claim, after, outcome),
        followed=None if followed is None else to_json(followed),
        rendered_map_index=None if outcome is None else outcome.rendered_map_index,
        evidence=_evidence(followed, outcome),
        chain=claim.chain,
        event=after.event,
    )


def _evidence(followed: list[str] | None, outcome: TryOutcome | None) -> dict[str, Any] | None:
    """What history says of an outcome beside its state."""
    if outcome is not None and outcome.awaits is not None:
        return {"awaits": to_builtins(outcome.awaits)}
    return None if followed is None else {"followed": followed}


def _rescheduled(claim: Claim, after: AfterTry, outcome: TryOutcome | None) -> str | None:
    if after.state is not TaskInstanceState.UP_FOR_RESCHEDULE or outcome is None:
        return None
    return rescheduled_text(claim.key.try_number, claim.reschedules + 1, outcome.times_out_at, outcome.awaits)


def _as_intended(found: Any, claim: Claim) -> AfterTry | None:
    """What a stopping try of this claim becomes: what whoever stopped it wanted, whatever its process still did."""
    if found is None or found.state != TaskInstanceState.STOPPING:
        return None
    if found.try_number != claim.key.try_number or found.token != claim.token:
        return None
    intent = STATES[found.stopping_to or TaskInstanceState.NONE.value]
    reason = found.reason if found.cause in STOPPED else "stopped as asked"
    return AfterTry(intent, Cause.OUTCOME, reason, found.max_tries, found.lost_tries)


def _refuse_late(tx: Transaction, author: Author, claim: Claim, found: Any, change: StateChange) -> dict[str, Any]:
    expected = f"expected running with token {claim.token}"
    if found is None:
        refused = _refusal(RefusalReason.GONE, f"{claim.key}: {expected}, found no such task instance")
        record(tx, author.write_id, refused)
        return refused
    other = found.try_number != claim.key.try_number
    reason = f"{claim.key}: {expected}, found {found.state} try {found.try_number} with token {found.token}"
    refused = _refusal(RefusalReason.OTHER_TRY if other else RefusalReason.STALE_TOKEN, reason)
    before = Chain(found.refused_head, found.refused_length)
    late, history = (
        replace(change, before=STATES[found.state], reason=reason, evidence=None, chain=before, event=""),
        History(),
    )
    refuse_result(tx, author, late, history)
    insert_history(tx, history)
    record(tx, author.write_id, refused)
    return refused


def _refusal(reason: RefusalReason, found: str) -> dict[str, Any]:
    return {"refused": reason.value, "found": found}
