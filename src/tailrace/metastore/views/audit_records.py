"""Reads what the audit looks at, in one transaction: history and task instances a page at a time. Checks nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, convert
from sqlalchemy import Select, Table, bindparam, select

from tailrace.audit.checks import examine
from tailrace.audit.records import (
    AuditRecords,
    BackfillRecord,
    EventRecord,
    HistoryRecord,
    PartRecord,
    Report,
    RowRecord,
    RunRecord,
    TaskInstanceRecord,
    Unreadable,
    XComRecord,
)
from tailrace.audit.seals import Seal
from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, dag_version, history, pool, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.views.audit_rows import (
    PAGE,
    events_as_they_stand,
    metastore_chain,
    rows_as_they_stand,
    xcoms_as_they_stand,
)
from tailrace.metastore.views.readable import is_undecodable, raw_text, undecodable_cells, unreadable_cells
from tailrace.metastore.writes.accounted import as_it_is, cell
from tailrace.metastore.writes.evidence import StoredBlocker, blocked_from, evidence_from
from tailrace.metastore.writes.specs import spec_from, spec_hash
from tailrace.model.chains import COVERED, Chain
from tailrace.model.spec import DagSpec

_COVERED = tuple(history.c[name] for name in COVERED)
_HISTORY = (
    select(
        history.c.id,
        *(as_it_is(column) if column is history.c.at else column for column in _COVERED),
        history.c.task_instance_id,
        history.c.dag_run_id,
        history.c.digest,
    )
    .where(history.c.id > bindparam("after_id"))
    .order_by(history.c.id)
    .limit(PAGE)
)
_TASK_INSTANCES = (
    select(
        task_instance.c.id,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.state,
        task_instance.c.try_number,
        task_instance.c.token,
        task_instance.c.pool,
        task_instance.c.pool_slots,
        task_instance.c.followed,
    )
    .select_from(task_instance)
    .outerjoin(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    .where(task_instance.c.id > bindparam("after_id"))
    .order_by(task_instance.c.id)
    .limit(PAGE)
)


_RUNS = select(
    dag_run.c.id,
    dag_run.c.dag_id,
    dag_run.c.run_id,
    dag_run.c.state,
    as_it_is(dag_run.c.logical_date),
    dag_run.c.run_type,
    as_it_is(dag_run.c.ignore_depends_on_past),
    dag_run.c.pool,
    dag_run.c.dag_version_id,
    dag_run.c.blocked,
).order_by(dag_run.c.id)
_BACKFILLS = select(
    backfill.c.id, backfill.c.dag_id, backfill.c.state, as_it_is(backfill.c.stop_on_failure), backfill.c.part
).order_by(backfill.c.id)
_WANTED = (
    select(backfill_run.c.backfill_id, dag_run.c.run_id)
    .join(dag_run, dag_run.c.id == backfill_run.c.dag_run_id)
    .order_by(backfill_run.c.backfill_id, backfill_run.c.ordinal, dag_run.c.id)
)
_STRUCTURES = select(dag_version.c.id, dag_version.c.dag_id, dag_version.c.spec_hash, dag_version.c.spec).order_by(
    dag_version.c.id
)


_POOLS = select(pool.c.name, pool.c.slots)


class PagedRecords(Struct, frozen=True):
    """Everything an audit looks at, of one open transaction, with only a page of it in memory."""

    tx: Transaction
    runs: tuple[RunRecord, ...]
    backfills: tuple[BackfillRecord, ...]
    structures: Mapping[int, DagSpec]
    pools: Mapping[str, int]
    damaged: tuple[str, ...]
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def history(self) -> Iterator[HistoryRecord]:
        """Every row, in order."""
        return (_history(row) for row in _usable(_pages(self.tx, _HISTORY), _HISTORY, history, self.unreadable))

    @property
    def task_instances(self) -> Iterator[TaskInstanceRecord]:
        """Every task instance, by row."""
        rows = _usable(_pages(self.tx, _TASK_INSTANCES), _TASK_INSTANCES, task_instance, self.unreadable)
        return map(_task_instance, rows)

    @property
    def rows(self) -> Iterator[RowRecord]:
        """Every row that history accounts for."""
        return rows_as_they_stand(self.tx, self.unreadable)

    @property
    def xcoms(self) -> Iterator[XComRecord]:
        """Every value that a task instance left."""
        return xcoms_as_they_stand(self.tx)

    @property
    def events(self) -> Iterator[EventRecord]:
        """Every event of which callbacks are to be called."""
        return events_as_they_stand(self.tx, self.unreadable)

    @property
    def metastore_chain(self) -> Chain:
        """Where the chain of the metastore itself ended."""
        return metastore_chain(self.tx)


def audited(tx: Transaction, against: Seal | None = None) -> Report:
    """What an audit finds, of every row and every cell; with a seal, also of what was there when that was made."""
    if tx.postgres or not is_undecodable(tx):
        return examine(page_audit_records(tx, tuple(unreadable_cells(tx))), against)
    with raw_text(tx):
        return examine(page_audit_records(tx, (*undecodable_cells(tx), *unreadable_cells(tx))), against)


def page_audit_records(tx: Transaction, unreadable: tuple[Unreadable, ...] = ()) -> PagedRecords:
    """What an audit looks at, to be read while this transaction lasts; but for what is known to be unreadable."""

    def rows(wanted: Select[Any], table: Table) -> list[Any]:
        return list(_usable(tx.rows(wanted), wanted, table, unreadable))

    wanted: dict[int, list[str]] = {}
    for backfill_id, run_id in tx.rows(_WANTED):
        wanted.setdefault(backfill_id, []).append(run_id)
    structures, damaged = _structures(rows(_STRUCTURES, dag_version))
    return PagedRecords(
        tx,
        runs=_runs(rows(_RUNS, dag_run)),
        backfills=tuple(
            BackfillRecord(
                *(row.id, row.dag_id, row.state, row.stop_on_failure, tuple(wanted.get(row.id, ()))),
                None if row.part is None else convert(from_json(row.part), PartRecord),
            )
            for row in rows(_BACKFILLS, backfill)
        ),
        structures=structures,
        pools={row.name: row.slots for row in rows(_POOLS, pool)},
        damaged=damaged,
        unreadable=unreadable,
    )


def read_audit_records(tx: Transaction) -> AuditRecords:
    """The same, all of it in memory: for histories that are looked at more than once, and that nobody has touched."""
    paged = page_audit_records(tx)
    return AuditRecords(
        history=tuple(paged.history),
        task_instances=tuple(paged.task_instances),
        runs=paged.runs,
        backfills=paged.backfills,
        structures=paged.structures,
        pools=paged.pools,
        damaged=paged.damaged,
        rows=tuple(paged.rows),
        xcoms=tuple(paged.xcoms),
        metastore_chain=paged.metastore_chain,
        events=tuple(paged.events),
    )


def _pages(tx: Transaction, page: Select[Any]) -> Iterator[Any]:
    last = 0
    while rows := tx.rows(page, {"after_id": last}):
        yield from rows
        last = rows[-1][0]


def _usable(
    rows: Iterable[Any], wanted: Select[Any], table: Table, unreadable: tuple[Unreadable, ...]
) -> Iterable[Any]:
    """The rows of which every cell that is asked for can be read; the first of these is the key."""
    asked = {column.name for column in wanted.exported_columns}
    bad = {each.row for each in unreadable if each.table == table.name and each.column in asked}
    return (row for row in rows if str(row[0]) not in bad) if bad else rows


def _structures(rows: Iterable[Any]) -> tuple[dict[int, DagSpec], tuple[str, ...]]:
    whole: dict[int, DagSpec] = {}
    damaged: list[str] = []
    for row in rows:
        spec = _spec(row)
        if spec is None:
            damaged.append(f"{row.dag_id} version {row.id}")
        else:
            whole[row.id] = spec
    return whole, tuple(damaged)


def _spec(row: Any) -> DagSpec | None:
    """The structure as it was stored, or None."""
    if spec_hash(row.spec) != row.spec_hash:
        return None
    try:
        spec = spec_from(row.spec)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return spec if spec.dag_id == row.dag_id else None


def _runs(rows: Sequence[Any]) -> tuple[RunRecord, ...]:
    return tuple(
        RunRecord(
            dag_id=row.dag_id,
            run_id=row.run_id,
            state=row.state,
            logical_date=_moment(row.logical_date),
            run_type=row.run_type,
            ignore_depends_on_past=bool(row.ignore_depends_on_past),
            pool=row.pool,
            structure=row.dag_version_id,
            id=row.id,
            blocked=None if row.blocked is None else blocked_from(convert(from_json(row.blocked), list[StoredBlocker])),
        )
        for row in rows
    )


def _moment(stored: Any) -> datetime:
    return stored if isinstance(stored, datetime) else datetime.fromisoformat(f"{stored}+00:00")


def _task_instance(row: Any) -> TaskInstanceRecord:
    columns: list[Any] = list(row[1:])
    columns[0], columns[1] = columns[0] or "", columns[1] or "(no run)"
    columns[-1] = None if columns[-1] is None else tuple(from_json(columns[-1]))
    return TaskInstanceRecord(*columns)


def _history(row: Any) -> HistoryRecord:
    _, at, write_id, kind, dag_id, run_id, task_id, map_index, backfill_id, before, after, actor, cause, *rest = row
    try_number, token, _, _, evidence, structure, pool_name, _, _, row_id, run_row, digest = rest
    return HistoryRecord(
        row[0],
        kind,
        dag_id,
        run_id,
        task_id,
        map_index,
        backfill_id,
        before,
        after,
        actor,
        cause,
        try_number,
        token,
        structure,
        row_id,
        pool_name,
        None if evidence is None else evidence_from(evidence, kind, cause, after),
        run_row,
        digest,
        (cell(history.c.at, at), *row[2 : 1 + len(COVERED)]),
    )
