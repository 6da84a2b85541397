"""Creates a backfill with all its runs in one transaction, or continues one. What is created was decided by planning.

The DAG's guard row is locked throughout, so two creations cannot both be first. Facts that changed since they were read
make the whole creation stale: nothing is written and the caller decides again.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from tailrace.errors import InternalError
from tailrace.metastore.columns import to_json
from tailrace.metastore.draft import Creating, Found
from tailrace.metastore.facts import open_backfill
from tailrace.metastore.intentions import requeue_runs
from tailrace.metastore.records import Author, backfill_row, insert_history, record, run_row
from tailrace.metastore.structures import Structures
from tailrace.metastore.tables import backfill, backfill_run, dag, dag_run
from tailrace.metastore.transaction import Transaction, in_batches
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, BackfillState, DagRunState
from tailrace.model.transitions import Actor, Cause
from tailrace.planning.backfills import BackfillCreation, DateAction, DatePlan
from tailrace.planning.creation import options_for

_LOCK_DAG = select(dag.c.version).where(dag.c.dag_id == bindparam("dag_id")).with_for_update(key_share=True)
_INSERT_DAG = insert(dag)
_RENEW_DAG = (
    update(dag)
    .where(dag.c.dag_id == bindparam("id"))
    .values(version=dag.c.version + 1, dag_version_id=bindparam("structure"))
)
_INSERT_BACKFILL = insert(backfill).returning(backfill.c.id)
_CONTINUE = (
    update(backfill)
    .where(backfill.c.id == bindparam("backfill"))
    .values(
        version=backfill.c.version + 1,
        dag_version_id=bindparam("structure"),
        pool=bindparam("in_pool"),
        max_active_runs=bindparam("window"),
        stop_on_failure=bindparam("stops"),
        backwards=bindparam("back"),
        command=bindparam("typed"),
        detached=or_(backfill.c.detached, bindparam("detach")),
    )
)
_BACKFILL_STATE = select(backfill.c.state).where(backfill.c.id == bindparam("backfill")).with_for_update(key_share=True)
_EXISTING = (
    select(
        dag_run.c.id,
        dag_run.c.run_id,
        dag_run.c.logical_date,
        dag_run.c.state,
        dag_run.c.version,
        dag_run.c.clear_on_activation,
    )
    .where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True)))
    .order_by(dag_run.c.id)
    .with_for_update(key_share=True)
)
_ROWS_BY_DATE = select(dag_run.c.logical_date, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True))
)
_WANTED = (
    select(backfill_run.c.dag_run_id, dag_run.c.logical_date)
    .join(dag_run, dag_run.c.id == backfill_run.c.dag_run_id)
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"))
)
_INSERT_RUNS = insert(dag_run)
_INSERT_WANTED = insert(backfill_run)
_REORDER = (
    update(backfill_run)
    .where(backfill_run.c.backfill_id == bindparam("backfill"), backfill_run.c.dag_run_id == bindparam("run"))
    .values(ordinal=bindparam("place"))
)


class StaleFacts(Exception):
    """Ends the transaction of a stale creation without writing anything; carries the fact that changed."""


def write_backfill(
    tx: Transaction, dag_spec: DagSpec, creation: BackfillCreation, command: str, write_id: str, structures: Structures
) -> dict[str, Any]:
    """Write the whole creation, or nothing; the record holds the backfill's row. Raises StaleFacts."""
    if creation.refusals:
        raise InternalError(f"a refused backfill reached the metastore: {creation.refusals[0]}")
    lock_dag_row(tx, dag_spec.dag_id)
    work = Creating(tx, dag_spec, creation, Author(tx.moment.wall, write_id, Actor.PERSON))
    doubt = _doubt(work)
    if doubt is not None:
        raise StaleFacts(doubt)
    structure = structures.row_of(tx, dag_spec)
    tx.change(_RENEW_DAG, {"id": dag_spec.dag_id, "structure": structure})
    backfill_id = _continue(work, command, structure) or _insert_backfill(work, command, structure)
    _insert_runs(work, backfill_id)
    requeue_runs(work, backfill_id)
    _want(work, backfill_id)
    insert_history(tx, work.history)
    result = {"id": backfill_id}
    record(tx, write_id, result)
    return result


def lock_dag_row(tx: Transaction, dag_id: str, structure: int = 0) -> None:
    """Lock the DAG's guard row; make it for a DAG that is new here."""
    if tx.row(_LOCK_DAG, {"dag_id": dag_id}) is not None:
        return
    # Two first creations at once: the second's insert violates the key, and the whole write is done again.
    tx.change(
        _INSERT_DAG,
        {
            "dag_id": dag_id,
            "paused": False,
            "version": 0,
            "dag_version_id": structure,
            "created_at": tx.moment.wall,
        },
    )


def _doubt(work: Creating) -> str | None:
    """The first fact that is no longer as the creation was decided from, or None."""
    tx, creation = work.tx, work.creation
    if not work.request.new:
        current = open_backfill(tx, work.request.fingerprint)
        if current != creation.continues:
            return f"the unfinished backfill of this command is now {current}, was {creation.continues}"
    if creation.continues is not None:
        tx.rows(_BACKFILL_STATE, {"backfill": creation.continues})
        work.wanted = {row[0]: row[1] for row in tx.rows(_WANTED, {"backfill_id": creation.continues})}
    for batch in in_batches([date.interval.start for date in creation.dates]):
        for row in tx.rows(_EXISTING, {"dag_id": work.dag.dag_id, "dates": batch}):
            work.found[row.logical_date] = Found(*row)
    for date in creation.dates:
        doubt = None if work.settled(date) else _doubt_date(date, work.found.get(date.interval.start))
        if doubt is not None:
            return f"{work.dag.dag_id} / {date.run_id}: {doubt}"
    return None


def _doubt_date(date: DatePlan, found: Found | None) -> str | None:
    if date.existing_id is None or found is None:
        if date.existing_id is None and found is None:
            return None
        return (
            f"expected {'no run' if found is not None else 'a run'}, found {'none' if found is None else found.state}"
        )
    if found.id != date.existing_id or found.version != date.expected_version:
        return f"expected version {date.expected_version}, found {found.state} version {found.version}"
    closed = DagRunState(found.state) in CLOSED
    if date.action in (DateAction.REPROCESS, DateAction.LEAVE) and not closed:
        return f"expected a closed run, found it {found.state}"
    if date.must_be_queued and found.state != DagRunState.QUEUED:
        return f"expected a queued run, found it {found.state}"
    return None


def _continue(work: Creating, command: str, structure: int) -> int | None:
    """Apply the changed limits to the backfill that is continued."""
    backfill_id = work.creation.continues
    if backfill_id is None:
        return None
    request = work.request
    values = {
        "backfill": backfill_id,
        "structure": structure,
        "in_pool": request.pool,
        "window": request.max_active_runs,
        "stops": request.stop_on_failure,
        "back": request.backwards,
        "typed": command,
        "detach": request.detached,
    }
    work.tx.change(_CONTINUE, values)
    return backfill_id


def _insert_backfill(work: Creating, command: str, structure: int) -> int:
    request, dag_id = work.request, work.dag.dag_id
    values = {
        "dag_id": dag_id,
        "dag_version_id": structure,
        "fingerprint": request.fingerprint,
        "state": BackfillState.QUEUED,
        "version": 1,
        "paused": False,
        "range_start": request.start,
        "range_end": request.end,
        "reprocess": request.reprocess,
        "conf": request.conf,
        "disable_retry": request.disable_retry,
        "mark_success": request.mark_success,
        "ignore_first_depends_on_past": request.ignore_first_depends_on_past,
        "pool": request.pool,
        "max_active_runs": request.max_active_runs,
        "backwards": request.backwards,
        "stop_on_failure": request.stop_on_failure,
        "command": command,
        "detached": request.detached,
        "reason": "",
        "created_at": work.author.at,
    }
    backfill_id = int(work.tx.rows(_INSERT_BACKFILL, values)[0][0])
    work.history.append(
        backfill_row(work.author, dag_id, backfill_id, None, BackfillState.QUEUED, Cause.CREATED, command)
    )
    return backfill_id


def _insert_runs(work: Creating, backfill_id: int) -> None:
    """Insert the runs that do not exist."""
    new = [date for date in work.creation.dates if date.existing_id is None and not work.settled(date)]
    if not new:
        return
    dag_id = work.dag.dag_id
    work.tx.change_many(_INSERT_RUNS, [_run_values(work, date) for date in new])
    for date in new:
        work.history.append(
            run_row(
                work.author,
                dag_id,
                date.run_id,
                None,
                DagRunState.QUEUED,
                Cause.CREATED,
                f"wanted by backfill {backfill_id}",
                backfill_id=backfill_id,
            )
        )
    created = _rows_by_date(work, [date.interval.start for date in new])
    for date in new:
        start = date.interval.start
        work.found[start] = Found(created[start], date.run_id, start, DagRunState.QUEUED, 1, None)


def _run_values(work: Creating, date: DatePlan) -> dict[str, Any]:
    options = options_for(work.request, date)
    return {
        "dag_id": work.dag.dag_id,
        "run_id": date.run_id,
        "run_type": RunType.BACKFILL,
        "logical_date": date.interval.start,
        "interval_start": date.interval.start,
        "interval_end": date.interval.end,
        "state": DagRunState.QUEUED,
        "version": 1,
        "conf": date.conf,
        "disable_retry": options.disable_retry,
        "mark_success": options.mark_success,
        "ignore_depends_on_past": options.ignore_depends_on_past,
        "pool": options.pool,
        "reason": "",
        "created_at": work.author.at,
    }


def _rows_by_date(work: Creating, dates: Iterable[datetime]) -> dict[datetime, int]:
    found: dict[datetime, int] = {}
    for batch in in_batches(sorted(set(dates))):
        found.update(
            (row[0], row[1]) for row in work.tx.rows(_ROWS_BY_DATE, {"dag_id": work.dag.dag_id, "dates": batch})
        )
    return found


def _want(work: Creating, backfill_id: int) -> None:
    """Write who wants what in which order; a continued backfill keeps what it has and takes the new order.

    What it wants although its schedule has no such date any more takes its place among the others by its date.
    """
    dates = {work.found[date.interval.start].id: date for date in work.creation.dates}
    moments = work.wanted | {id: date.interval.start for id, date in dates.items()}
    order = sorted(moments, key=lambda id: moments[id], reverse=work.request.backwards)
    kept, added = [], []
    for place, id in enumerate(order):
        if id in work.wanted:
            kept.append({"backfill": backfill_id, "run": id, "place": place})
            continue
        date = dates[id]
        added.append(
            {
                "backfill_id": backfill_id,
                "dag_run_id": id,
                "ordinal": place,
                "run_state": work.found[date.interval.start].state,
                "action": date.action,
                "reason": date.reason,
                "clear": to_json(list(date.clear)),
            }
        )
    work.tx.change_many(_REORDER, kept)
    work.tx.change_many(_INSERT_WANTED, added)
