"""Events of which callbacks are to be called: claimed under a lease by one process at a time, and ended by its token.

At least once each: whoever claims one may be gone before it says what came of it, and then it is another's. What an
event is of is history; here nothing of a task instance, a run or a backfill is written.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec import convert, to_builtins
from msgspec.structs import replace
from sqlalchemy import bindparam, case, exists, func, literal, null, or_, select, text, update

from tailrace.effects.events import CallbackEvent, EventClaim, EventEnd, OutboxLeft, Uncallable
from tailrace.effects.tries import Claim, Renewal
from tailrace.metastore.db.tables import backfill_run, dag, dag_run, dag_version, outbox, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rows import conf_from
from tailrace.metastore.tries.claims import NEWEST_SUCCESS, OF_NEWEST_SUCCESS, past_run, succeeded
from tailrace.metastore.writes.records import record, recorded
from tailrace.model.callbacks import MOST_CLAIMS, EventState
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import UNMAPPED, TaskInstanceKey, TryKey
from tailrace.model.states import DagRunState, TaskInstanceState

_IS_WAITING = text(f"outbox.status = '{EventState.WAITING}'")  # literal: the partial index is used only so
_OF_DAGS = outbox.c.dag_id.in_(bindparam("dags", expanding=True))

#: So many are looked at for one that nobody has: more than all jobs call at a time.
_MOST_LOOKED_AT = 200

_COUNT = select(func.count()).where(_IS_WAITING, _OF_DAGS)
_DAGS = select(outbox.c.dag_id).where(_IS_WAITING).distinct()
_WAITING = select(outbox).where(_IS_WAITING, _OF_DAGS).order_by(outbox.c.id).limit(_MOST_LOOKED_AT)
_LOCK = select(outbox).where(outbox.c.id == bindparam("event")).with_for_update()
_CLAIM = (
    update(outbox)
    .where(outbox.c.id == bindparam("event"))
    .values(
        token=bindparam("to_token"),
        holder=bindparam("to_holder"),
        lease_until=bindparam("until"),
        lease_epoch=bindparam("epoch"),
        lease_seconds=bindparam("seconds"),
    )
)
_HELD = (
    outbox.c.id == bindparam("event"),
    outbox.c.status == EventState.WAITING,
    outbox.c.token == bindparam("held"),
)
_RENEW = (
    update(outbox)
    .where(
        *_HELD,
        outbox.c.lease_epoch == bindparam("epoch"),
        or_(
            outbox.c.lease_until > bindparam("now"),
            outbox.c.lease_seconds + bindparam("grace_from") > bindparam("now"),
        ),
    )
    .values(lease_until=bindparam("until"), lease_epoch=bindparam("epoch"), lease_seconds=bindparam("seconds"))
)
_END = (
    update(outbox)
    .where(*_HELD)
    .values(
        status=bindparam("to_status"),
        error=bindparam("to_error"),
        ended_at=bindparam("to_ended_at"),
        holder=case((bindparam("gives_back") == 1, ""), else_=outbox.c.holder),
        lease_until=None,
        lease_epoch=None,
        lease_seconds=None,
    )
)

_FACTS = (
    task_instance.c.id,
    task_instance.c.task_id,
    task_instance.c.map_index,
    task_instance.c.try_number,
    task_instance.c.token,
    task_instance.c.max_tries,
    task_instance.c.lost_tries,
    task_instance.c.started_at,
    task_instance.c.state,
    dag_run.c.dag_id,
    dag_run.c.run_id,
    dag_run.c.logical_date,
    dag_run.c.interval_start,
    dag_run.c.interval_end,
    dag_run.c.run_type,
    dag_run.c.started_at.label("run_began"),
    dag_run.c.conf,
    dag_run.c.disable_retry,
    dag_run.c.mark_success,
    *OF_NEWEST_SUCCESS,
)
_JOINED = task_instance.join(dag_run, dag_run.c.id == task_instance.c.dag_run_id).outerjoin(
    succeeded, succeeded.c.id == NEWEST_SUCCESS
)
_OF_TASK_INSTANCE = select(*_FACTS).select_from(_JOINED).where(task_instance.c.id == bindparam("row"))

#: Of a run: what failed first; else what ended last. Of a backfill: the same of its run that failed first, or its last.
_FAILED_FIRST = case((task_instance.c.state == TaskInstanceState.FAILED, 0), else_=1)
_WHEN = case(
    (task_instance.c.state == TaskInstanceState.FAILED, func.coalesce(task_instance.c.ended_at, dag_run.c.created_at)),
)
_OF_RUN = (
    select(*_FACTS)
    .select_from(_JOINED)
    .where(dag_run.c.id == bindparam("row"))
    .order_by(
        _FAILED_FIRST, _WHEN, task_instance.c.ended_at.is_(None), task_instance.c.ended_at.desc(), task_instance.c.id
    )
    .limit(1)
)
#: Of a run that has no task instances yet, since it waits behind others: of a task that has not begun.
_NONE_YET: Mapping[str, Any] = {
    "id": 0,
    "map_index": UNMAPPED,
    "try_number": 0,
    "token": 0,
    "max_tries": 1,
    "lost_tries": 0,
}
_OF_WAITING_RUN = (
    select(
        dag_version.c.spec,
        null().label("task_id"),
        *(literal(value).label(name) for name, value in _NONE_YET.items()),
        null().label("started_at"),
        null().label("state"),
        *(each for each in _FACTS if getattr(each, "table", None) is not task_instance),
    )
    .select_from(
        dag_run.join(dag, dag.c.dag_id == dag_run.c.dag_id)
        .join(dag_version, dag_version.c.id == dag.c.dag_version_id)
        .outerjoin(succeeded, succeeded.c.id == NEWEST_SUCCESS)
    )
    .where(dag_run.c.id == bindparam("row"))
)
_RUN_OF_BACKFILL = (
    select(backfill_run.c.dag_run_id)
    .where(backfill_run.c.backfill_id == bindparam("row"))
    .where(exists().where(task_instance.c.dag_run_id == backfill_run.c.dag_run_id))
    .order_by(case((backfill_run.c.run_state == DagRunState.SUCCESS, 1), else_=0), backfill_run.c.ordinal.desc())
    .limit(1)
)


def events_left(tx: Transaction, dags: Collection[str]) -> OutboxLeft:
    """How many events of these DAGs wait for their callbacks, those that are being called included."""
    return OutboxLeft(int(tx.value(_COUNT, {"dags": sorted(dags)})), tx.moment.wall)


def waiting_dags(tx: Transaction, dags: Collection[str]) -> list[str]:
    """Of which of these DAGs events wait that nobody calls for."""
    waiting = sorted(set(tx.column(_DAGS)).intersection(dags))
    rows = tx.rows(_WAITING, {"dags": waiting}) if waiting else ()
    return sorted({row.dag_id for row in rows if _is_free(tx, row)})


def claim_event(
    tx: Transaction, dags: Collection[str], holder: str, lease_seconds: float, write_id: str
) -> dict[str, Any]:
    """Claim the oldest event of these DAGs that nobody has; recorded under ``write_id`` (see ``event_from``)."""
    landed = recorded(tx, write_id)
    if landed is not None:
        return dict(landed[0])
    for seen in tx.rows(_WAITING, {"dags": sorted(dags)}):
        if not _is_free(tx, seen):
            continue
        row = tx.row(_LOCK, {"event": seen.id})
        if row is None or row.status != EventState.WAITING or not _is_free(tx, row):
            continue  # another was faster
        result = _claimed(tx, row, holder, lease_seconds)
        record(tx, write_id, result)
        return result
    return {}


def event_from(result: dict[str, Any]) -> EventClaim | Uncallable | None:
    """The result of a claim, from its record."""
    if "claim" in result:
        claim = convert(result["claim"], EventClaim)
        return replace(claim, try_of=replace(claim.try_of, run_conf=conf_from(result["conf"])))
    return convert(result["uncallable"], Uncallable) if "uncallable" in result else None


def renew_event(tx: Transaction, claim: EventClaim, lease_seconds: float) -> Renewal:
    """Renew the lease, unless the event is another's by now."""
    now = tx.moment
    values = {
        "event": claim.event.id,
        "held": claim.token,
        "until": now.lease + lease_seconds,
        "epoch": now.epoch,
        "seconds": lease_seconds,
        "now": now.lease,
        "grace_from": -math.inf if now.grace_from is None else now.grace_from,
    }
    return Renewal.HELD if tx.change(_RENEW, values) else Renewal.GONE


def end_event(tx: Transaction, claim: EventClaim, end: EventEnd) -> bool:
    """Write what came of it. False: it is another's by now, who calls once more."""
    return _end(tx, claim.event.id, claim.token, end)


def _end(tx: Transaction, id: int, token: int, end: EventEnd) -> bool:
    waits = end.state is EventState.WAITING
    values = {
        "event": id,
        "held": token,
        "to_status": end.state,
        "to_error": end.error,
        "to_ended_at": None if waits else tx.moment.wall,
        "gives_back": int(waits),
    }
    return tx.change(_END, values) == 1


def _is_free(tx: Transaction, row: Any) -> bool:
    return row.lease_until is None or tx.moment.expired(row.lease_until, row.lease_epoch, row.lease_seconds)


def _claimed(tx: Transaction, row: Any, holder: str, lease_seconds: float) -> dict[str, Any]:
    now, token = tx.moment, row.token + 1
    values = {"until": now.lease + lease_seconds, "epoch": now.epoch, "seconds": lease_seconds}
    tx.change(_CLAIM, {"event": row.id, "to_token": token, "to_holder": holder, **values})
    event = CallbackEvent(
        row.id, row.event_id, row.callback, row.kind, row.after, row.reason, row.at, backfill_id=row.backfill_id
    )
    facts = _facts(tx, row)
    why = ""
    if facts is None:
        why = "what it is about is not in the metastore any more"
    elif token > MOST_CLAIMS:
        why = f"whoever called them was lost {token - 1} times (the limit)"
    if facts is None or why:
        _end(tx, row.id, token, EventEnd(EventState.FAILED, why))
        return {"uncallable": to_builtins(Uncallable(event, _key(row), why))}
    state = row.after if row.kind == "task_instance" else facts.state or TaskInstanceState.NONE
    claim = EventClaim(event, token, _try_of(row, facts), state)
    return {"claim": to_builtins(claim), "conf": facts.conf}


def _key(row: Any) -> TryKey:
    """What an event is about, as far as it has the names of a try."""
    names = (row.dag_id, row.run_id or "", row.task_id or "")
    index = UNMAPPED if row.map_index is None else row.map_index
    return TryKey(TaskInstanceKey(*names, index), row.try_number or 0)


def _facts(tx: Transaction, row: Any) -> Any:
    if row.kind == "task_instance":
        return tx.row(_OF_TASK_INSTANCE, {"row": row.task_instance_id})
    run = row.dag_run_id if row.kind == "dag_run" else tx.value(_RUN_OF_BACKFILL, {"row": row.backfill_id})
    if run is None:
        return None
    found = tx.row(_OF_RUN, {"row": run})
    return found if found or row.kind != "dag_run" else tx.row(_OF_WAITING_RUN, {"row": run})


def _try_of(row: Any, facts: Any) -> Claim:
    """The try that the context is about: that of the event, or the latest of the task instance that it is about."""
    number = row.try_number if row.kind == "task_instance" else facts.try_number
    index = row.map_index if row.kind == "task_instance" else facts.map_index
    task_id = _first_task(facts.spec) if facts.task_id is None else facts.task_id
    began = facts.started_at if facts.try_number == number else None
    return Claim(
        id=facts.id,
        key=TryKey(TaskInstanceKey(facts.dag_id, facts.run_id, task_id, index), number),
        token=facts.token,
        max_tries=facts.max_tries,
        lost_tries=facts.lost_tries,
        logical_date=facts.logical_date,
        data_interval=DataInterval(facts.interval_start, facts.interval_end),
        run_type=facts.run_type,
        run_conf=None,
        disable_retry=facts.disable_retry,
        mark_success=facts.mark_success,
        started_at=began or row.at,
        run_started_at=facts.run_began,
        previous_success=past_run(facts),
    )


class Outbox:
    """The methods of the metastore that are about events; ``read``, ``_write`` and ``_write_again`` are its own."""

    read: Callable[..., Any]
    _write: Callable[..., Any]
    _write_again: Callable[..., Any]

    def events_left(self, dags: Collection[str]) -> OutboxLeft:
        """How many events of these DAGs wait for their callbacks."""
        left: OutboxLeft = self.read(lambda tx: events_left(tx, dags))
        return left

    def claim_event(
        self, dags: Collection[str], holder: str, lease_seconds: float, write_id: str
    ) -> EventClaim | Uncallable | None:
        """Claim the oldest event of these DAGs whose callbacks nobody calls; None: there is none just now."""
        waiting = self.read(lambda tx: waiting_dags(tx, dags))
        if not waiting:
            return None
        result = self._write(lambda tx: claim_event(tx, waiting, holder, lease_seconds, write_id), write_id)
        return event_from(result)

    def renew_event(self, claim: EventClaim, lease_seconds: float) -> Renewal:
        """Renew the event's lease, unless it is another's by now."""
        renewal: Renewal = self._write_again(lambda tx: renew_event(tx, claim, lease_seconds))
        return renewal

    def end_event(self, claim: EventClaim, end: EventEnd) -> bool:
        """Write what came of an event's callbacks. False: it is another's by now. Landing twice does no harm."""
        return bool(self._write_again(lambda tx: end_event(tx, claim, end)))


def _first_task(spec: str) -> str:
    """The first task of a stored structure; "" where it has none."""
    return next((str(each["task_id"]) for each in json.loads(spec)["tasks"]), "")
