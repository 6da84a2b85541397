"""What schedulers read and write beside their planning steps: the agenda, due runs, and runs they let go of.

Which runs are due was decided by planning. The DAG's guard row is locked while they are created, so that two schedulers
that decided alike create them once.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, exists, func, literal_column, or_, select, text, update

from tailrace.metastore.commands.creation import lock_dag_row
from tailrace.metastore.db.tables import OPEN_BACKFILL_SQL, OPEN_RUN_SQL, backfill, dag, dag_run, job
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.capacity_waits import end_waits
from tailrace.metastore.tries.job_rows import was_killed
from tailrace.metastore.writes.records import Author, History, insert_history, record
from tailrace.metastore.writes.runs import NewRun, insert_runs
from tailrace.metastore.writes.stateless import renew_dag
from tailrace.metastore.writes.structures import Structures
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import RunType, run_id_for
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Actor
from tailrace.planning.schedules import Agenda, DueRuns, LaneKey, ScheduleFacts

_LIVE_OPEN = (
    exists(literal_column("1"))
    .where(dag_run.c.dag_id == dag.c.dag_id, text(f"dag_run.live AND dag_run.{OPEN_RUN_SQL}"))
    .correlate(dag)
)
_LIVE_RUNNING = (
    exists(literal_column("1"))
    .where(dag_run.c.dag_id == dag.c.dag_id, dag_run.c.live, text(f"dag_run.state = '{DagRunState.RUNNING}'"))
    .correlate(dag)
)
_DAGS = select(
    dag.c.dag_id, dag.c.paused, dag.c.scheduled_until, case((dag.c.paused, _LIVE_RUNNING), else_=_LIVE_OPEN)
).order_by(dag.c.dag_id)

_LAST_JOB = select(func.max(job.c.id)).where(job.c.backfill_id == backfill.c.id).correlate(backfill).scalar_subquery()
_DRIVEN_HERE = (
    exists(literal_column("1"))
    .where(
        dag_run.c.dag_id == backfill.c.dag_id,
        text(f"dag_run.state = '{DagRunState.RUNNING}'"),
        dag_run.c.owner_job_id == bindparam("this_job"),
        dag_run.c.owner_lane == backfill.c.id,
    )
    .correlate(backfill)
)
_BACKFILLS = (
    select(
        backfill.c.dag_id,
        backfill.c.id,
        backfill.c.detached,
        job.c.state,
        job.c.lease_until,
        job.c.lease_epoch,
        job.c.lease_seconds,
    )
    .select_from(backfill.outerjoin(job, and_(~backfill.c.detached, job.c.id == _LAST_JOB)))
    .where(text(f"backfill.{OPEN_BACKFILL_SQL}"), or_(~backfill.c.paused, _DRIVEN_HERE))
    .order_by(backfill.c.dag_id, backfill.c.id)
)

_SCHEDULE = select(dag.c.paused, dag.c.scheduled_until).where(dag.c.dag_id == bindparam("dag_id"))
_DATES_WITH_RUN = select(dag_run.c.logical_date).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date.in_(bindparam("dates", expanding=True))
)
_RELEASE = (
    update(dag_run)
    .where(
        dag_run.c.dag_id == bindparam("of_dag"),
        text(f"dag_run.state = '{DagRunState.RUNNING}'"),
        dag_run.c.owner_job_id == bindparam("owner"),
        dag_run.c.owner_lane == bindparam("for_lane"),
    )
    .values(owner_job_id=None)
)


def read_agenda(tx: Transaction, job_id: int) -> Agenda:
    """Every lane of this moment: DAGs with open live runs, and backfills that nobody else is there to drive.

    A paused DAG or backfill is a lane only while something of it is still under way.
    """
    schedules: dict[str, ScheduleFacts] = {}
    lanes: list[LaneKey] = []
    for dag_id, paused, until, is_open in tx.rows(_DAGS):
        schedules[dag_id] = ScheduleFacts(bool(paused), until)
        if is_open:
            lanes.append(LaneKey(dag_id))
    for dag_id, id, detached, state, *lease in tx.rows(_BACKFILLS, {"this_job": job_id}):
        if detached or was_killed(tx.moment, state, *lease):
            lanes.append(LaneKey(dag_id, id))
    return Agenda(tx.moment.wall, tuple(lanes), schedules)


def create_due_runs(
    tx: Transaction, due: DueRuns, job_id: int, write_id: str, structures: Structures
) -> dict[str, Any]:
    """Create those of the runs that do not exist and move the schedule on; ``created`` says how many.

    Nothing is written when the DAG was paused, or the schedule moved, since this was decided.
    """
    dag_id = due.dag.dag_id
    author = Author(tx.moment.wall, write_id, Actor.PLANNER, job_id)
    lock_dag_row(tx, author, dag_id)
    paused, until = tx.rows(_SCHEDULE, {"dag_id": dag_id})[0]
    result = {"created": 0}
    if not paused and until == due.after:
        structure = structures.row_of(tx, author, due.dag)
        renew_dag(tx, author, dag_id, dag_version_id=structure, scheduled_until=due.until)
        result["created"] = _insert_due(tx, due, author)
    record(tx, write_id, result)
    return result


def _insert_due(tx: Transaction, due: DueRuns, author: Author) -> int:
    dag_id, history = due.dag.dag_id, History()
    known = _dates_with_run(tx, dag_id, [interval.start for interval in due.intervals])
    new = [interval for interval in due.intervals if interval.start not in known]
    insert_runs(tx, author, [_due_run(dag_id, interval) for interval in new], history)
    insert_history(tx, history)
    return len(new)


def _due_run(dag_id: str, interval: DataInterval) -> NewRun:
    run_id = run_id_for(RunType.SCHEDULED, interval.start)
    what = (dag_id, run_id, RunType.SCHEDULED, interval, interval.start)
    return NewRun(*what, "due by its schedule", live=True)


def _dates_with_run(tx: Transaction, dag_id: str, dates: Sequence[datetime]) -> set[datetime]:
    found: set[datetime] = set()
    for batch in in_batches(dates):
        found.update(tx.column(_DATES_WITH_RUN, {"dag_id": dag_id, "dates": batch}))
    return found


def release_runs(tx: Transaction, job_id: int, lane: LaneKey) -> None:
    """Give up what this job drives for the lane, and what it waits for there. Nothing about the runs is decided."""
    tx.change(_RELEASE, {"of_dag": lane.dag_id, "owner": job_id, "for_lane": lane.backfill_id or 0})
    end_waits(tx, job_id, lane.backfill_id or 0)
