"""Lets runs begin: creates or clears their task instances, gives them an owner. Which run begins is the planner's.

Task instances exist only from here on, so a range of thousands of dates costs nothing until its runs are driven.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from tailrace.effects.results import Stale, StaleKind
from tailrace.metastore.db.columns import from_json, to_json
from tailrace.metastore.db.tables import dag_run, job
from tailrace.metastore.plans.locking import LockedRun, Workspace
from tailrace.metastore.plans.rows import CAUSES, RUN_STATES, STATES, job_alive, run_part_from
from tailrace.metastore.writes.runs import RunStep, put_back_runs, start_runs
from tailrace.metastore.writes.task_instances import StateChange, change_states, insert_task_instances
from tailrace.model.chains import Chain
from tailrace.model.keys import UNMAPPED, TaskInstanceKey, to_clear
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, OCCUPYING, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import NewTaskInstance, new_task_instance
from tailrace.planning.expanded import reset_for_expansion
from tailrace.planning.snapshot import TaskInstanceSnapshot

_REMOVED = TaskInstanceState.REMOVED
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
    steps = [
        (
            _step(run, DagRunState.RUNNING, Cause.ACTIVATED, "", _options(run)),
            run.clear is not None,
            _failed_before(work, run),
        )
        for run in begun
    ]
    start_runs(work.tx, work.author, steps, work.history, lane=work.plan.lane, structure=structure)
    for run in begun:
        run.state, run.owner, run.version = DagRunState.RUNNING, work.plan.job_id, run.version + (run.clear is not None)
        work.activated.append(run.id)
    _clear(work, begun)
    _create(work, [(run, _tasks(work, run)) for run in begun])


def _tasks(work: Workspace, run: LockedRun) -> Iterable[TaskSpec]:
    """The tasks that are done in the run."""
    if run.part is None:
        return work.plan.dag.tasks
    part = run_part_from(run.part)
    return tuple(task for task in work.plan.dag.tasks if part.holds(task.task_id))


def _failed_before(work: Workspace, run: LockedRun) -> str | None:
    """What of the run has failed already, as JSON: under ``fail_fast`` it is not stopped for that again."""
    if not work.plan.dag.fail_fast:
        return None
    failed = [
        [columns["id"], columns["try_number"]]
        for columns in work.of_run(run.id)
        if columns["state"] == TaskInstanceState.FAILED
    ]
    return to_json(sorted(failed)) if failed else None


def _step(
    run: LockedRun, after: DagRunState, cause: Cause, reason: str, evidence: Mapping[str, Any] | None = None
) -> RunStep:
    step = (RUN_STATES[run.state], after, cause, reason)
    chain = Chain(run.chain_head, run.chain_length)
    return RunStep(run.id, run.dag_id, run.run_id, *step, evidence=evidence, version=run.version, chain=chain)


def _refuse(work: Workspace, kind: StaleKind, run_id: str, found: str) -> None:
    work.stale.append(Stale(kind, f"{work.plan.dag.dag_id} / {run_id}", kind.partition(":")[0], found))


def _options(run: LockedRun) -> Mapping[str, Any] | None:
    """What changes how its tasks are judged, for history: they stay as they are while the run is active."""
    if run.pool is None and not run.ignores_past:
        return None
    return {"pool": run.pool, "ignores_past": run.ignores_past}


def requeue_running(work: Workspace) -> None:
    """running → queued, for runs of which nothing is under way; their task instances stay as they are."""
    back: list[RunStep] = []
    for step in work.plan.yields:
        run = work.runs.get(step.id)
        if run is None or run.state != DagRunState.RUNNING or run.version != step.version:
            found = "nothing" if run is None else f"{run.state} version {run.version}"
            expected = f"expected running version {step.version}, found {found}"
            _refuse(work, StaleKind.YIELD, step.run_id, expected)
        elif step.dag_version != work.dag_version:
            found = f"expected version {step.dag_version} of its DAG, found version {work.dag_version}"
            _refuse(work, StaleKind.YIELD, step.run_id, found)
        elif step.previous not in work.runs or work.runs[step.previous].state != DagRunState.QUEUED:
            _refuse(work, StaleKind.YIELD, step.run_id, "the run it waits for is not queued any more")
        elif any(TaskInstanceState(columns["state"]) in OCCUPYING for columns in work.of_run(run.id)):
            _refuse(work, StaleKind.YIELD, step.run_id, "something of it is under way")
        else:
            waits_for = {"previous_run": work.runs[step.previous].run_id}
            back.append(_step(run, DagRunState.QUEUED, Cause.YIELDED, step.reason, waits_for))
            run.state, run.owner, run.version = DagRunState.QUEUED, None, run.version + 1
            work.yielded.append(run.id)
    put_back_runs(work.tx, work.author, back, work.history)


def adopt_tasks(work: Workspace) -> None:
    """Create the task instances an active run lacks, because its DAG has more tasks now."""
    missing: list[tuple[LockedRun, Iterable[TaskSpec]]] = []
    for adoption in work.plan.adoptions:
        run = work.runs.get(adoption.id)
        if run is None or run.state != DagRunState.RUNNING:
            found = "nothing" if run is None else run.state
            _refuse(work, StaleKind.ADOPTION, adoption.run_id, f"expected running, found {found}")
            continue
        missing.append((run, [work.plan.dag.by_id[task_id] for task_id in adoption.task_ids]))
        work.adopted.append(run.id)
    _create(work, missing)


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
    return {
        row.id: job_alive(row.state, row.lease_until, row.lease_epoch, row.lease_seconds, now)
        for row in work.tx.rows(_JOBS, {"jobs": ids})
    }


def _clear(work: Workspace, runs: Iterable[LockedRun]) -> None:
    """Clear what creation stored to be reprocessed. What is in flight or has no outcome is left as it is."""
    changes: list[StateChange] = []
    for run in runs:
        wanted = frozenset(from_json(run.clear)) if run.clear else frozenset()
        rows = work.of_run(run.id) if wanted else []
        there = {columns["task_id"] for columns in rows if columns["state"] != _REMOVED}
        again = [
            columns
            for columns in rows
            if (columns["task_id"] in wanted or to_clear(columns["task_id"], columns["map_index"]) in wanted)
            and STATES[columns["state"]] in FINISHED
            # What a mapped task has no place for any more stays as it is.
            and (columns["state"] != _REMOVED or columns["task_id"] not in there)
        ]
        cleared = {columns["id"]: columns["task_id"] for columns in again}
        views = [_view(columns) for columns in rows]
        anew = {view.id for view in reset_for_expansion(work.plan.dag, views, cleared, wanted)}
        again += (columns for columns in rows if columns["id"] in anew)
        changes += (_cleared(work, run, columns) for columns in again)
        for columns in again:
            columns["state"] = TaskInstanceState.NONE.value
    change_states(work.tx, work.author, changes, work.history)


def _view(columns: Mapping[str, Any]) -> TaskInstanceSnapshot:
    """What of a locked row says whether its task is to be expanded anew."""
    stopping_to, state = columns["stopping_to"], STATES[columns["state"]]
    return TaskInstanceSnapshot(
        columns["id"],
        columns["task_id"],
        state,
        columns["map_index"],
        stopping_to=None if stopping_to is None else STATES[stopping_to],
        cause=CAUSES[columns["cause"]],
    )


def _cleared(work: Workspace, run: LockedRun, columns: Mapping[str, Any]) -> StateChange:
    task = work.plan.dag.by_id.get(columns["task_id"])
    return StateChange(
        columns["id"],
        TaskInstanceKey(run.dag_id, run.run_id, columns["task_id"], columns["map_index"]),
        STATES[columns["state"]],
        TaskInstanceState.NONE,
        Cause.REPROCESS,
        "cleared for reprocessing",
        columns["try_number"],
        max_tries=columns["try_number"] + (task.retries if task is not None else 0) + 1,
        lost_tries=0,
        chain=Chain(columns["chain_head"], columns["chain_length"]),
    )


def _create(work: Workspace, missing: Iterable[tuple[LockedRun, Iterable[TaskSpec]]]) -> None:
    """Create the task instances that do not exist yet, in topological order, so that rows follow it."""
    new: list[NewTaskInstance] = []
    for run, tasks in missing:
        existing = {columns["task_id"] for columns in work.of_run(run.id)}
        for task in tasks:
            if task.task_id not in existing:
                key = TaskInstanceKey(run.dag_id, run.run_id, task.task_id, UNMAPPED)
                new.append(new_task_instance(task, run.id, key, run.pool))
    insert_task_instances(work.tx, work.author, new, work.history)
