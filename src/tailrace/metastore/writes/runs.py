"""Every write of a run's state: the columns each state sets, the transition table's leave, the history row.

Nothing outside this file assigns a run's state; a test reads the sources for it. The new state is copied to every
backfill that wants the run, in the same transaction. Whoever calls holds the runs under lock.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, insert, select, update

from tailrace.errors import InternalError
from tailrace.metastore.db.tables import backfill_run, dag_run
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.writes.accounted import unsaid
from tailrace.metastore.writes.records import Author, History, changed_row, run_row
from tailrace.model.callbacks import LATE
from tailrace.model.chains import Chain
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Actor, Cause, dag_run_may
from tailrace.planning.plan import RunLate
from tailrace.planning.snapshot import RunOptions

_State = DagRunState

_OF_RUN = update(dag_run).where(dag_run.c.id == bindparam("run"))
_CHAIN: Mapping[str, Any] = {"chain_head": bindparam("to_chain_head"), "chain_length": bindparam("to_chain_length")}
_OPENED_AGAIN: Mapping[str, Any] = {
    "state": _State.QUEUED,
    "owner_job_id": None,
    "started_at": None,
    "ended_at": None,
    "reason": "",
    "blocked": None,
    "stopped_by": None,
}
_UNSAID = unsaid(dag_run)
_INSERT_RUN = insert(dag_run)
_ROWS_BY_DATE = select(dag_run.c.logical_date, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True))
)
_COPY_TO_WANTING = (
    update(backfill_run).where(backfill_run.c.dag_run_id == bindparam("run")).values(run_state=bindparam("after"))
)


class RunStep(Struct, frozen=True):
    """One run's new state, and what it was decided from: its version, and how far its history has come, under lock."""

    id: int
    dag_id: str
    run_id: str
    before: DagRunState
    after: DagRunState
    cause: Cause
    reason: str = ""
    backfill_id: int | None = None  # that of the command which changes it
    evidence: Mapping[str, Any] | None = None
    version: int = 0
    chain: Chain = Chain()
    event: str = ""  # the callback that is to be called for it; its evidence says so


class Options(RunOptions, frozen=True):
    """What a run is given as it is created, or queued to be done again. ``clear``: JSON, task ids to be cleared."""

    conf: str | None = None  # JSON
    clear: str | None = None
    part: str | None = None  # JSON: what parts of its DAG have made of it


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


class RunAsIs(Struct, frozen=True):
    """A run of which columns are set, its state is not: its version, and how far its history has come, under lock."""

    id: int
    dag_id: str
    run_id: str
    version: int
    chain: Chain


class Inserted(Struct, frozen=True):
    """A run that was created: its row, and where its history has come to."""

    id: int
    chain: Chain


def insert_runs(tx: Transaction, author: Author, new: Sequence[NewRun], history: History) -> dict[datetime, Inserted]:
    """Create runs of one DAG, queued; returns them by logical date."""
    if not new:
        return {}
    values, ends = [], {}
    begun = len(history.rows)
    for each in new:
        row = _new_row(author, each)
        created = (each.dag_id, each.run_id, None, _State.QUEUED, Cause.CREATED, each.reason)
        sets = {name: value for name, value in row.items() if value is not None}
        end = history.add(run_row(author, *created, backfill_id=each.backfill_id), Chain(), sets)
        values.append({**row, "chain_head": end.head, "chain_length": end.length})
        ends[each.logical_date] = end
    tx.change_many(_INSERT_RUN, values)
    rows: dict[datetime, int] = {}
    for dates in in_batches(sorted(each.logical_date for each in new)):
        rows.update((row[0], row[1]) for row in tx.rows(_ROWS_BY_DATE, {"dag_id": new[0].dag_id, "dates": dates}))
    for each, history_row in zip(new, history.rows[begun:], strict=True):
        history_row["dag_run_id"] = rows[each.logical_date]
    return {date: Inserted(rows[date], end) for date, end in ends.items()}


def start_runs(
    tx: Transaction,
    author: Author,
    changes: Sequence[tuple[RunStep, bool, str | None]],
    history: History,
    *,
    lane: int,
    structure: int,
) -> None:
    """queued → running, owned by the author's job for this lane, with the structure of this row.

    With each, whether task instances of it are cleared now: outcomes that are gone then may have let a step of the next
    run go, in a plan that is not written yet, so its version grows. And what of it has failed before (JSON).
    """
    common = {
        "owner_job_id": author.job_id,
        "owner_lane": lane,
        "started_at": author.at,
        "ended_at": None,
        "reason": "",
        "blocked": None,
        "clear_on_activation": None,
        "dag_version_id": structure,
        "stopped_by": None,
    }
    values = [
        (step, {**common, "version": step.version + clears, "failed_before": failed})
        for step, clears, failed in changes
    ]
    _step(tx, author, values, history)


def stop_run(tx: Transaction, author: Author, change: RunStep, history: History, stopped_by: str) -> None:
    """running → running: what is left of it is to be ended; ``stopped_by`` is JSON."""
    _step(tx, author, [(change, {"version": change.version + 1, "stopped_by": stopped_by})], history)


def put_back_runs(tx: Transaction, author: Author, changes: Sequence[RunStep], history: History) -> None:
    """running → queued, as they are: others go first."""
    _step(tx, author, [(step, {"owner_job_id": None, "version": step.version + 1}) for step in changes], history)


def judge_run(tx: Transaction, author: Author, change: RunStep, history: History, blocked: str | None) -> None:
    """running → closed, by a verdict; ``blocked`` is JSON."""
    columns = {"owner_job_id": None, "ended_at": author.at, "reason": change.reason, "blocked": blocked}
    _step(tx, author, [(change, columns)], history)


def open_run_again(
    tx: Transaction,
    author: Author,
    change: RunStep,
    history: History,
    *,
    live: bool,
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """closed → queued, as it is, but for these columns; ``live``: schedulers drive it from now on."""
    columns = {**_OPENED_AGAIN, **columns, "reopened": True, "version": change.version + 1}
    columns |= {"live": True} if live else {}
    _step(tx, author, [(change, columns)], history)


def mark_late(tx: Transaction, author: Author, run: RunAsIs, late: RunLate, history: History) -> None:
    """Say that an open run has missed its deadline; what is decided about it goes on.

    Called once for each run: what is to be told of it is written in this transaction.
    """
    columns = {"late_since": late.due}
    told: dict[str, Any] = {
        "run_id": run.run_id,
        "dag_run_id": run.id,
        "evidence": {"event": late.event} if late.event else None,
    }
    row = changed_row(author, "dag_run", Cause.LATE, run.dag_id, late.reason, **told)
    end = history.add(row, run.chain, columns)
    if late.event:
        history.call(late.event, kind="dag_run", after=LATE)
    tx.change(_set(tuple(columns), guarded=False), _with_chain(run.id, columns, end))


def close_run(tx: Transaction, author: Author, change: RunStep, history: History, ended_at: datetime | None) -> None:
    """Into a closed state, as a person says. It ended when its work did, not when somebody thought about it again."""
    columns = {
        "version": change.version + 1,
        "owner_job_id": None,
        "ended_at": ended_at or author.at,
        "reason": change.reason,
        "blocked": None,
        "clear_on_activation": None,
        "stopped_by": None,
    }
    _step(tx, author, [(change, columns)], history)


def requeue_runs(tx: Transaction, author: Author, changes: Sequence[tuple[RunStep, Options]], history: History) -> None:
    """closed → queued, to be done again with these options."""
    again = {**_OPENED_AGAIN, "reopened": True}
    values = [(step, {**again, **_options(options), "version": step.version + 1}) for step, options in changes]
    _step(tx, author, values, history)


def give_options(tx: Transaction, author: Author, runs: Sequence[tuple[RunAsIs, Options]], history: History) -> None:
    """Queued runs that nobody else wants take these options."""
    values = [(run, {**_OPENED_AGAIN, **_options(each), "version": run.version + 1}) for run, each in runs]
    set_columns(tx, author, values, history)


def give_clear_and_conf(
    tx: Transaction, author: Author, runs: Sequence[tuple[RunAsIs, Options]], history: History
) -> None:
    """Queued runs that others want too are told what is to be cleared, their conf, and what is done in them."""
    values = [
        (
            run,
            {
                "version": run.version + 1,
                "clear_on_activation": each.clear,
                "conf": each.conf,
                "part": each.part,
            },
        )
        for run, each in runs
    ]
    set_columns(tx, author, values, history)


def give_part(tx: Transaction, author: Author, runs: Sequence[tuple[RunAsIs, str | None]], history: History) -> None:
    """Running runs do more, for somebody else: what was decided from what they were is stale."""
    set_columns(tx, author, [(run, {"version": run.version + 1, "part": part}) for run, part in runs], history)


def touch_run(
    tx: Transaction,
    author: Author,
    run: RunAsIs,
    history: History,
    columns: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Make the run's version grow, and set these columns: what was decided from what it was is stale."""
    set_columns(tx, author, [(run, {"version": run.version + 1, **columns})], history)


def set_columns(
    tx: Transaction, author: Author, runs: Sequence[tuple[RunAsIs, Mapping[str, Any]]], history: History
) -> None:
    """Set these columns, the same of each run, and say so in history."""
    values = []
    for run, columns in runs:
        row = changed_row(author, "dag_run", Cause.RECORDED, run.dag_id, run_id=run.run_id, dag_run_id=run.id)
        values.append(_with_chain(run.id, columns, history.add(row, run.chain, _said(columns))))
    if values:
        tx.change_many(_set(tuple(runs[0][1]), guarded=False), values)


def _step(
    tx: Transaction, author: Author, changes: Sequence[tuple[RunStep, Mapping[str, Any]]], history: History
) -> None:
    """Give each run its new state and set these columns, the same of each; add its history row."""
    if not changes:
        return
    values, columns = [], dict[str, Any]()
    for change, more in changes:
        _require_legal(change, author.actor)
        columns = {**more, "state": change.after}
        step = (change.before, change.after, change.cause, change.reason)
        more_of_row: dict[str, Any] = {"backfill_id": change.backfill_id, "evidence": change.evidence}
        row = run_row(author, change.dag_id, change.run_id, *step, id=change.id, **more_of_row)
        end = history.add(row, change.chain, _said(columns))
        if change.event:
            history.call(change.event)
        values.append({**_with_chain(change.id, columns, end), "from_state": change.before})
    if tx.change_many(_set(tuple(columns), guarded=True), values) != len(changes):
        raise InternalError(f"{len(changes)} locked runs were to become {changes[0][0].after}, fewer did")
    copies = sorted((change.id, change.after) for change, _ in changes)
    tx.change_many(_COPY_TO_WANTING, [{"run": id, "after": after} for id, after in copies])


@cache
def _set(names: tuple[str, ...], *, guarded: bool) -> Any:
    """The statement that sets these columns of a run; ``guarded``: only if its state is what it was decided from."""
    statement = _OF_RUN.where(dag_run.c.state == bindparam("from_state")) if guarded else _OF_RUN
    return statement.values({**{name: bindparam(f"to_{name}") for name in names}, **_CHAIN})


def _with_chain(id: int, columns: Mapping[str, Any], end: Chain) -> dict[str, Any]:
    values = {f"to_{name}": value for name, value in columns.items()}
    return {"run": id, **values, "to_chain_head": end.head, "to_chain_length": end.length}


def _said(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What history says of the columns."""
    return {name: value for name, value in columns.items() if name not in _UNSAID}


def _require_legal(change: RunStep, actor: Actor) -> None:
    if not dag_run_may(change.before, change.after, actor, change.cause):
        step = f"{change.before} → {change.after} for {change.cause}"
        raise InternalError(f"{change.dag_id} / {change.run_id}: a {actor} may not step {step}")


def _options(options: Options) -> dict[str, Any]:
    return {
        "clear_on_activation": options.clear,
        "conf": options.conf,
        "disable_retry": options.disable_retry,
        "mark_success": options.mark_success,
        "ignore_depends_on_past": options.ignore_depends_on_past,
        "pool": options.pool,
        "part": options.part,
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
        "part": new.options.part,
    }
