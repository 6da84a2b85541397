"""Every write of a run's state: the columns each state sets, the transition table's leave, the history row.

Nothing outside this file assigns a run's state; a test reads the sources for it. The new state is copied to every
backfill that wants the run, in the same transaction. Whoever calls holds the runs under lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, case, func, insert, select, update

from tailrace.errors import InternalError
from tailrace.metastore.db.tables import backfill_run, dag_run
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.writes.records import Author, run_row
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Actor, Cause, dag_run_may
from tailrace.planning.snapshot import RunOptions

_State = DagRunState

_OF_RUN = update(dag_run).where(dag_run.c.id == bindparam("run"))
_NEXT_VERSION = dag_run.c.version + 1
_OPENED_AGAIN: Mapping[str, Any] = {
    "state": _State.QUEUED,
    "version": _NEXT_VERSION,
    "owner_job_id": None,
    "started_at": None,
    "ended_at": None,
    "reason": "",
    "blocked": None,
}
_ACTIVATE = _OF_RUN.where(dag_run.c.state == _State.QUEUED).values(
    state=_State.RUNNING,
    # Outcomes that are cleared now may have let a step of the next run go, in a plan that is not written yet.
    version=dag_run.c.version + case((dag_run.c.clear_on_activation.is_(None), 0), else_=1),
    owner_job_id=bindparam("owner"),
    owner_lane=bindparam("for_lane"),
    started_at=bindparam("at"),
    ended_at=None,
    reason="",
    blocked=None,
    clear_on_activation=None,
    dag_version_id=bindparam("structure"),
)
_PUT_BACK = _OF_RUN.where(dag_run.c.state == _State.RUNNING).values(
    state=_State.QUEUED, owner_job_id=None, version=_NEXT_VERSION
)
_JUDGE = _OF_RUN.where(dag_run.c.state == _State.RUNNING).values(
    state=bindparam("after"),
    owner_job_id=None,
    ended_at=bindparam("at"),
    reason=bindparam("why"),
    blocked=bindparam("blockers"),
)
_OPEN_AGAIN = _OF_RUN.values(_OPENED_AGAIN)
_OPEN_AGAIN_LIVE = _OF_RUN.values({**_OPENED_AGAIN, "live": True})
#: What a person marks has ended when its work did, not when somebody thought about it again.
_CLOSE = _OF_RUN.values(
    state=bindparam("after"),
    version=_NEXT_VERSION,
    owner_job_id=None,
    ended_at=func.coalesce(dag_run.c.ended_at, bindparam("at", type_=dag_run.c.ended_at.type)),
    reason=bindparam("why"),
    blocked=None,
    clear_on_activation=None,
)
_OPTIONS: Mapping[str, Any] = {
    "clear_on_activation": bindparam("to_clear"),
    "conf": bindparam("to_conf"),
    "disable_retry": bindparam("to_disable_retry"),
    "mark_success": bindparam("to_mark_success"),
    "ignore_depends_on_past": bindparam("to_ignore_depends_on_past"),
    "pool": bindparam("to_pool"),
}
_REQUEUE = _OF_RUN.values({**_OPENED_AGAIN, **_OPTIONS})
_SET_CLEAR_AND_CONF = _OF_RUN.values(
    version=_NEXT_VERSION, clear_on_activation=bindparam("to_clear"), conf=bindparam("to_conf")
)
_TOUCH = _OF_RUN.values(version=_NEXT_VERSION)
_INSERT_RUN = insert(dag_run)
_ROWS_BY_DATE = select(dag_run.c.logical_date, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True))
)
_COPY_TO_WANTING = (
    update(backfill_run).where(backfill_run.c.dag_run_id == bindparam("run")).values(run_state=bindparam("after"))
)


class RunStep(Struct, frozen=True):
    """One run's new state, and what it was decided from."""

    id: int
    dag_id: str
    run_id: str
    before: DagRunState
    after: DagRunState
    cause: Cause
    reason: str = ""
    backfill_id: int | None = None  # that of the command which changes it
    evidence: Mapping[str, Any] | None = None


class Options(RunOptions, frozen=True):
    """What a run is given as it is created, or queued to be done again. ``clear``: JSON, task ids to be cleared."""

    conf: str | None = None  # JSON
    clear: str | None = None


class NewRun(Struct, frozen=True):
    """A run that does not exist yet. ``live``: schedulers drive it, whoever else wants it."""

    dag_id: str
    run_id: str
    run_type: RunType
    interval: DataInterval
    logical_date: datetime
    reason: str  # for history
    options: Options = Options()
    live: bool = False
    backfill_id: int | None = None


def insert_runs(
    tx: Transaction, author: Author, new: Sequence[NewRun], history: list[dict[str, Any]]
) -> dict[datetime, int]:
    """Create runs of one DAG, queued; returns their rows by logical date."""
    if not new:
        return {}
    tx.change_many(_INSERT_RUN, [_new_row(author, each) for each in new])
    for each in new:
        created = (each.dag_id, each.run_id, None, _State.QUEUED, Cause.CREATED, each.reason)
        history.append(run_row(author, *created, backfill_id=each.backfill_id))
    rows: dict[datetime, int] = {}
    for dates in in_batches(sorted(each.logical_date for each in new)):
        rows.update(map(tuple, tx.rows(_ROWS_BY_DATE, {"dag_id": new[0].dag_id, "dates": dates})))
    return rows


def start_runs(
    tx: Transaction,
    author: Author,
    changes: Sequence[RunStep],
    history: list[dict[str, Any]],
    *,
    lane: int,
    structure: int,
) -> None:
    """queued → running, owned by the author's job for this lane, with the structure of this row."""
    common = {"owner": author.job_id, "for_lane": lane, "at": author.at, "structure": structure}
    _write(tx, author, _ACTIVATE, {change.id: common for change in changes}, changes, history)


def put_back_runs(tx: Transaction, author: Author, changes: Sequence[RunStep], history: list[dict[str, Any]]) -> None:
    """running → queued, as they are: others go first."""
    _write(tx, author, _PUT_BACK, {change.id: {} for change in changes}, changes, history)


def judge_run(
    tx: Transaction, author: Author, change: RunStep, history: list[dict[str, Any]], blocked: str | None
) -> None:
    """running → closed, by a verdict; ``blocked`` is JSON."""
    values = {"after": change.after, "at": author.at, "why": change.reason, "blockers": blocked}
    _write(tx, author, _JUDGE, {change.id: values}, (change,), history)


def open_run_again(
    tx: Transaction, author: Author, change: RunStep, history: list[dict[str, Any]], *, live: bool
) -> None:
    """closed → queued, as it is; ``live``: schedulers drive it from now on."""
    statement = _OPEN_AGAIN_LIVE if live else _OPEN_AGAIN
    _write(tx, author, statement, {change.id: {}}, (change,), history)


def close_run(tx: Transaction, author: Author, change: RunStep, history: list[dict[str, Any]]) -> None:
    """Into a closed state, as a person says."""
    values = {"after": change.after, "at": author.at, "why": change.reason}
    _write(tx, author, _CLOSE, {change.id: values}, (change,), history)


def requeue_runs(
    tx: Transaction, author: Author, changes: Sequence[tuple[RunStep, Options]], history: list[dict[str, Any]]
) -> None:
    """closed → queued, to be done again with these options."""
    values = {step.id: _options(options) for step, options in changes}
    _write(tx, author, _REQUEUE, values, [step for step, _ in changes], history)


def give_options(tx: Transaction, options: Mapping[int, Options]) -> None:
    """Queued runs that nobody else wants take these options."""
    tx.change_many(_REQUEUE, [{"run": id, **_options(each)} for id, each in options.items()])


def give_clear_and_conf(tx: Transaction, options: Mapping[int, Options]) -> None:
    """Queued runs that others want too are told what is to be cleared, and their conf."""
    values = [{"run": id, "to_clear": each.clear, "to_conf": each.conf} for id, each in options.items()]
    tx.change_many(_SET_CLEAR_AND_CONF, values)


def touch_run(tx: Transaction, id: int) -> None:
    """Make the run's version grow: what was decided from what it was is stale."""
    tx.change(_TOUCH, {"run": id})


def _write(
    tx: Transaction,
    author: Author,
    statement: Any,
    values: Mapping[int, Mapping[str, Any]],
    changes: Sequence[RunStep],
    history: list[dict[str, Any]],
) -> None:
    if not changes:
        return
    for change in changes:
        _require_legal(change, author.actor)
        step = (change.before, change.after, change.cause, change.reason)
        more: dict[str, Any] = {"backfill_id": change.backfill_id, "evidence": change.evidence}
        history.append(run_row(author, change.dag_id, change.run_id, *step, **more))
    if tx.change_many(statement, [{"run": id, **each} for id, each in values.items()]) != len(changes):
        raise InternalError(f"{len(changes)} locked runs were to become {changes[0].after}, fewer did")
    copies = sorted((change.id, change.after) for change in changes)
    tx.change_many(_COPY_TO_WANTING, [{"run": id, "after": after} for id, after in copies])


def _require_legal(change: RunStep, actor: Actor) -> None:
    if not dag_run_may(change.before, change.after, actor, change.cause):
        step = f"{change.before} → {change.after} for {change.cause}"
        raise InternalError(f"{change.dag_id} / {change.run_id}: a {actor} may not step {step}")


def _options(options: Options) -> dict[str, Any]:
    return {
        "to_clear": options.clear,
        "to_conf": options.conf,
        "to_disable_retry": options.disable_retry,
        "to_mark_success": options.mark_success,
        "to_ignore_depends_on_past": options.ignore_depends_on_past,
        "to_pool": options.pool,
    }


def _new_row(author: Author, new: NewRun) -> dict[str, Any]:
    return {
        "dag_id": new.dag_id,
        "run_id": new.run_id,
        "run_type": new.run_type,
        "logical_date": new.logical_date,
        "interval_start": new.interval.start,
        "interval_end": new.interval.end,
        "state": _State.QUEUED,
        "version": 1,
        "conf": new.options.conf,
        "disable_retry": new.options.disable_retry,
        "mark_success": new.options.mark_success,
        "ignore_depends_on_past": new.options.ignore_depends_on_past,
        "pool": new.options.pool,
        "reason": "",
        "created_at": author.at,
        "live": new.live,
    }
