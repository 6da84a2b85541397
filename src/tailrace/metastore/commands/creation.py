"""Creates a backfill with all its runs in one transaction, or continues one. What is created was decided by planning.

The DAG's guard row is locked throughout, so two creations cannot both be first. Facts that changed since they were read
make the whole creation stale: nothing is written and the caller decides again.
"""

from typing import Any

from msgspec.structs import asdict
from sqlalchemy import bindparam, insert, or_, select, update

from tailrace.errors import InternalError
from tailrace.metastore.commands.creating import Creating, FoundRun
from tailrace.metastore.commands.facts import open_backfill
from tailrace.metastore.commands.requeued_runs import requeue_runs
from tailrace.metastore.db.columns import to_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag, dag_run
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.guards import renew_dag
from tailrace.metastore.writes.backfills import insert_backfill
from tailrace.metastore.writes.records import Author, insert_history, record
from tailrace.metastore.writes.runs import NewRun, Options, insert_runs
from tailrace.metastore.writes.structures import Structures
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, DagRunState
from tailrace.model.transitions import Actor
from tailrace.planning.backfills import BackfillCreation, DateAction, DatePlan
from tailrace.planning.creation import options_for

_LOCK_DAG = select(dag.c.version).where(dag.c.dag_id == bindparam("dag_id")).with_for_update(key_share=True)
_INSERT_DAG = insert(dag)
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
_WANTED = (
    select(backfill_run.c.dag_run_id, dag_run.c.logical_date)
    .join(dag_run, dag_run.c.id == backfill_run.c.dag_run_id)
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"))
)
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
    conflict = _find_conflict(work)
    if conflict is not None:
        raise StaleFacts(conflict)
    structure = structures.row_of(tx, dag_spec)
    renew_dag(tx, dag_spec.dag_id, structure)
    backfill_id = _continue(work, command, structure) or insert_backfill(
        tx, work.author, dag_spec.dag_id, structure, work.request, command, work.history
    )
    _insert_runs(work, backfill_id)
    requeue_runs(work, backfill_id)
    _want(work, backfill_id)
    insert_history(tx, work.history)
    result = {"id": backfill_id}
    record(tx, write_id, result)
    return result


def lock_dag_row(tx: Transaction, dag_id: str, structure: int = 0, *, paused: bool = False) -> None:
    """Lock the DAG's guard row; make it, paused or not, for a DAG that is new here."""
    if tx.row(_LOCK_DAG, {"dag_id": dag_id}) is not None:
        return
    # Two first creations at once: the second's insert violates the key, and the whole write is done again.
    tx.change(
        _INSERT_DAG,
        {
            "dag_id": dag_id,
            "paused": paused,
            "version": 0,
            "dag_version_id": structure,
            "created_at": tx.moment.wall,
        },
    )


def _find_conflict(work: Creating) -> str | None:
    """The first fact that is no longer as the creation was decided from, or None."""
    tx, creation = work.tx, work.creation
    if not work.request.new:
        current = open_backfill(tx, work.request.fingerprint)
        if current != creation.continues:
            return f"the unfinished backfill of this command is now {current}, was {creation.continues}"
    if creation.continues is not None:
        tx.rows(_BACKFILL_STATE, {"backfill": creation.continues})
        work.wanted = dict(map(tuple, tx.rows(_WANTED, {"backfill_id": creation.continues})))
    for batch in in_batches([date.interval.start for date in creation.dates]):
        for row in tx.rows(_EXISTING, {"dag_id": work.dag.dag_id, "dates": batch}):
            work.found[row.logical_date] = FoundRun(*row)
    for date in creation.dates:
        conflict = None if work.settled(date) else _date_conflict(date, work.found.get(date.interval.start))
        if conflict is not None:
            return f"{work.dag.dag_id} / {date.run_id}: {conflict}"
    return None


def _date_conflict(date: DatePlan, found: FoundRun | None) -> str | None:
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


def _insert_runs(work: Creating, backfill_id: int) -> None:
    """Insert the runs that do not exist."""
    new = [date for date in work.creation.dates if date.existing_id is None and not work.settled(date)]
    runs = [_new_run(work, date, backfill_id) for date in new]
    created = insert_runs(work.tx, work.author, runs, work.history)
    for date in new:
        start = date.interval.start
        work.found[start] = FoundRun(created[start], date.run_id, start, DagRunState.QUEUED, 1, None)


def _new_run(work: Creating, date: DatePlan, backfill_id: int) -> NewRun:
    return NewRun(
        work.dag.dag_id,
        date.run_id,
        RunType.BACKFILL,
        date.interval,
        date.interval.start,
        f"wanted by backfill {backfill_id}",
        Options(**asdict(options_for(work.request, date)), conf=date.conf),
        backfill_id=backfill_id,
    )


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
