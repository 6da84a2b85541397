"""Who waits for room that others hold: read for planners, written as their plans say. Who gives way is planning's.

A wait is believed while its job's lease is. Only its own job writes it, so nothing here locks; it goes with the job.
"""

from collections.abc import Iterable

from msgspec.structs import replace
from sqlalchemy import and_, bindparam, delete, exists, func, insert, literal_column, or_, select, text, update

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.tables import OCCUPYING_SQL, capacity_wait, dag_run, job, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.locking import Workspace
from tailrace.metastore.plans.rows import job_alive
from tailrace.model.states import DagRunState, JobKind, JobState
from tailrace.planning.fairness import pool_resource, runs_resource, tasks_resource
from tailrace.planning.plan import CapacityWait, Plan
from tailrace.planning.snapshot import Contender

#: Whether there is any lane but this one: another job, or a scheduler, which has several. Part of another statement.
OTHER_LANES = exists(literal_column("1")).where(
    text(f"job.state = '{JobState.RUNNING}'"), or_(job.c.id != bindparam("this_job"), job.c.kind == JobKind.SCHEDULER)
)

_WAITS = (
    select(
        capacity_wait.c.job_id,
        capacity_wait.c.backfill_id,
        capacity_wait.c.resource,
        capacity_wait.c.since,
        capacity_wait.c.taken,
        job.c.state,
        job.c.lease_until,
        job.c.lease_epoch,
        job.c.lease_seconds,
    )
    .join(job, job.c.id == capacity_wait.c.job_id)
    .order_by(capacity_wait.c.job_id, capacity_wait.c.backfill_id, capacity_wait.c.resource)
)
_HELD_TASKS = (
    select(
        dag_run.c.owner_job_id,
        dag_run.c.owner_lane,
        task_instance.c.dag_id,
        task_instance.c.pool,
        func.count(),
        func.sum(task_instance.c.pool_slots),
    )
    .join_from(task_instance, dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    .where(text(f"task_instance.{OCCUPYING_SQL}"))
    .group_by(dag_run.c.owner_job_id, dag_run.c.owner_lane, task_instance.c.dag_id, task_instance.c.pool)
)
_HELD_RUNS = (
    select(dag_run.c.owner_job_id, dag_run.c.owner_lane, dag_run.c.dag_id, func.count())
    .where(dag_run.c.dag_id == bindparam("dag_id"), text(f"dag_run.state = '{DagRunState.RUNNING}'"))
    .group_by(dag_run.c.owner_job_id, dag_run.c.owner_lane, dag_run.c.dag_id)
)

_OWN = (capacity_wait.c.job_id == bindparam("waiter"), capacity_wait.c.backfill_id == bindparam("lane"))
_BEGIN = insert(capacity_wait)
_END = delete(capacity_wait).where(*_OWN, capacity_wait.c.resource == bindparam("ended"))
_RENEW = (
    update(capacity_wait)
    .where(*_OWN, capacity_wait.c.resource == bindparam("renewed"))
    .values(since=bindparam("at"), taken=bindparam("took"))
)
_END_LANE = delete(capacity_wait).where(and_(*_OWN))
_END_JOB = delete(capacity_wait).where(capacity_wait.c.job_id == bindparam("waiter"))


def read_contenders(tx: Transaction, job_id: int, dag_id: str, now: TransactionTime) -> tuple[Contender, ...]:
    """Every lane of a live job that waits for room; what it holds is counted only if another job or lane waits."""
    found = [
        Contender(id, lane, resource, since, taken)
        for id, lane, resource, since, taken, *lease in tx.rows(_WAITS)
        if job_alive(lease[0], lease[1], lease[2], lease[3], now)
    ]
    if len({(c.job_id, c.lane) for c in found}) <= 1 and all(c.job_id == job_id for c in found):
        return tuple(found)  # nobody, or one lane of this very job
    held = _held(tx, dag_id)
    return tuple(replace(c, occupied=held.get((c.job_id, c.lane, c.resource), 0)) for c in found)


def _held(tx: Transaction, dag_id: str) -> dict[tuple[int | None, int, str], int]:
    held: dict[tuple[int | None, int, str], int] = {}
    for owner, lane, of_dag, pool, count, slots in tx.rows(_HELD_TASKS):
        for resource, number in ((tasks_resource(of_dag), count), (pool_resource(pool), int(slots))):
            held[owner, lane, resource] = held.get((owner, lane, resource), 0) + number
    for owner, lane, of_dag, count in tx.rows(_HELD_RUNS, {"dag_id": dag_id}):
        held[owner, lane, runs_resource(of_dag)] = count
    return held


def change_waits(work: Workspace) -> None:
    """Record what the plan says its lane waits for. What it took counts only if it was let in with all it asked for."""
    plan, changes = work.plan, work.plan.waits
    if changes is None:
        return
    own = {"waiter": plan.job_id, "lane": plan.lane}
    gone: Iterable[str] = (*changes.ended, *(wait.resource for wait in changes.begun))
    work.tx.change_many(_END, [{**own, "ended": resource} for resource in gone])
    work.tx.change_many(_BEGIN, [_begun(work, plan, wait) for wait in changes.begun])
    if not work.deferred and not work.lost:
        renewed = [
            {**own, "renewed": wait.resource, "took": wait.taken, "at": work.author.at} for wait in changes.renewed
        ]
        work.tx.change_many(_RENEW, renewed)


def _begun(work: Workspace, plan: Plan, wait: CapacityWait) -> dict[str, object]:
    return {
        "job_id": plan.job_id,
        "backfill_id": plan.lane,
        "resource": wait.resource,
        "since": work.author.at,
        "taken": wait.taken,
    }


def end_waits(tx: Transaction, job_id: int, lane: int | None = None) -> None:
    """Nothing of this job, or of this lane of it, waits any more."""
    if lane is None:
        tx.change(_END_JOB, {"waiter": job_id})
    else:
        tx.change(_END_LANE, {"waiter": job_id, "lane": lane})
