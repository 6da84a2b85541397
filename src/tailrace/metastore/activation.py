"""Lets runs begin: creates or clears their task instances, gives them an owner. Which run begins is the planner's.

Task instances exist only from here on, so a range of thousands of dates costs nothing until its runs are driven.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, case, delete, insert, select, update

from tailrace.effects.results import Stale, StaleKind
from tailrace.metastore.columns import from_json
from tailrace.metastore.locking import LockedRun, Workspace, set_wanted_state
from tailrace.metastore.records import run_row, task_instance_row
from tailrace.metastore.rows import job_alive
from tailrace.metastore.tables import dag_run, job, task_instance, xcom
from tailrace.model.keys import UNMAPPED, TaskInstanceKey
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, OCCUPYING, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

_ACTIVATE = (
    update(dag_run)
    .where(dag_run.c.id == bindparam("run"), dag_run.c.state == DagRunState.QUEUED)
    .values(
        state=DagRunState.RUNNING,
        # Outcomes that are cleared now may have let a step of the next run go, in a plan that is not written yet.
        version=dag_run.c.version + case((dag_run.c.clear_on_activation.is_(None), 0), else_=1),
        owner_job_id=bindparam("owner"),
        owner_lane=bindparam("for_lane"),
        started_at=bindparam("at"),
        ended_at=None,
        reason="",
        blocked=None,
        clear_on_activation=None,
        dag_version_id=bindparam("structure"),
    )
)
_YIELD = (
    update(dag_run)
    .where(dag_run.c.id == bindparam("run"))
    .values(state=DagRunState.QUEUED, owner_job_id=None, version=dag_run.c.version + 1)
)
_INSERT = insert(task_instance)
_CLEAR = (
    update(task_instance)
    .where(task_instance.c.id == bindparam("task_instance"))
    .values(
        state=TaskInstanceState.NONE,
        max_tries=bindparam("most"),
        lost_tries=0,
        retry_at=None,
        queued_at=None,
        started_at=None,
        ended_at=None,
        followed=None,
        cause=Cause.REPROCESS,
        reason=bindparam("why"),
    )
)
_DROP_XCOMS = delete(xcom).where(xcom.c.task_instance_id == bindparam("task_instance"))
_CREATED_IDS = (
    select(task_instance.c.id, task_instance.c.dag_run_id, task_instance.c.task_id, task_instance.c.map_index)
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .order_by(task_instance.c.id)
)
_TAKE_OVER = (
    update(dag_run)
    .where(dag_run.c.id == bindparam("run"))
    .values(owner_job_id=bindparam("owner"), owner_lane=bindparam("for_lane"))
)
_JOBS = select(job.c.id, job.c.state, job.c.lease_until, job.c.lease_epoch, job.c.lease_seconds).where(
    job.c.id.in_(bindparam("jobs", expanding=True))
)


def activate_runs(work: Workspace, running: int, structure: int) -> None:
    """queued → running for as many as the window allows; ``running`` counts the DAG's running runs under its lock.

    ``structure`` is the row of the DAG version that the runs are activated with.
    """
    limit = work.plan.dag.max_active_runs if work.plan.activation_limit is None else work.plan.activation_limit
    begun: list[LockedRun] = []
    for activation in work.plan.activations:
        run = work.runs.get(activation.id)
        if run is None:
            _refuse(work, StaleKind.ACTIVATION_RUN, activation.run_id, "the run is gone")
        elif run.state != DagRunState.QUEUED or run.version != activation.version:
            found = f"expected queued version {activation.version}, found {run.state} version {run.version}"
            _refuse(work, StaleKind.ACTIVATION_RUN, activation.run_id, found)
        elif running >= limit:
            found = f"{running} runs are running (the limit is {limit})"
            _refuse(work, StaleKind.ACTIVATION_WINDOW, activation.run_id, found)
        else:
            running += 1
            begun.append(run)
    if not begun:
        return
    at, job_id = work.author.at, work.plan.job_id
    owner = {"owner": job_id, "for_lane": work.plan.lane}
    work.tx.change_many(_ACTIVATE, [{"run": run.id, **owner, "at": at, "structure": structure} for run in begun])
    for run in begun:
        work.history.append(
            run_row(
                work.author,
                run.dag_id,
                run.run_id,
                run.state,
                DagRunState.RUNNING,
                Cause.ACTIVATED,
                "",
                evidence=_options(run),
            )
        )
        run.state, run.owner, run.version = DagRunState.RUNNING, job_id, run.version + (run.clear is not None)
        work.activated.append(run.id)
    set_wanted_state(work.tx, {run.id: DagRunState.RUNNING for run in begun})
    _clear(work, begun)
    _create(work, [(run, work.plan.dag.tasks) for run in begun])


def _refuse(work: Workspace, kind: StaleKind, run_id: str, found: str) -> None:
    work.stale.append(Stale(kind, f"{work.plan.dag.dag_id} / {run_id}", kind.partition(":")[0], found))


def _options(run: LockedRun) -> Mapping[str, Any] | None:
    """What changes how its tasks are judged, for history: they stay as they are while the run is active."""
    if run.pool is None and not run.ignores_past:
        return None
    return {"pool": run.pool, "ignores_past": run.ignores_past}


def yield_runs(work: Workspace) -> None:
    """running → queued, for runs of which nothing is under way; their task instances stay as they are."""
    back: list[LockedRun] = []
    for step in work.plan.yields:
        run = work.runs.get(step.id)
        if run is None or run.state != DagRunState.RUNNING or run.version != step.version:
            found = "nothing" if run is None else f"{run.state} version {run.version}"
            expected = f"expected running version {step.version}, found {found}"
            _refuse(work, StaleKind.YIELD, step.run_id, expected)
        elif step.previous not in work.runs or work.runs[step.previous].state != DagRunState.QUEUED:
            _refuse(work, StaleKind.YIELD, step.run_id, "the run it waits for is not queued any more")
        elif any(TaskInstanceState(columns["state"]) in OCCUPYING for columns in work.of_run(run.id)):
            _refuse(work, StaleKind.YIELD, step.run_id, "something of it is under way")
        else:
            before, after = run.state, DagRunState.QUEUED
            why = step.reason
            work.history.append(run_row(work.author, run.dag_id, run.run_id, before, after, Cause.YIELDED, why))
            run.state, run.owner = after, None
            back.append(run)
            work.yielded.append(run.id)
    work.tx.change_many(_YIELD, [{"run": run.id} for run in back])
    set_wanted_state(work.tx, {run.id: DagRunState.QUEUED for run in back})


def adopt_tasks(work: Workspace) -> None:
    """Create the task instances an active run lacks, because its DAG has more tasks now."""
    lacking: list[tuple[LockedRun, Iterable[TaskSpec]]] = []
    for adoption in work.plan.adoptions:
        run = work.runs.get(adoption.id)
        if run is None or run.state != DagRunState.RUNNING:
            found = "nothing" if run is None else run.state
            _refuse(work, StaleKind.ADOPTION, adoption.run_id, f"expected running, found {found}")
            continue
        lacking.append((run, [work.plan.dag.by_id[task_id] for task_id in adoption.task_ids]))
        work.adopted.append(run.id)
    _create(work, lacking)


def take_over_runs(work: Workspace) -> None:
    """Make active runs whose owner is dead, or shares them, this job's."""
    owners = _alive(work, {each.previous_owner for each in work.plan.takeovers if not each.shared} - {None})
    taken: list[LockedRun] = []
    for takeover in work.plan.takeovers:
        run = work.runs.get(takeover.id)
        if run is None or run.state != DagRunState.RUNNING or run.owner != takeover.previous_owner:
            found = "nothing" if run is None else f"{run.state}, owned by job {run.owner}"
            expected = f"expected running, owned by job {takeover.previous_owner}, found {found}"
            _refuse(work, StaleKind.TAKEOVER_RUN, takeover.run_id, expected)
        elif run.owner is not None and run.owner != work.plan.job_id and owners.get(run.owner, False):
            _refuse(work, StaleKind.TAKEOVER_OWNER, takeover.run_id, f"its owner, job {run.owner}, is alive")
        else:
            taken.append(run)
    owner = {"owner": work.plan.job_id, "for_lane": work.plan.lane}
    work.tx.change_many(_TAKE_OVER, [{"run": run.id, **owner} for run in taken])
    for run in taken:
        run.owner = work.plan.job_id
        work.taken_over.append(run.id)


def _alive(work: Workspace, jobs: Iterable[int | None]) -> Mapping[int, bool]:
    ids = sorted(id for id in jobs if id is not None)
    if not ids:
        return {}
    now = work.tx.moment
    return {row[0]: job_alive(row[1], row[2], row[3], row[4], now) for row in work.tx.rows(_JOBS, {"jobs": ids})}


def _clear(work: Workspace, runs: Iterable[LockedRun]) -> None:
    """Clear what creation stored to be reprocessed. What is in flight or has no outcome is left as it is."""
    changes: list[dict[str, Any]] = []
    for run in runs:
        wanted = set(from_json(run.clear)) if run.clear else set()
        for columns in work.of_run(run.id) if wanted else ():
            if columns["task_id"] not in wanted or TaskInstanceState(columns["state"]) not in FINISHED:
                continue
            task = work.plan.dag.by_id.get(columns["task_id"])
            most = columns["try_number"] + (task.retries if task is not None else 0) + 1
            why = "cleared for reprocessing"
            changes.append({"task_instance": columns["id"], "most": most, "why": why})
            work.history.append(
                task_instance_row(
                    work.author,
                    TaskInstanceKey(run.dag_id, run.run_id, columns["task_id"], columns["map_index"]),
                    columns["id"],
                    columns["state"],
                    TaskInstanceState.NONE,
                    Cause.REPROCESS,
                    why,
                    try_number=columns["try_number"],
                )
            )
            columns["state"] = TaskInstanceState.NONE.value
    work.tx.change_many(_CLEAR, changes)
    work.tx.change_many(_DROP_XCOMS, [{"task_instance": change["task_instance"]} for change in changes])


def _create(work: Workspace, lacking: Iterable[tuple[LockedRun, Iterable[TaskSpec]]]) -> None:
    """Create the task instances that do not exist yet, in topological order, so that rows follow it."""
    rows: list[dict[str, Any]] = []
    runs: dict[int, LockedRun] = {}
    for run, tasks in lacking:
        existing = {columns["task_id"] for columns in work.of_run(run.id)}
        missing = [task for task in tasks if task.task_id not in existing]
        rows.extend(_new_row(run, task) for task in missing)
        if missing:
            runs[run.id] = run
    if not rows:
        return
    work.tx.change_many(_INSERT, rows)
    for id, run_row_id, task_id, map_index in work.tx.rows(_CREATED_IDS, {"runs": sorted(runs)}):
        if id in work.task_instances:
            continue
        run = runs[run_row_id]
        key = TaskInstanceKey(run.dag_id, run.run_id, task_id, map_index)
        work.history.append(task_instance_row(work.author, key, id, None, TaskInstanceState.NONE, Cause.CREATED, ""))


def _new_row(run: LockedRun, task: TaskSpec) -> dict[str, Any]:
    return {
        "dag_run_id": run.id,
        "dag_id": run.dag_id,
        "task_id": task.task_id,
        "map_index": UNMAPPED,
        "state": TaskInstanceState.NONE,
        "try_number": 0,
        "max_tries": task.retries + 1,
        "lost_tries": 0,
        "token": 0,
        "pool": run.pool or task.pool,
        "pool_slots": task.pool_slots,
        "priority": task.priority_weight,
        "cause": Cause.CREATED,
        "reason": "",
    }
