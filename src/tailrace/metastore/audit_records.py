"""Reads what the audit looks at, in one transaction. The checks are ``audit``'s."""

from typing import Any

from sqlalchemy import select

from tailrace.audit.records import AuditRecords, BackfillRecord, HistoryRecord, RunRecord, TaskInstanceRecord
from tailrace.metastore.columns import from_json
from tailrace.metastore.connection import Transaction
from tailrace.metastore.specs import spec_from
from tailrace.metastore.tables import backfill, backfill_run, dag_run, dag_version, history, pool, task_instance

_HISTORY = select(
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
    history.c.evidence,
).order_by(history.c.id)
_TASK_INSTANCES = (
    select(
        dag_run.c.dag_id,
        dag_run.c.run_id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.state,
        task_instance.c.try_number,
        task_instance.c.token,
        task_instance.c.pool,
        task_instance.c.pool_slots,
    )
    .select_from(task_instance)
    .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    .order_by(task_instance.c.id)
)
_previous = dag_run.alias("previous")
_RUNS = (
    select(
        dag_run.c.dag_id,
        dag_run.c.run_id,
        dag_run.c.state,
        _previous.c.run_id,
        dag_run.c.ignore_depends_on_past,
        dag_run.c.pool,
        dag_run.c.dag_version_id,
    )
    .select_from(dag_run)
    .outerjoin(_previous, _previous.c.id == dag_run.c.previous_id)
    .order_by(dag_run.c.id)
)
_BACKFILLS = select(backfill.c.id, backfill.c.dag_id, backfill.c.state, backfill.c.stop_on_failure).order_by(
    backfill.c.id
)
_WANTED = (
    select(backfill_run.c.backfill_id, dag_run.c.run_id)
    .join(dag_run, dag_run.c.id == backfill_run.c.dag_run_id)
    .order_by(backfill_run.c.backfill_id, backfill_run.c.ordinal, dag_run.c.id)
)
_STRUCTURES = select(dag_version.c.id, dag_version.c.spec).order_by(dag_version.c.id)


def read_audit_records(tx: Transaction) -> AuditRecords:
    """History, rows, structures and pools, of one moment."""
    wanted: dict[int, list[str]] = {}
    for backfill_id, run_id in tx.rows(_WANTED):
        wanted.setdefault(backfill_id, []).append(run_id)
    return AuditRecords(
        history=tuple(_history(row) for row in tx.rows(_HISTORY)),
        task_instances=tuple(TaskInstanceRecord(*row) for row in tx.rows(_TASK_INSTANCES)),
        runs=tuple(RunRecord(*row) for row in tx.rows(_RUNS)),
        backfills=tuple(
            BackfillRecord(row.id, row.dag_id, row.state, row.stop_on_failure, tuple(wanted.get(row.id, ())))
            for row in tx.rows(_BACKFILLS)
        ),
        structures={row.id: spec_from(row.spec) for row in tx.rows(_STRUCTURES)},
        pools={row.name: row.slots for row in tx.rows(select(pool.c.name, pool.c.slots))},
    )


def _history(row: Any) -> HistoryRecord:
    columns: dict[str, Any] = dict(row._mapping)
    text = columns.pop("evidence")
    evidence = {} if text is None else from_json(text)
    followed, blocked = evidence.get("followed"), evidence.get("blocked")
    columns["followed"] = None if followed is None else tuple(followed)
    columns["blocked"] = None if blocked is None else tuple(_place(each["task_instance"]) for each in blocked)
    return HistoryRecord(**columns)


def _place(key: dict[str, Any]) -> tuple[str, int]:
    return key["task_id"], key["map_index"]
