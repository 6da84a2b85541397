"""Reads the facts of ``explain`` about one run, in one transaction: the planner's own snapshot, owners, tries."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace
from sqlalchemy import bindparam, func, select

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import (
    backfill,
    backfill_run,
    dag,
    dag_run,
    dag_version,
    history,
    job,
    loaded_dag,
    task_instance,
)
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.awaited import awaiting_of
from tailrace.metastore.plans.lengths import with_lengths
from tailrace.metastore.plans.rescheduled import rescheduled_in
from tailrace.metastore.plans.rows import (
    TASK_INSTANCE_COLUMNS,
    by_place,
    job_alive,
    run_snapshot,
    runs_with_owner,
    task_instance_snapshot,
)
from tailrace.metastore.plans.snapshots import past_facts, read_snapshot
from tailrace.metastore.tries.job_rows import live_jobs, trouble_from
from tailrace.metastore.views.callbacks import callbacks_of
from tailrace.metastore.views.persons import of_runs, of_task_instances
from tailrace.metastore.views.summaries import stored_blocker
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.spec import DagSpec
from tailrace.model.states import BACKFILL_CLOSED, BackfillState, DagRunState, JobState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.explain_facts import JobFacts, PersonsCommand, RunFacts, TaskInstanceFacts, TryFacts, WantedBy
from tailrace.planning.snapshot import RunSnapshot, Snapshot

_RUN = (
    runs_with_owner()
    .add_columns(
        dag_run.c.live,
        dag_run.c.owner_lane,
        dag_run.c.reason,
        dag_run.c.blocked,
        dag_run.c.started_at,
        dag_run.c.ended_at,
    )
    .where(dag_run.c.id == bindparam("run"))
)
_NAMES = select(dag_run.c.dag_id, dag_run.c.run_id).where(dag_run.c.id == bindparam("run"))
_STRUCTURE = (
    select(dag_version.c.spec, loaded_dag.c.file)
    .join(dag, dag.c.dag_version_id == dag_version.c.id)
    .join(dag_run, dag_run.c.dag_id == dag.c.dag_id)
    .outerjoin(loaded_dag, loaded_dag.c.dag_id == dag.c.dag_id)
    .where(dag_run.c.id == bindparam("run"))
)
_TASK_INSTANCES = select(
    *TASK_INSTANCE_COLUMNS,
    task_instance.c.reason.label("its_reason"),
    task_instance.c.pool.label("its_pool"),
    task_instance.c.started_at.label("its_start"),
    task_instance.c.ended_at.label("its_end"),
    task_instance.c.rescheduled.label("its_rescheduling"),
    task_instance.c.rendered_map_index.label("its_name"),
).where(task_instance.c.dag_run_id == bindparam("run"))
_WANTED_BY = (
    select(
        backfill.c.id,
        backfill.c.state,
        backfill.c.paused,
        backfill.c.max_active_runs,
        backfill.c.detached,
        backfill.c.command,
        backfill_run.c.ordinal,
    )
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .where(backfill_run.c.dag_run_id == bindparam("run"))
    .order_by(backfill.c.id)
)
_AHEAD = select(func.count()).where(
    backfill_run.c.backfill_id == bindparam("backfill_id"),
    backfill_run.c.run_state == DagRunState.QUEUED.value,
    backfill_run.c.ordinal < bindparam("place"),
)
_ACTIVE = select(func.count()).where(
    backfill_run.c.backfill_id == bindparam("backfill_id"), backfill_run.c.run_state == DagRunState.RUNNING.value
)
_JOBS = (
    select(
        job.c.id,
        job.c.kind,
        job.c.host,
        job.c.pid,
        job.c.backfill_id,
        job.c.state,
        job.c.lease_until,
        job.c.lease_epoch,
        job.c.lease_seconds,
        job.c.trouble,
    )
    .where((job.c.state == JobState.RUNNING.value) | (job.c.id == bindparam("owner")))
    .order_by(job.c.id)
)
_TRIES = (
    select(
        history.c.task_instance_id,
        history.c.at,
        history.c.after,
        history.c.cause,
        history.c.reason,
        history.c.try_number,
    )
    .where(
        history.c.dag_id == bindparam("of_dag"),
        history.c.run_id == bindparam("of_run"),
        history.c.kind == "task_instance",
    )
    .order_by(history.c.id)
)
_OPEN = frozenset(state.value for state in BackfillState if state not in BACKFILL_CLOSED)


def read_explained(tx: Transaction, run: int) -> RunFacts:
    """Everything about this run (its row), of one moment. Raises KeyError for one that does not exist."""
    row = tx.row(_RUN, {"run": run})
    if row is None:
        raise KeyError(run)
    now = tx.moment
    names = tx.row(_NAMES, {"run": run})
    name = (names.dag_id, names.run_id)
    tries, commands = _tries(tx, *name), of_task_instances(tx, [name])
    found = by_place(tx.rows(_TASK_INSTANCES, {"run": run}))
    tis = tuple(_task_instance(each, now, tries, commands.get((*name, each.task_id, each.map_index))) for each in found)
    view = replace(run_snapshot(row, now, tuple(ti.view for ti in tis)), live=bool(row.live))
    wanted_by = _wanted_by(tx, run)
    jobs = [_job(each, now) for each in tx.rows(_JOBS, {"owner": view.owner_job_id})]
    owner = next((each for each in jobs if each.id == view.owner_job_id), None)
    alive = owner is not None and owner.alive
    lane = _lane(row, wanted_by, alive)
    return RunFacts(
        run=view,
        snapshot=_snapshot(tx, view, owner.id if owner is not None and alive else 0, lane),
        task_instances=tis,
        owner=owner,
        drivers=_drivers(tx, jobs, owner, wanted_by, live=row.live),
        wanted_by=wanted_by,
        reason=row.reason,
        blocked=() if row.blocked is None else tuple(stored_blocker(each) for each in from_json(row.blocked)),
        started_at=row.started_at,
        ended_at=row.ended_at,
        last_command=of_runs(tx, [name]).get(name),
        callbacks=callbacks_of(tx, *name),
    )


def _lane(row: Any, wanted_by: Sequence[WantedBy], owned: bool) -> int | None:
    """For whom the run is driven: its owner's lane, else that of the first who would begin it; None: live runs."""
    if owned and (row.owner_lane or row.live):
        return row.owner_lane or None
    wanting = [each for each in wanted_by if each.state in _OPEN]
    wanting.sort(key=lambda each: each.paused)
    if wanting and not (row.live and wanting[0].paused):
        return wanting[0].backfill_id
    return None


def _snapshot(tx: Transaction, run: RunSnapshot, job_id: int, lane: int | None) -> Snapshot:
    """What the job that drives the lane sees; the run is in it even where no lane drives it."""
    stored = tx.row(_STRUCTURE, {"run": run.id})
    spec = DagSpec(tx.row(_NAMES, {"run": run.id}).dag_id, ()) if stored is None else spec_from(stored.spec)
    if stored is not None and stored.file is not None:
        spec = replace(spec, file=stored.file)
    seen = read_snapshot(tx, job_id, spec, lane)
    if run.state is DagRunState.RUNNING and all(each.id != run.id for each in seen.runs):
        seen = replace(seen, runs=(*seen.runs, *with_lengths(tx, spec, [run])))
        seen = replace(seen, awaiting={**seen.awaiting, **awaiting_of(tx, [run])})
    shown = [each.id for each in (*seen.runs, *seen.candidates, run)]
    return replace(seen, **past_facts(tx, spec, shown))


def _wanted_by(tx: Transaction, run: int) -> tuple[WantedBy, ...]:
    jobs = live_jobs(tx)
    return tuple(
        WantedBy(
            backfill_id=row.id,
            state=row.state,
            paused=row.paused,
            ahead=int(tx.value(_AHEAD, {"backfill_id": row.id, "place": row.ordinal})),
            active=int(tx.value(_ACTIVE, {"backfill_id": row.id})),
            max_active_runs=row.max_active_runs,
            detached=row.detached,
            command=row.command,
            interrupted=not row.paused and jobs.interrupted(row),
        )
        for row in tx.rows(_WANTED_BY, {"run": run})
    )


def _job(row: Any, now: TransactionTime) -> JobFacts:
    lease = (row.lease_until, row.lease_epoch, row.lease_seconds)
    return JobFacts(
        row.id,
        row.kind,
        row.host,
        row.pid,
        job_alive(row.state, *lease, now),
        now.left(*lease),
        row.backfill_id,
        trouble_from(row.trouble),
    )


def _drivers(
    tx: Transaction, jobs: Sequence[JobFacts], owner: JobFacts | None, wanted_by: Sequence[WantedBy], *, live: bool
) -> tuple[JobFacts, ...]:
    """The live jobs that drive it or may: its owner first, then those of backfills that want it, then schedulers."""
    alive = live_jobs(tx)
    wanting = [each for each in wanted_by if each.state in _OPEN]
    ids = [id for each in wanting for id in alive.driving(each.backfill_id, detached=each.detached)]
    places = {id: place for place, id in enumerate([*ids, *(alive.schedulers if live else ())])}
    may = sorted((each for each in jobs if each.id in places and each != owner), key=lambda each: places[each.id])
    return (*([owner] if owner is not None and owner.alive else []), *may)


def _task_instance(
    row: Any, now: TransactionTime, tries: Mapping[int, list[TryFacts]], last_command: PersonsCommand | None
) -> TaskInstanceFacts:
    view = task_instance_snapshot(row[: len(TASK_INSTANCE_COLUMNS)], now)
    lease = (row.lease_until, row.lease_epoch, row.lease_seconds)
    rescheduled = rescheduled_in(row.its_rescheduling, view.try_number)
    return TaskInstanceFacts(
        view,
        reason=row.its_reason,
        pool=row.its_pool,
        started_at=row.its_start,
        ended_at=row.its_end,
        lease_seconds=None if row.lease_until is None else now.left(*lease),
        tries=tuple(tries.get(view.id, ())),
        last_command=last_command,
        reschedules=0 if rescheduled is None else rescheduled.times,
        times_out_at=None if rescheduled is None else rescheduled.times_out_at,
        rendered_map_index=row.its_name,
    )


def _tries(tx: Transaction, dag_id: str, run_id: str) -> Mapping[int, list[TryFacts]]:
    """Each task instance's tries, from what history says of their beginning and their end."""
    found: dict[int, list[TryFacts]] = {}
    for row in tx.rows(_TRIES, {"of_dag": dag_id, "of_run": run_id}):
        tries = found.setdefault(row.task_instance_id, [])
        if row.cause == Cause.DEPENDENCIES_MET:
            tries.append(TryFacts(row.try_number, queued_at=row.at))
        elif not tries or tries[-1].outcome is not None:
            continue
        elif row.cause == Cause.CLAIMED:
            tries[-1] = replace(tries[-1], started_at=tries[-1].started_at or row.at, reason=row.reason)
        elif row.after == TaskInstanceState.UP_FOR_RESCHEDULE or row.cause == Cause.RESUMED:
            tries[-1] = replace(tries[-1], reason=row.reason)  # the same try goes on
        elif row.after != "stopping":
            last = tries[-1]
            tries[-1] = replace(last, ended_at=row.at, outcome=row.after, cause=row.cause, reason=row.reason)
    return found
