"""Reads what the audit looks at, in one transaction: history and task instances a page at a time. Checks nothing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, bindparam, select

from tailrace.audit.records import (
    AuditRecords,
    BackfillRecord,
    Evidence,
    HistoryRecord,
    RunRecord,
    TaskInstanceRecord,
)
from tailrace.metastore.columns import from_json
from tailrace.metastore.specs import spec_from, spec_hash
from tailrace.metastore.tables import backfill, backfill_run, dag_run, dag_version, history, pool, task_instance
from tailrace.metastore.transaction import Transaction
from tailrace.model.spec import DagSpec

#: Rows read at a time: enough that asking costs nothing beside reading.
PAGE = 2000

_HISTORY = (
    select(
        history.c.id,
        history.c.kind,
        history.c.dag_id,
        history.c.run_id,
        history.c.task_id,
        history.c.map_index,
        history.c.backfill_id,
        history.c.before,
        history.c.after,
        history.c.actor,
        history.c.cause,
        history.c.try_number,
        history.c.token,
        history.c.dag_version_id,
        history.c.task_instance_id,
        history.c.pool,
        history.c.evidence,
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
    dag_run.c.logical_date,
    dag_run.c.run_type,
    dag_run.c.ignore_depends_on_past,
    dag_run.c.pool,
    dag_run.c.dag_version_id,
    dag_run.c.blocked,
).order_by(dag_run.c.id)
_BACKFILLS = select(backfill.c.id, backfill.c.dag_id, backfill.c.state, backfill.c.stop_on_failure).order_by(
    backfill.c.id
)
_WANTED = (
    select(backfill_run.c.backfill_id, dag_run.c.run_id)
    .join(dag_run, dag_run.c.id == backfill_run.c.dag_run_id)
    .order_by(backfill_run.c.backfill_id, backfill_run.c.ordinal, dag_run.c.id)
)
_STRUCTURES = select(dag_version.c.id, dag_version.c.dag_id, dag_version.c.spec_hash, dag_version.c.spec).order_by(
    dag_version.c.id
)


class PagedRecords(Struct, frozen=True):
    """Everything an audit looks at, of one open transaction, with only a page of it in memory."""

    tx: Transaction
    runs: tuple[RunRecord, ...]
    backfills: tuple[BackfillRecord, ...]
    structures: Mapping[int, DagSpec]
    pools: Mapping[str, int]
    damaged: tuple[str, ...]

    @property
    def history(self) -> Iterator[HistoryRecord]:
        """Every row, in order."""
        return (_history(row) for row in _pages(self.tx, _HISTORY))

    @property
    def task_instances(self) -> Iterator[TaskInstanceRecord]:
        """Every task instance, by row."""
        return (_task_instance(row) for row in _pages(self.tx, _TASK_INSTANCES))


def page_audit_records(tx: Transaction) -> PagedRecords:
    """What an audit looks at, to be read while this transaction lasts."""
    wanted: dict[int, list[str]] = {}
    for backfill_id, run_id in tx.rows(_WANTED):
        wanted.setdefault(backfill_id, []).append(run_id)
    structures, damaged = _structures(tx)
    return PagedRecords(
        tx,
        runs=_runs(tx),
        backfills=tuple(
            BackfillRecord(row.id, row.dag_id, row.state, row.stop_on_failure, tuple(wanted.get(row.id, ())))
            for row in tx.rows(_BACKFILLS)
        ),
        structures=structures,
        pools={row.name: row.slots for row in tx.rows(select(pool.c.name, pool.c.slots))},
        damaged=damaged,
    )


def read_audit_records(tx: Transaction) -> AuditRecords:
    """The same, all of it in memory: for histories that are looked at more than once."""
    paged = page_audit_records(tx)
    return AuditRecords(
        history=tuple(paged.history),
        task_instances=tuple(paged.task_instances),
        runs=paged.runs,
        backfills=paged.backfills,
        structures=paged.structures,
        pools=paged.pools,
        damaged=paged.damaged,
    )


def _pages(tx: Transaction, page: Select[Any]) -> Iterator[Any]:
    last = 0
    while rows := tx.rows(page, {"after_id": last}):
        yield from rows
        last = rows[-1][0]


def _structures(tx: Transaction) -> tuple[dict[int, DagSpec], tuple[str, ...]]:
    whole: dict[int, DagSpec] = {}
    damaged: list[str] = []
    for row in tx.rows(_STRUCTURES):
        if spec_hash(row.spec) == row.spec_hash:
            whole[row.id] = spec_from(row.spec)
        else:
            damaged.append(f"{row.dag_id} version {row.id}")
    return whole, tuple(damaged)


def _runs(tx: Transaction) -> tuple[RunRecord, ...]:
    return tuple(
        RunRecord(
            dag_id=row.dag_id,
            run_id=row.run_id,
            state=row.state,
            logical_date=row.logical_date,
            run_type=row.run_type,
            ignore_depends_on_past=row.ignore_depends_on_past,
            pool=row.pool,
            structure=row.dag_version_id,
            id=row.id,
            blocked=_evidence(f'{{"blocked":{row.blocked}}}').blocked if row.blocked is not None else None,
        )
        for row in tx.rows(_RUNS)
    )


def _task_instance(row: Any) -> TaskInstanceRecord:
    columns: list[Any] = list(row[1:])
    columns[0], columns[1] = columns[0] or "", columns[1] or "(no run)"
    columns[-1] = None if columns[-1] is None else tuple(from_json(columns[-1]))
    return TaskInstanceRecord(*columns)


def _history(row: Any) -> HistoryRecord:
    columns: list[Any] = list(row)
    columns[-1] = None if columns[-1] is None else _evidence(columns[-1])
    return HistoryRecord(*columns)


def _evidence(text: str) -> Evidence:
    """What was stored; anything that cannot be read is told by the audit, not raised here."""
    try:
        stored = from_json(text)
        return Evidence(
            followed=_maybe(stored, "followed", tuple),
            blocked=_maybe(stored, "blocked", lambda all: tuple(_place(each["task_instance"]) for each in all)),
            blocked_by=_maybe(stored, "blocked", _blocked_by),
            assumed=_maybe(stored, "task_instances", _by_row),
            past=_maybe(stored, "previous", _by_row),
            pools=stored.get("pools"),
            run_pool=stored.get("pool"),
            ignores_past=bool(stored.get("ignores_past", False)),
            stopping_to=stored.get("stopping_to"),
            looked_at=(stored["previous_run"] or "") if "previous_run" in stored else None,
            clear=_maybe(stored, "clear", tuple),
            live=bool(stored.get("live", False)),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Evidence(damaged=True)


def _maybe(stored: Mapping[str, Any], name: str, read: Any) -> Any:
    found = stored.get(name)
    return None if found is None else read(found)


def _by_row(stored: Mapping[str, str]) -> dict[int, str]:
    return {int(id): state for id, state in stored.items()}


def _place(key: Mapping[str, Any]) -> tuple[str, int]:
    return key["task_id"], key["map_index"]


def _blocked_by(blocked: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {each["task_instance"]["task_id"]: each["previous_run"] for each in blocked if "previous_run" in each}
