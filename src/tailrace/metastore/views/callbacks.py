"""How the callbacks of a run's events stand: called, failed, being called, or waiting, and for whom."""

from typing import Any

from sqlalchemy import bindparam, select, text

from tailrace.metastore.db.tables import job, outbox
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rows import job_alive
from tailrace.model.callbacks import EventState
from tailrace.model.states import JobKind, JobState
from tailrace.planning.explain_facts import CallbackFacts

_OF_RUN = (
    select(outbox)
    .where(outbox.c.dag_id == bindparam("of_dag"), outbox.c.run_id == bindparam("of_run"))
    .order_by(outbox.c.id)
)
_JOBS = (
    select(job.c.id, job.c.kind, job.c.dag_id, job.c.state, job.c.lease_until, job.c.lease_epoch, job.c.lease_seconds)
    .where(text(f"job.state = '{JobState.RUNNING}'"))
    .order_by(job.c.id)
)


def callbacks_of(tx: Transaction, dag_id: str, run_id: str) -> tuple[CallbackFacts, ...]:
    """The callbacks of one run and its task instances, in the order of their events."""
    rows = tx.rows(_OF_RUN, {"of_dag": dag_id, "of_run": run_id})
    waits = any(row.status == EventState.WAITING for row in rows)
    jobs = _jobs(tx, dag_id) if waits else ()
    return tuple(_facts(tx, row, jobs) for row in rows)


def _jobs(tx: Transaction, dag_id: str) -> tuple[int, ...]:
    """The live jobs that may have the DAG: who loaded another folder has not, and says nothing of it."""
    now = tx.moment
    return tuple(
        row.id
        for row in tx.rows(_JOBS)
        if (row.kind == JobKind.SCHEDULER or row.dag_id == dag_id)
        and job_alive(row.state, row.lease_until, row.lease_epoch, row.lease_seconds, now)
    )


def _facts(tx: Transaction, row: Any, jobs: tuple[int, ...]) -> CallbackFacts:
    lease = (row.lease_until, row.lease_epoch, row.lease_seconds)
    held = row.status == EventState.WAITING and row.lease_until is not None and not tx.moment.expired(*lease)
    return CallbackFacts(
        event_id=row.event_id,
        callback=row.callback,
        task_id=row.task_id,
        map_index=row.map_index,
        try_number=row.try_number if row.task_id is not None else None,
        at=row.at,
        state=row.status,
        error=row.error,
        ended_at=row.ended_at,
        called_by=row.holder if held else None,
        jobs=jobs if row.status == EventState.WAITING else (),
    )
