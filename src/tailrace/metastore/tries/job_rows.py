"""The rows of jobs: who drives work, and until when they are believed alive. Who is dead is decided by the callers."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, func, select, text, update

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.columns import from_json, to_json
from tailrace.metastore.db.tables import OPEN_BACKFILL_SQL, UNFINISHED_BACKFILL, backfill, job
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.capacity_waits import end_waits
from tailrace.metastore.plans.rows import job_alive
from tailrace.metastore.writes.records import Author, record
from tailrace.metastore.writes.stateless import insert_row, locked_row, set_row
from tailrace.model.chains import moment_cell
from tailrace.model.keys import ProcessIdentity
from tailrace.model.states import BackfillState, JobKind, JobState
from tailrace.model.transitions import Actor
from tailrace.planning.explain_facts import JobTrouble

_HEARTBEAT = (
    update(job)
    .where(job.c.id == bindparam("job"), job.c.state == JobState.RUNNING)
    .values(
        heartbeat_at=bindparam("at"),
        lease_until=bindparam("until"),
        lease_epoch=bindparam("epoch"),
        lease_seconds=bindparam("seconds"),
        trouble=bindparam("hindered"),
    )
)
_RUNNING_ON = (
    select(job.c.id, job.c.host, job.c.boot_id, job.c.pid, job.c.start_time, job.c.namespace)
    .where(text(f"job.state = '{JobState.RUNNING}'"), job.c.host == bindparam("on_host"))
    .order_by(job.c.id)
)

_MOST_FILES = 200

_RUNNING = (
    select(
        job.c.id, job.c.kind, job.c.backfill_id, job.c.state, job.c.lease_until, job.c.lease_epoch, job.c.lease_seconds
    )
    .where(text(f"job.state = '{JobState.RUNNING}'"))
    .order_by(job.c.id)
)


_LAST = select(func.max(job.c.id)).where(job.c.backfill_id == backfill.c.id).correlate(backfill).scalar_subquery()
_LAST_JOBS = (
    select(backfill.c.id, job.c.state, job.c.lease_until, job.c.lease_epoch, job.c.lease_seconds)
    .join(job, job.c.id == _LAST)
    .where(text(f"backfill.{OPEN_BACKFILL_SQL}"), ~backfill.c.detached)
)


class LiveJobs(Struct, frozen=True):
    """The jobs that are believed alive: those of each backfill, and the schedulers, who drive what is left to them."""

    of_backfills: Mapping[int, tuple[int, ...]]
    schedulers: tuple[int, ...]
    all: frozenset[int]
    killed: frozenset[int]  # the unfinished backfills whose last job was killed: schedulers take them up

    def driving(self, backfill_id: int, *, detached: bool) -> tuple[int, ...]:
        """Those that drive this backfill."""
        scheduled = detached or backfill_id in self.killed
        return self.of_backfills.get(backfill_id, ()) + (self.schedulers if scheduled else ())

    def interrupted(self, row: Any) -> bool:
        """Whether this backfill (its row) is unfinished, begun or not left to schedulers, and driven by no job."""
        if row.state not in UNFINISHED_BACKFILL or self.driving(row.id, detached=row.detached):
            return False
        return row.state == BackfillState.RUNNING or not row.detached


def start_job(
    tx: Transaction,
    kind: JobKind,
    identity: ProcessIdentity,
    dag_id: str | None,
    backfill_id: int | None,
    lease_seconds: float,
    write_id: str,
) -> dict[str, Any]:
    """Record a running job; the result holds its row."""
    now = tx.moment
    values = {
        "kind": kind,
        "state": JobState.RUNNING,
        "dag_id": dag_id,
        "backfill_id": backfill_id,
        "host": identity.host,
        "boot_id": identity.boot_id,
        "pid": identity.pid,
        "start_time": identity.start_time,
        "namespace": identity.namespace,
        "trouble": "",
        "started_at": now.wall,
        "heartbeat_at": now.wall,
        "lease_until": now.lease + lease_seconds,
        "lease_epoch": now.epoch,
        "lease_seconds": lease_seconds,
    }
    author = Author(now.wall, write_id, Actor.PLANNER, person=tx.person)  # who started it
    result = {"id": insert_row(tx, author, job, values)}
    record(tx, write_id, result)
    return result


def heartbeat(tx: Transaction, job_id: int, lease_seconds: float, trouble: JobTrouble) -> bool:
    """Whether the job is still believed alive; its lease then lasts ``lease_seconds`` from now."""
    now = tx.moment
    values = {
        "job": job_id,
        "at": now.wall,
        "until": now.lease + lease_seconds,
        "epoch": now.epoch,
        "seconds": lease_seconds,
        "hindered": trouble_text(trouble),
    }
    return tx.change(_HEARTBEAT, values) == 1


def trouble_text(trouble: JobTrouble) -> str:
    """What hinders a job, as it is kept in its row; of very many files only the first."""
    if trouble == JobTrouble():
        return ""
    files, dags = (dict(islice(sorted(each.items()), _MOST_FILES)) for each in (trouble.files, trouble.dags))
    return to_json({"tries": trouble.tries, "files": files, "dags": dags})


def trouble_from(text: str) -> JobTrouble:
    """What ``trouble_text`` wrote."""
    return JobTrouble(**from_json(text)) if text else JobTrouble()


def end_job(tx: Transaction, job_id: int, state: JobState) -> None:
    """Record how a running job ended; one that has ended is left as it is."""
    found, at = locked_row(tx, job, job_id), tx.moment.wall
    if found is not None and found.state == JobState.RUNNING:
        author = Author(at, f"job {job_id} {state} {moment_cell(at)}", Actor.PLANNER, job_id)
        set_row(tx, author, job, found, {"state": state, "ended_at": at})
    end_waits(tx, job_id)


def jobs_running_on(tx: Transaction, host: str) -> tuple[tuple[int, ProcessIdentity], ...]:
    """Jobs of this host that have not recorded their end."""
    return tuple((id, ProcessIdentity(*identity)) for id, *identity in tx.rows(_RUNNING_ON, {"on_host": host}))


def live_jobs(tx: Transaction) -> LiveJobs:
    """The jobs that are believed alive now."""
    now, rows = tx.moment, tx.rows(_RUNNING)
    alive = [row for row in rows if job_alive(row.state, row.lease_until, row.lease_epoch, row.lease_seconds, now)]
    of_backfills: dict[int, tuple[int, ...]] = {}
    for row in alive:
        if row.backfill_id is not None:
            of_backfills[row.backfill_id] = (*of_backfills.get(row.backfill_id, ()), row.id)
    schedulers = tuple(row.id for row in alive if row.kind == JobKind.SCHEDULER)
    killed = frozenset(id for id, *last in tx.rows(_LAST_JOBS) if was_killed(now, *last)) if schedulers else frozenset()
    return LiveJobs(of_backfills, schedulers, frozenset(row.id for row in alive), killed)


def was_killed(
    now: TransactionTime, state: str | None, until: float | None, epoch: str | None, seconds: float | None
) -> bool:
    """Whether a backfill's last job ended without recording it. One that a person interrupted waits for that person."""
    if state == JobState.RUNNING:
        return not job_alive(state, until, epoch, seconds, now)
    return state == JobState.FAILED
