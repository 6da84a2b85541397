"""Reads what exists of a range before a backfill is planned: runs, their task instances, who wants them. Read only."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, backfill, backfill_run, dag, dag_run, pool, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.lookback import read_past_of_range
from tailrace.metastore.plans.rows import RUN_STATES, STATES
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import (
    BackfillFacts,
    BackfillRequest,
    ExistingRun,
    ExistingTaskInstance,
)
from tailrace.planning.snapshot import RunOptions

_DAG = select(dag.c.paused).where(dag.c.dag_id == bindparam("dag_id"))
_POOLS = select(pool.c.name, pool.c.slots).order_by(pool.c.name)
_OPEN_BACKFILL = (
    select(backfill.c.id)
    .where(backfill.c.fingerprint == bindparam("fingerprint"), backfill.c.state.in_(UNFINISHED_BACKFILL))
    .order_by(backfill.c.id.desc())
    .limit(1)
)
_RUNS = (
    select(
        dag_run.c.id,
        dag_run.c.run_id,
        dag_run.c.logical_date,
        dag_run.c.interval_start,
        dag_run.c.interval_end,
        dag_run.c.run_type,
        dag_run.c.state,
        dag_run.c.version,
        dag_run.c.conf,
        dag_run.c.disable_retry,
        dag_run.c.mark_success,
        dag_run.c.ignore_depends_on_past,
        dag_run.c.pool,
        dag_run.c.clear_on_activation,
    )
    .where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True)))
    .order_by(dag_run.c.logical_date)
)
_TASK_INSTANCES = (
    select(
        task_instance.c.dag_run_id,
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.state,
        task_instance.c.cause,
    )
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(task_instance.c.dag_run_id, task_instance.c.id)
)
_WANTED_BY = (
    select(backfill_run.c.dag_run_id, backfill_run.c.backfill_id, backfill.c.conf.is_not(None))
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .where(backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)), backfill.c.state.in_(UNFINISHED_BACKFILL))
    .order_by(backfill_run.c.dag_run_id, backfill_run.c.backfill_id)
)


def open_backfill(tx: Transaction, fingerprint: str) -> int | None:
    """The newest unfinished backfill of this fingerprint."""
    row = tx.row(_OPEN_BACKFILL, {"fingerprint": fingerprint})
    return None if row is None else int(row[0])


def read_facts(
    tx: Transaction, dag_spec: DagSpec, request: BackfillRequest, intervals: Iterable[DataInterval]
) -> BackfillFacts:
    """What exists of these dates. Everything is of one moment, told in ``now``."""
    dates = [interval.start for interval in intervals]
    paused = tx.row(_DAG, {"dag_id": dag_spec.dag_id})
    return BackfillFacts(
        now=tx.moment.wall,
        dag_paused=paused is not None and bool(paused[0]),
        existing=_existing(tx, dag_spec.dag_id, dates),
        past=read_past_of_range(tx, dag_spec, dates[0], dates[-1]) if dates and dag_spec.depends_on_past else None,
        open_with_fingerprint=open_backfill(tx, request.fingerprint),
        pools={row.name: row.slots for row in tx.rows(_POOLS)},
    )


def _existing(tx: Transaction, dag_id: str, dates: Sequence[datetime]) -> dict[datetime, ExistingRun]:
    rows = [row for batch in in_batches(dates) for row in tx.rows(_RUNS, {"dag_id": dag_id, "dates": batch})]
    ids = [row.id for row in rows]
    wanted_by: dict[int, tuple[int, ...]] = {}
    conf_given_by: dict[int, tuple[int, ...]] = {}
    task_instances: dict[int, list[ExistingTaskInstance]] = {}
    for batch in in_batches(ids):
        for run, backfill_id, gives_conf in tx.rows(_WANTED_BY, {"runs": batch}):
            wanted_by[run] = (*wanted_by.get(run, ()), backfill_id)
            if gives_conf:
                conf_given_by[run] = (*conf_given_by.get(run, ()), backfill_id)
        for run, task_id, map_index, state, cause in tx.rows(_TASK_INSTANCES, {"runs": batch}):
            found = ExistingTaskInstance(task_id, map_index, STATES[state], Cause(cause))
            task_instances.setdefault(run, []).append(found)
    return {
        row.logical_date: _run(
            row, wanted_by.get(row.id, ()), conf_given_by.get(row.id, ()), task_instances.get(row.id, ())
        )
        for row in rows
    }


def _run(
    row: Any,
    wanted_by: tuple[int, ...],
    conf_given_by: tuple[int, ...],
    task_instances: Iterable[ExistingTaskInstance],
) -> ExistingRun:
    return ExistingRun(
        id=row.id,
        run_id=row.run_id,
        logical_date=row.logical_date,
        run_type=RunType(row.run_type),
        state=RUN_STATES[row.state],
        version=row.version,
        conf=row.conf,
        options=RunOptions(row.disable_retry, row.mark_success, row.ignore_depends_on_past, row.pool),
        wanted_by=wanted_by,
        conf_given_by=conf_given_by,
        pending_clear=() if row.clear_on_activation is None else tuple(from_json(row.clear_on_activation)),
        task_instances=tuple(task_instances),
        data_interval=DataInterval(row.interval_start, row.interval_end),
    )
