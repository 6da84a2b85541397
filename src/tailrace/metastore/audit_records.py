"""Reads what the audit looks at, in one transaction. The checks are ``audit``'s."""

from typing import Any

from sqlalchemy import select

from tailrace.audit.records import AuditRecords, HistoryRecord, RunRecord, TaskInstanceRecord
from tailrace.metastore.columns import from_json
from tailrace.metastore.connection import Transaction
from tailrace.metastore.specs import spec_from
from tailrace.metastore.tables import dag, dag_run, dag_version, history, pool, task_instance

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
        task_instance.c.followed,
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
    )
    .select_from(dag_run)
    .outerjoin(_previous, _previous.c.id == dag_run.c.previous_id)
    .order_by(dag_run.c.id)
)
_SPECS = select(dag.c.dag_id, dag_version.c.spec).join(dag_version, dag_version.c.id == dag.c.dag_version_id)


def read_audit_records(tx: Transaction) -> AuditRecords:
    """History, rows, structures and pools, of one moment."""
    return AuditRecords(
        history=tuple(HistoryRecord(*row) for row in tx.rows(_HISTORY)),
        task_instances=tuple(_task_instance(row) for row in tx.rows(_TASK_INSTANCES)),
        runs=tuple(RunRecord(*row) for row in tx.rows(_RUNS)),
        dags={row.dag_id: spec_from(row.spec) for row in tx.rows(_SPECS)},
        pools={row.name: row.slots for row in tx.rows(select(pool.c.name, pool.c.slots))},
    )


def _task_instance(row: Any) -> TaskInstanceRecord:
    return TaskInstanceRecord(
        row.dag_id,
        row.run_id,
        row.task_id,
        row.map_index,
        row.state,
        row.try_number,
        row.token,
        row.pool,
        row.pool_slots,
        None if row.followed is None else tuple(from_json(row.followed)),
    )
