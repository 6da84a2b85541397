"""Reads one snapshot: everything a planning step may know, in one transaction and a handful of queries.

Its cost is bounded by what is active. Nothing here may walk over the runs of a range or over what is finished; the
one exception, the counts behind a backfill's verdict, is read once, when nothing of it is left to do. Until then
``open_runs`` and ``failed_runs`` say truly whether there is any, not how many.
"""

from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

from msgspec.structs import replace
from sqlalchemy import bindparam, case, select, text

from tailrace.metastore.db.clock import TransactionTime
from tailrace.metastore.db.tables import OCCUPYING_SQL, OPEN_RUN_SQL, backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.around import read_around
from tailrace.metastore.plans.awaited import awaiting_of, newest_change
from tailrace.metastore.plans.capacity_waits import OTHER_LANES, read_contenders
from tailrace.metastore.plans.failed_inside import failures_of_backfills
from tailrace.metastore.plans.guards import RUNNING_SQL, count_occupants, dag_version, limited
from tailrace.metastore.plans.lengths import with_lengths
from tailrace.metastore.plans.lookback import read_previous
from tailrace.metastore.plans.pausing import pause_facts
from tailrace.metastore.plans.rows import (
    RUN_STATES,
    TASK_INSTANCE_COLUMNS,
    run_snapshot,
    runs_with_owner,
    task_instance_snapshot,
)
from tailrace.metastore.plans.wanted import ANY_FAILED, COUNTS_BY_STATE
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, BackfillState, DagRunState, TaskInstanceState
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.planning.sharing import has_work_to_spare, runs_to_share
from tailrace.planning.snapshot import (
    BackfillSnapshot,
    OrphanTry,
    PoolSnapshot,
    RunSnapshot,
    Snapshot,
    TaskInstanceSnapshot,
)

_BY_ID = itemgetter(1)

#: Queued runs read per step, at most. A wider window fills over several steps.
MOST_CANDIDATES = 16

#: How many of them beyond today's room: as many runs may close in one step and be replaced at once.
SPARE_CANDIDATES = 4

_BACKFILL = select(
    backfill.c.state,
    backfill.c.version,
    backfill.c.paused,
    backfill.c.max_active_runs,
    backfill.c.stop_on_failure,
    backfill.c.backwards,
    OTHER_LANES.label("contended"),
).where(backfill.c.id == bindparam("backfill_id"))

_RUNNING = (
    runs_with_owner()
    .add_columns(
        select(backfill_run.c.ordinal)
        .where(backfill_run.c.backfill_id == bindparam("backfill_id"), backfill_run.c.dag_run_id == dag_run.c.id)
        .scalar_subquery()
        .label("ordinal"),
        dag_run.c.owner_lane,
    )
    .where(dag_run.c.dag_id == bindparam("dag_id"), text(RUNNING_SQL))
)

_RUNNING_BESIDE = (  # for a live lane: ``ordinal`` is not NULL where the run is live
    runs_with_owner()
    .add_columns(case((dag_run.c.live, 0)).label("ordinal"), dag_run.c.owner_lane)
    .where(dag_run.c.dag_id == bindparam("dag_id"), text(RUNNING_SQL))
)

_LIVE_CANDIDATES = (
    runs_with_owner()
    .where(
        dag_run.c.dag_id == bindparam("dag_id"),
        text(f"dag_run.live AND dag_run.{OPEN_RUN_SQL}"),  # as the partial index has it
        dag_run.c.state == DagRunState.QUEUED,
    )
    .order_by(dag_run.c.logical_date)
    .limit(bindparam("most"))
)

_NOT_LATE = (
    runs_with_owner()
    .where(
        dag_run.c.dag_id == bindparam("dag_id"),
        text(f"dag_run.live AND dag_run.{OPEN_RUN_SQL}"),  # as the partial index has it
        dag_run.c.late_since.is_(None),
        dag_run.c.reopened.is_not(True),
    )
    .order_by(dag_run.c.logical_date)
    .limit(bindparam("most"))
)

_PAUSED = select(dag_table.c.paused, OTHER_LANES.label("contended")).where(dag_table.c.dag_id == bindparam("dag_id"))

_QUEUED = (
    runs_with_owner()
    .join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
    .where(backfill_run.c.backfill_id == bindparam("backfill_id"), backfill_run.c.run_state == DagRunState.QUEUED)
    .limit(bindparam("most"))
)
#: By whether they go from the last date to the first.
_CANDIDATES = {
    False: _QUEUED.order_by(backfill_run.c.ordinal),
    True: _QUEUED.order_by(backfill_run.c.ordinal.desc()),
}

#: Sorted after it is read: a database sorts such wide rows more slowly than it finds them.
_TASK_INSTANCES = select(*TASK_INSTANCE_COLUMNS).where(
    task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True))
)

_ORPHANS = (
    select(dag_run.c.dag_id, dag_run.c.run_id, *TASK_INSTANCE_COLUMNS)
    .join_from(task_instance, dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    .where(
        text(f"task_instance.{OCCUPYING_SQL}"),
        task_instance.c.state == TaskInstanceState.STOPPING,
        dag_run.c.state != DagRunState.RUNNING,
    )
    .order_by(task_instance.c.id)
)


def read_snapshot(tx: Transaction, job_id: int, dag: DagSpec, backfill_id: int | None) -> Snapshot:
    """The snapshot for one step of this job over this DAG and backfill.

    ``runs`` are the running runs that the backfill wants (the DAG's live ones when it is None) and that this job owns,
    or no live job owns, or that it takes over from another one of this lane to share its work.
    """
    now = tx.moment
    if backfill_id is None:
        running = tx.rows(_RUNNING_BESIDE, {"dag_id": dag.dag_id})
    else:
        running = tx.rows(_RUNNING, {"backfill_id": backfill_id, "dag_id": dag.dag_id})
    rows = sorted(
        (row for row in running if row.ordinal is not None), key=lambda row: (row.ordinal, row.logical_date, row.id)
    )
    wanted = [run_snapshot(row, now) for row in rows]
    mine = {run.id for run in wanted if run.owner_job_id == job_id or not run.owner_alive}
    task_instances = dict(_task_instances(tx, mine, now))
    if len(mine) < len(wanted) and not any(map(has_work_to_spare, task_instances.values())):
        of_lane = {row.id for row in rows if row.owner_lane == (backfill_id or 0)}
        shared = runs_to_share(len(mine), [run for run in wanted if run.id in of_lane - mine])
        task_instances |= _task_instances(tx, shared, now)
        mine.update(shared)
    runs = tuple(replace(run, task_instances=task_instances.get(run.id, ())) for run in wanted if run.id in mine)
    view: BackfillSnapshot | None = None
    if backfill_id is None:
        paused, contended = _schedule(tx, job_id, dag)
        candidates = _live_candidates(tx, dag, len(running), now)
    else:
        row = tx.row(_BACKFILL, {"backfill_id": backfill_id, "this_job": job_id})
        paused, contended, candidates = False, row is not None and bool(row.contended), ()
        if row is not None:
            view, candidates = _backfill(tx, dag, backfill_id, row, len(running), len(wanted), now)
    occupancy = count_occupants(tx, dag)
    awaiting = awaiting_of(tx, runs)
    around, theirs = read_around(tx, dag, runs, awaiting, now)
    return Snapshot(
        now=now.wall,
        job_id=job_id,
        dag=dag,
        runs=with_lengths(tx, dag, runs),
        candidates=candidates,
        **past_facts(tx, dag, [run.id for run in (*runs, *candidates)]),
        pools={
            name: PoolSnapshot(name, slots, occupancy.occupied.get(name, 0)) for name, slots in occupancy.slots.items()
        },
        dag_active_runs=len(running),
        dag_active_tasks=occupancy.dag_active,
        task_active=limited(dag, occupancy.task_active),
        backfill=view,
        schedule_paused=paused,
        contended=contended,
        contenders=read_contenders(tx, job_id, dag.dag_id, now) if contended else (),
        orphans=_orphans(tx, now) if occupancy.stopping else (),
        overdue=_overdue(tx, dag, now) if backfill_id is None else (),
        awaiting={**awaiting, **theirs} if theirs else awaiting,
        around=around,
        newest_change=newest_change(tx) if awaiting else 0,
        **pause_facts(tx, dag),
    )


def past_facts(tx: Transaction, dag: DagSpec, runs: Sequence[int]) -> dict[str, Any]:
    """What a snapshot says of the runs that these (rows) look back at, and the version that this is true for."""
    if not dag.depends_on_past:
        return {}
    found = read_previous(tx, dag, runs)
    version = dag_version(tx, dag.dag_id) or 0
    return {"dag_version": version, "previous": found.previous, "looks_at": found.looks_at}


def _schedule(tx: Transaction, job_id: int, dag: DagSpec) -> tuple[bool, bool]:
    """Whether the DAG is paused, and whether there are other lanes."""
    row = tx.row(_PAUSED, {"dag_id": dag.dag_id, "this_job": job_id})
    return (False, False) if row is None else (bool(row.paused), bool(row.contended))


def _live_candidates(tx: Transaction, dag: DagSpec, running: int, now: TransactionTime) -> tuple[RunSnapshot, ...]:
    most = _useful(dag, dag.max_active_runs, running)
    return tuple(run_snapshot(row, now) for row in tx.rows(_LIVE_CANDIDATES, {"dag_id": dag.dag_id, "most": most}))


def _overdue(tx: Transaction, dag: DagSpec, now: TransactionTime) -> tuple[RunSnapshot, ...]:
    """Live runs of a DAG with a deadline, those that wait behind others too, which nobody has marked late."""
    if dag.deadline is None:
        return ()
    rows = tx.rows(_NOT_LATE, {"dag_id": dag.dag_id, "most": MOST_CANDIDATES})
    return tuple(run_snapshot(row, now) for row in rows)


def _useful(dag: DagSpec, window: int, running: int) -> int:
    """How many candidates a step may have use for."""
    # With depends_on_past the first ones may wait for a run outside this lane while later ones need not.
    useful = MOST_CANDIDATES if dag.depends_on_past else max(0, window - running) + SPARE_CANDIDATES
    return max(1, min(window, useful, MOST_CANDIDATES))


def _orphans(tx: Transaction, now: TransactionTime) -> tuple[OrphanTry, ...]:
    found = []
    for dag_id, run_id, *columns in tx.rows(_ORPHANS):
        ti = task_instance_snapshot(columns, now)
        found.append(OrphanTry(columns[0], TaskInstanceKey(dag_id, run_id, ti.task_id, ti.map_index), ti))
    return tuple(found)


def _task_instances(
    tx: Transaction, runs: Collection[int], now: TransactionTime
) -> Mapping[int, tuple[TaskInstanceSnapshot, ...]]:
    if not runs:
        return {}
    found: dict[int, list[TaskInstanceSnapshot]] = {}
    for row in sorted(tx.rows(_TASK_INSTANCES, {"runs": list(runs)}), key=_BY_ID):
        found.setdefault(row[0], []).append(task_instance_snapshot(row, now))
    return {run: tuple(views) for run, views in found.items()}


def _backfill(
    tx: Transaction, dag: DagSpec, backfill_id: int, row: Any, running: int, active: int, now: TransactionTime
) -> tuple[BackfillSnapshot, tuple[RunSnapshot, ...]]:
    state, version, paused, max_active_runs, stop_on_failure, backwards, _ = row
    window = dag.max_active_runs if max_active_runs is None else min(dag.max_active_runs, max_active_runs)
    most = _useful(dag, window, running)
    # Ordinals follow the order asked for. A DAG that has come to depend on the past goes forwards all the same.
    queued = tx.rows(_CANDIDATES[backwards and dag.depends_on_past], {"backfill_id": backfill_id, "most": most})
    candidates = tuple(run_snapshot(row, now) for row in queued)
    open_runs = active + len(candidates)
    failed = stop_on_failure and tx.row(ANY_FAILED, {"backfill_id": backfill_id}) is not None
    closed: dict[DagRunState, int] = {}
    if open_runs == 0 or (failed and active == 0):
        counts = tx.rows(COUNTS_BY_STATE, {"backfill_id": backfill_id})
        closed = {RUN_STATES[state]: count for state, count in counts if RUN_STATES[state] in CLOSED}
    inside = failures_of_backfills(tx, [backfill_id]).get(backfill_id) if closed else None
    view = BackfillSnapshot(
        id=backfill_id,
        state=BackfillState(state),
        version=version,
        paused=paused,
        max_active_runs=max_active_runs,
        stop_on_failure=stop_on_failure,
        open_runs=open_runs,
        failed_runs=int(failed),
        closed_by_state=closed,
        active_runs=active,
        failed_inside=FailedTasks() if inside is None else inside.inside,
    )
    return view, candidates
