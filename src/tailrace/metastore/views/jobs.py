"""Jobs as lists show them: what each drives, where, and whether it is believed alive."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import select

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.tables import job
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rows import job_alive
from tailrace.metastore.tries.job_rows import trouble_from
from tailrace.metastore.views.paging import Order, Page, Place
from tailrace.metastore.views.persons import of_jobs
from tailrace.model.states import JobState


class Job(Struct, frozen=True):
    """One job: fields are the JSON's. ``state`` is lost for one whose lease ran out before it said how it ended.

    ``tries`` says why it cannot begin any try, ``files`` and ``dags`` what is wrong with those it could not load.
    ``started_by`` is user@host.
    """

    job_id: int
    kind: str
    state: str
    host: str
    pid: int
    dag_id: str | None
    backfill_id: int | None
    started: datetime
    heartbeat: datetime
    ended: datetime | None
    tries: str
    files: Mapping[str, str]
    dags: Mapping[str, str]
    started_by: str | None = None


_NEWEST = Order((job.c.id, True))


def page_of_jobs(tx: Transaction, place: Place) -> Page[Job]:
    """Some of the jobs, newest first."""
    rows, last = _NEWEST.rows(tx, select(job), place)
    now, started_by = tx.moment, of_jobs(tx, {row.id: row.dag_id for row in rows})
    return Page(tuple(_job(row, now, started_by.get(row.id)) for row in rows), last)


def _job(row: Any, now: TransactionTime, started_by: str | None) -> Job:
    alive = job_alive(row.state, row.lease_until, row.lease_epoch, row.lease_seconds, now)
    trouble = trouble_from(row.trouble)
    return Job(
        job_id=row.id,
        kind=row.kind,
        state="lost" if row.state == JobState.RUNNING and not alive else row.state,
        host=row.host,
        pid=row.pid,
        dag_id=row.dag_id,
        backfill_id=row.backfill_id,
        started=row.started_at,
        heartbeat=row.heartbeat_at,
        ended=row.ended_at,
        tries=trouble.tries,
        files=trouble.files,
        dags=trouble.dags,
        started_by=started_by,
    )
