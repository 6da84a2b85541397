"""Removes old closed rows when a person asks for it, a bounded piece in each transaction. Nothing else deletes any.

Backfills go first, then the runs that no backfill left wants: after each transaction what remains is whole, so an
interrupted cleaning leaves a history that still stands up to the audit. A run goes with all its rows or not at all.

Kept, however old: what is not closed; a run that a backfill which stays wants, that an open run looks back at, or whose
task instances still occupy room; the newest run of each DAG and the newest that has each of its tasks, so that the next
date finds its past; and the rows with the highest ids, so that SQLite never gives an id a second time.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    text,
)

from tailrace.metastore.db.tables import (
    OCCUPYING_SQL,
    backfill,
    backfill_run,
    dag,
    dag_run,
    dag_version,
    history,
    outbox,
    task_instance,
    write_record,
    xcom,
)
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.guards import lock_dag
from tailrace.metastore.plans.lookback import closed_looked_at
from tailrace.metastore.writes.records import (
    Author,
    begin_cleaned_row,
    cleaned_row,
    end_cleaned_row,
    insert_metastore_history,
    record,
)
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.chains import CHANGED
from tailrace.model.keys import RunType
from tailrace.model.states import BACKFILL_CLOSED, CLOSED, BackfillState, DagRunState, TaskInstanceState

#: A write is repeated under its id by the process that made it, seconds after it; a process that slept longer finds the
#: state, the version and the try number it expected gone. A week is far beyond the first and costs little.
KEEP_WRITE_RECORDS = timedelta(days=7)

BACKFILLS_AT_ONCE = 20
RUNS_AT_ONCE = 50
RECORDS_AT_ONCE = 5000

_CLOSED_RUN = [state.value for state in DagRunState if state in CLOSED]
_OPEN_RUN = [state.value for state in DagRunState if state not in CLOSED]
_CLOSED_BACKFILL = [state.value for state in BackfillState if state in BACKFILL_CLOSED]

_other_backfill = backfill.alias("other_backfill")
_other_instance = task_instance.alias("other_instance")
_later = dag_run.alias("later")
_later_instance = task_instance.alias("later_instance")
_own_instance = task_instance.alias("own_instance")
_newest = dag_run.alias("newest")
_STRUCTURES = select(dag_version.c.spec).join(dag, dag.c.dag_version_id == dag_version.c.id).order_by(dag.c.dag_id)
_OPEN_RUNS = select(dag_run.c.id).where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.state.in_(_OPEN_RUN))
_LOCK_BACKFILLS = (
    select(backfill.c.id, backfill.c.chain_length, backfill.c.chain_head)
    .where(backfill.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(backfill.c.id)
).with_for_update()


#: How many rows of each kind were removed; and of what a chain was removed with it, where it ended.
_Removed = tuple[dict[str, int], dict[str, Any]]


class Cleaning(Struct, frozen=True):
    """What a person wants removed: what ended before ``before`` (aware), of one DAG or, with None, of all."""

    before: datetime
    dag_id: str | None = None


def count_cleanable(tx: Transaction, cleaning: Cleaning) -> dict[str, int]:
    """How many rows of each kind a cleaning would remove now."""
    backfills = select(backfill.c.id).where(_old_backfill(cleaning))
    old = _old_run(tx, cleaning)
    runs = select(dag_run.c.id).where(old)
    names = select(dag_run.c.dag_id, dag_run.c.run_id).where(old).subquery()
    instances = select(task_instance.c.id).where(task_instance.c.dag_run_id.in_(runs))
    of_runs = select(func.count()).select_from(
        history.join(names, and_(history.c.dag_id == names.c.dag_id, history.c.run_id == names.c.run_id))
    )
    of_backfills = select(func.count()).where(_of_backfills(backfills))
    counts = {
        "backfills": select(func.count()).where(_old_backfill(cleaning)),
        "runs": select(func.count()).where(old),
        "task instances": select(func.count()).where(task_instance.c.dag_run_id.in_(runs)),
        "xcoms": select(func.count()).where(xcom.c.task_instance_id.in_(instances)),
        "write records": select(func.count()).where(_old_record(tx, cleaning)),
        "events": select(func.count()).where(
            or_(
                outbox.c.task_instance_id.in_(instances),
                and_(outbox.c.kind == "dag_run", outbox.c.dag_run_id.in_(runs)),
                and_(outbox.c.kind == "backfill", outbox.c.backfill_id.in_(backfills)),
            )
        ),
    }
    found = {name: int(tx.value(counted)) for name, counted in counts.items()}
    found["history rows"] = int(tx.value(of_runs)) + int(tx.value(of_backfills))
    return {name: count for name, count in found.items() if count}


def clean_some(tx: Transaction, cleaning: Cleaning, write_id: str) -> dict[str, int]:
    """Remove one bounded piece and say how much of what it was; nothing when all is done.

    The DAG's guard is locked, so nobody wants, reopens or clears a run of it meanwhile.
    """
    author = Author.of_command(tx, write_id)
    text = f"what ended before {cleaning.before.isoformat()}"
    # Before anything is removed: SQLite would give the id of the newest row again, and whoever has seen that one would
    # find another (see ``witness``). PostgreSQL gives none twice, and others may add to the same chain meanwhile.
    if not tx.postgres:
        begin_cleaned_row(tx, cleaned_row(author, cleaning.dag_id or "", text, {}))
    removed, gone = _backfills(tx, cleaning) or _runs(tx, cleaning) or (_records(tx, cleaning), {})
    row = cleaned_row(author, cleaning.dag_id or "", text, removed)
    if not removed:
        tx.change(delete(history).where(history.c.write_id == write_id))
    elif tx.postgres:
        insert_metastore_history(tx, (row, {"removed": gone}))
    else:
        end_cleaned_row(tx, row, {"removed": gone})
    record(tx, write_id, removed)
    return removed


def _old_backfill(cleaning: Cleaning) -> ColumnElement[bool]:
    highest = select(func.max(_other_backfill.c.id)).scalar_subquery()
    wanted = [
        backfill.c.state.in_(_CLOSED_BACKFILL),
        backfill.c.ended_at < cleaning.before,
        backfill.c.id != highest,
    ]
    if cleaning.dag_id is not None:
        wanted.append(backfill.c.dag_id == cleaning.dag_id)
    return and_(*wanted)


def _old_run(tx: Transaction, cleaning: Cleaning) -> ColumnElement[bool]:
    """The runs that may go: nobody who stays needs them."""
    staying = (
        select(backfill_run.c.dag_run_id)
        .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
        .where(backfill_run.c.dag_run_id == dag_run.c.id, ~_old_backfill(cleaning))
        .correlate(dag_run)
    )
    newer = exists().where(_newest.c.dag_id == dag_run.c.dag_id, _newest.c.logical_date > dag_run.c.logical_date)
    highest_instance = select(func.max(_other_instance.c.id)).scalar_subquery()
    kept_instance = exists().where(
        task_instance.c.dag_run_id == dag_run.c.id,
        or_(text(f"task_instance.{OCCUPYING_SQL}"), task_instance.c.id == highest_instance),
    )
    touched = exists().where(  # a person may have marked it long after its end
        history.c.dag_id == dag_run.c.dag_id, history.c.run_id == dag_run.c.run_id, history.c.at >= cleaning.before
    )
    wanted = [
        dag_run.c.state.in_(_CLOSED_RUN),
        dag_run.c.ended_at < cleaning.before,
        ~touched,
        dag_run.c.id != select(func.max(_newest.c.id)).scalar_subquery(),
        newer,
        ~staying.exists(),
        ~_has_a_task_last(),
        dag_run.c.id.not_in(_looked_at(tx, cleaning.dag_id)),
        ~kept_instance,
    ]
    if cleaning.dag_id is not None:
        wanted.append(dag_run.c.dag_id == cleaning.dag_id)
    return and_(*wanted)


def _has_a_task_last() -> ColumnElement[bool]:
    """Whether no later run has one of the run's tasks. Runs triggered by hand may count for nobody: no stand-in."""
    stands_in = (
        exists()
        .where(
            _later.c.dag_id == dag_run.c.dag_id,
            _later.c.logical_date > dag_run.c.logical_date,
            or_(_later.c.run_type != RunType.MANUAL, dag_run.c.run_type == RunType.MANUAL),
            _later_instance.c.dag_run_id == _later.c.id,
            _later_instance.c.task_id == _own_instance.c.task_id,
            _later_instance.c.state != TaskInstanceState.REMOVED,
        )
        .correlate(dag_run, _own_instance)
    )
    return (
        exists()
        .where(
            _own_instance.c.dag_run_id == dag_run.c.id, _own_instance.c.state != TaskInstanceState.REMOVED, ~stands_in
        )
        .correlate(dag_run)
    )


def _looked_at(tx: Transaction, dag_id: str | None) -> list[int]:
    """The closed runs that open ones look back at, of one DAG or of all."""
    found: list[int] = []
    for row in tx.rows(_STRUCTURES if dag_id is None else _STRUCTURES.where(dag.c.dag_id == dag_id)):
        spec = spec_from(row.spec)
        if spec.depends_on_past:
            runs = [each.id for each in tx.rows(_OPEN_RUNS, {"dag_id": spec.dag_id})]
            found += closed_looked_at(tx, spec, runs)
    return found


def _old_record(tx: Transaction, cleaning: Cleaning) -> ColumnElement[bool]:
    """Write records belong to no DAG: only a cleaning of all DAGs removes them."""
    if cleaning.dag_id is not None:
        return false()
    return write_record.c.at < min(cleaning.before, tx.moment.wall - KEEP_WRITE_RECORDS)


def _backfills(tx: Transaction, cleaning: Cleaning) -> _Removed | None:
    """Remove some backfills of one DAG, and their wishes."""
    old = select(backfill.c.dag_id, backfill.c.id).where(_old_backfill(cleaning)).order_by(backfill.c.id)
    ids = _locked_piece(tx, lambda: old, BACKFILLS_AT_ONCE)
    if not ids:
        return None
    ends = {str(row.id): [row.chain_length, row.chain_head] for row in tx.rows(_LOCK_BACKFILLS, {"ids": ids})}
    tx.change(delete(backfill_run).where(backfill_run.c.backfill_id.in_(ids)))
    rows = tx.change(delete(history).where(_of_backfills(ids)))
    events = tx.change(delete(outbox).where(outbox.c.kind == "backfill", outbox.c.backfill_id.in_(ids)))
    removed = {"backfills": tx.change(_delete(backfill, ids)), "history rows": rows, "events": events}
    return {name: count for name, count in removed.items() if count}, {"backfill": ends}


def _of_backfills(ids: Any) -> ColumnElement[bool]:
    """The history rows that are about these backfills: those of runs that they created name one too."""
    of_backfill = or_(history.c.kind == "backfill", and_(history.c.kind == CHANGED, history.c.after == "backfill"))
    return and_(of_backfill, history.c.backfill_id.in_(ids))


def _runs(tx: Transaction, cleaning: Cleaning) -> _Removed | None:
    """Remove some runs of one DAG with everything that is theirs."""

    def old() -> Select[Any]:
        return select(dag_run.c.dag_id, dag_run.c.id).where(_old_run(tx, cleaning)).order_by(dag_run.c.id)

    ids = _locked_piece(tx, old, RUNS_AT_ONCE)
    if not ids:
        return None
    runs = tx.rows(
        select(dag_run.c.dag_id, dag_run.c.run_id, dag_run.c.chain_length, dag_run.c.chain_head)
        .where(dag_run.c.id.in_(ids))
        .order_by(dag_run.c.id)
        .with_for_update()
    )
    instances = [
        row.id
        for row in tx.rows(
            select(task_instance.c.id)
            .where(task_instance.c.dag_run_id.in_(ids))
            .order_by(task_instance.c.id)
            .with_for_update()
        )
    ]
    removed: Counter[str] = Counter()
    for some in (instances[at : at + 500] for at in range(0, len(instances), 500)):
        removed["xcoms"] += tx.change(delete(xcom).where(xcom.c.task_instance_id.in_(some)))
        removed["task instances"] += tx.change(_delete(task_instance, some))
    removed["history rows"] = tx.change(
        delete(history).where(history.c.dag_id == runs[0].dag_id, history.c.run_id.in_([run.run_id for run in runs]))
    )
    removed["events"] = tx.change(
        delete(outbox).where(outbox.c.dag_id == runs[0].dag_id, outbox.c.run_id.in_([run.run_id for run in runs]))
    )
    removed["runs"] = tx.change(_delete(dag_run, ids))
    ends = {run.run_id: [run.chain_length, run.chain_head] for run in runs}
    return {name: count for name, count in removed.items() if count}, {"dag_run": {runs[0].dag_id: ends}}


def _records(tx: Transaction, cleaning: Cleaning) -> dict[str, int]:
    some = select(write_record.c.write_id).where(_old_record(tx, cleaning)).limit(RECORDS_AT_ONCE)
    removed = tx.change(delete(write_record).where(write_record.c.write_id.in_(some)))
    return {"write records": removed} if removed else {}


def _locked_piece(tx: Transaction, old: Callable[[], Select[Any]], most: int) -> list[int]:
    """The rows of the first DAG that has any, found again under its guard: facts may have changed before the lock."""
    first = tx.row(old().limit(1))
    if first is None:
        return []
    lock_dag(tx, first.dag_id)
    return [row.id for row in tx.rows(old().limit(most)) if row.dag_id == first.dag_id]


def _delete(table: Table, ids: Sequence[int]) -> Any:
    return delete(table).where(table.c.id.in_(ids))
