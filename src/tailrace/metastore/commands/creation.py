"""Creates a backfill with all its runs in one transaction, or continues one. What is created was decided by planning.

The DAG's guard row is locked throughout, so two creations cannot both be first. Facts that changed since they were read
make the whole creation stale: nothing is written and the caller decides again.
"""

from typing import Any

from msgspec.structs import asdict, replace
from sqlalchemy import bindparam, insert, select, update

from tailrace.errors import InternalError
from tailrace.metastore.commands.creating import Creating, FoundRun
from tailrace.metastore.commands.facts import open_backfill
from tailrace.metastore.commands.requeued_runs import requeue_runs, stored_part
from tailrace.metastore.db.columns import to_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag, dag_run
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.rows import part_text
from tailrace.metastore.writes.backfills import (
    LOCKED_COLUMNS,
    LockedBackfill,
    Wanted,
    insert_backfill,
    locked_backfill,
    set_columns,
)
from tailrace.metastore.writes.records import Author, insert_history, record
from tailrace.metastore.writes.runs import NewRun, Options, insert_runs
from tailrace.metastore.writes.stateless import insert_row, renew_dag
from tailrace.metastore.writes.structures import Structures
from tailrace.model.chains import Chain
from tailrace.model.keys import RunType
from tailrace.model.parts import part_of
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, DagRunState
from tailrace.planning.backfills import BackfillCreation, DateAction, DatePlan
from tailrace.planning.creation import options_for

_LOCK_DAG = select(dag.c.version).where(dag.c.dag_id == bindparam("dag_id")).with_for_update(key_share=True)
_LOCK_BACKFILL = (
    select(*LOCKED_COLUMNS, backfill.c.detached)
    .where(backfill.c.id == bindparam("backfill"))
    .with_for_update(key_share=True)
)
_EXISTING = (
    select(
        dag_run.c.id,
        dag_run.c.run_id,
        dag_run.c.logical_date,
        dag_run.c.state,
        dag_run.c.version,
        dag_run.c.clear_on_activation,
        dag_run.c.part,
        dag_run.c.chain_head,
        dag_run.c.chain_length,
    )
    .where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True)))
    .order_by(dag_run.c.id)
    .with_for_update(key_share=True)
)
_WANTED = (
    select(
        backfill_run.c.dag_run_id,
        dag_run.c.logical_date,
        backfill_run.c.ordinal,
        backfill_run.c.action,
        backfill_run.c.reason,
        backfill_run.c.clear,
    )
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
    author = Author.of_command(tx, write_id)
    lock_dag_row(tx, author, dag_spec.dag_id)
    work = Creating(tx, dag_spec, creation, author)
    conflict = _find_conflict(work)
    if conflict is not None:
        raise StaleFacts(conflict)
    structure = structures.row_of(tx, author, dag_spec)
    renew_dag(tx, author, dag_spec.dag_id, dag_version_id=structure)
    changed = {} if work.continued is None else _continued(work, work.continued, command, structure)
    written = work.continued or insert_backfill(
        *(tx, author, dag_spec.dag_id, structure, work.request, command, work.history),
        None if work.request.part is None else part_text(part_of(dag_spec, work.request.part)),
    )
    _insert_runs(work, written.id)
    requeue_runs(work, written.id)
    set_columns(tx, author, written, changed, work.history, _want(work, written.id))
    insert_history(tx, work.history)
    result = {"id": written.id}
    record(tx, write_id, result)
    return result


def lock_dag_row(tx: Transaction, author: Author, dag_id: str, structure: int = 0, *, paused: bool = False) -> None:
    """Lock the DAG's guard row; make it, paused or not, for a DAG that is new here."""
    if tx.row(_LOCK_DAG, {"dag_id": dag_id}) is not None:
        return
    # Two first creations at once: the second's insert violates the key, and the whole write is done again.
    values = {"dag_id": dag_id, "paused": paused, "version": 0, "dag_version_id": structure, "created_at": author.at}
    insert_row(tx, author, dag, values)


def _find_conflict(work: Creating) -> str | None:
    """The first fact that is no longer as the creation was decided from, or None."""
    tx, creation = work.tx, work.creation
    if not work.request.new:
        current = open_backfill(tx, work.request.fingerprint)
        if current != creation.continues:
            return f"the unfinished backfill of this command is now {current}, was {creation.continues}"
    if creation.continues is not None:
        locked = tx.row(_LOCK_BACKFILL, {"backfill": creation.continues})
        work.continued = locked_backfill(locked)
        work.detached = locked.detached
        for run, date, *wanted in tx.rows(_WANTED, {"backfill_id": creation.continues}):
            work.wanted[run], work.wants[run] = date, Wanted(*wanted)
    for batch in in_batches([date.interval.start for date in creation.dates]):
        for row in tx.rows(_EXISTING, {"dag_id": work.dag.dag_id, "dates": batch}):
            facts = (row.id, row.run_id, row.logical_date, row.state, row.version, row.clear_on_activation)
            work.found[row.logical_date] = FoundRun(*facts, Chain(row.chain_head, row.chain_length), row.part)
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
    if date.must_be_open and closed:
        return f"expected an open run, found it {found.state}"
    if date.must_be_queued and found.state != DagRunState.QUEUED:
        return f"expected a queued run, found it {found.state}"
    return None


def _continued(work: Creating, found: LockedBackfill, command: str, structure: int) -> dict[str, Any]:
    """The changed limits of the backfill that is continued."""
    request = work.request
    return {
        "version": found.version + 1,
        "dag_version_id": structure,
        "pool": request.pool,
        "max_active_runs": request.max_active_runs,
        "stop_on_failure": request.stop_on_failure,
        "backwards": request.backwards,
        "command": command,
        "detached": work.detached or request.detached,
    }


def _insert_runs(work: Creating, backfill_id: int) -> None:
    """Insert the runs that do not exist."""
    new = [date for date in work.creation.dates if date.existing_id is None and not work.settled(date)]
    runs = [_new_run(work, date, backfill_id) for date in new]
    created = insert_runs(work.tx, work.author, runs, work.history)
    for date in new:
        start = date.interval.start
        made = created[start]
        work.found[start] = FoundRun(made.id, date.run_id, start, DagRunState.QUEUED, 1, None, made.chain)


def _new_run(work: Creating, date: DatePlan, backfill_id: int) -> NewRun:
    return NewRun(
        work.dag.dag_id,
        date.run_id,
        RunType.BACKFILL,
        date.interval,
        date.interval.start,
        f"wanted by backfill {backfill_id}",
        Options(**asdict(options_for(work.request, date)), conf=date.conf, part=stored_part(date)),
        backfill_id=backfill_id,
    )


def _want(work: Creating, backfill_id: int) -> dict[int, Wanted]:
    """Write who wants what in which order; a continued backfill keeps what it has and takes the new order.

    Returns what is otherwise than it was.

    What it wants although its schedule has no such date any more takes its place among the others by its date.
    """
    dates = {work.found[date.interval.start].id: date for date in work.creation.dates}
    moments = work.wanted | {id: date.interval.start for id, date in dates.items()}
    order = sorted(moments, key=lambda id: moments[id], reverse=work.request.backwards)
    kept, added, changed = [], [], dict[int, Wanted]()
    for place, id in enumerate(order):
        if id in work.wanted:
            if work.wants[id].ordinal != place:
                kept.append({"backfill": backfill_id, "run": id, "place": place})
                changed[id] = replace(work.wants[id], ordinal=place)
            continue
        date = dates[id]
        wanted = changed[id] = Wanted(place, date.action, date.reason, to_json(list(date.clear)))
        added.append(
            {
                "backfill_id": backfill_id,
                "dag_run_id": id,
                "run_state": date.left_as or work.found[date.interval.start].state,
                **asdict(wanted),
            }
        )
    work.tx.change_many(_REORDER, kept)
    work.tx.change_many(_INSERT_WANTED, added)
    return changed
