"""Applies one plan in one write transaction: every part of it lands, or is refused with what was found instead.

The order is the lock order: guards (the DAG, its pools, the backfill), runs, task instances. Transitions come first,
so that verdicts are checked against what this plan itself does; verdicts come before activations, so that a closed
run's place in the window can be taken at once.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import convert, to_builtins
from msgspec.structs import replace

from tailrace.effects.results import Applied, Stale
from tailrace.effects.tries import Submission
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.activation import activate_runs, adopt_tasks, requeue_running, take_over_runs
from tailrace.metastore.plans.capacity_waits import change_waits
from tailrace.metastore.plans.expanding import expand_tasks
from tailrace.metastore.plans.guards import (
    count_occupants,
    dag_version,
    lock_dag,
    lock_pools,
    running_runs,
)
from tailrace.metastore.plans.locking import Workspace, lock_task_instances, read_runs
from tailrace.metastore.plans.pausing import mark_late_runs, pause_dag
from tailrace.metastore.plans.rows import STATES
from tailrace.metastore.plans.stopping import stop_runs
from tailrace.metastore.plans.verdicts import begin_backfill, judge_backfill, judge_runs, lock_backfill
from tailrace.metastore.writes.records import Author, insert_history, record
from tailrace.metastore.writes.structures import Structures
from tailrace.metastore.writes.task_instances import StateChange, change_states
from tailrace.model.chains import Chain
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.states import FINISHED, OCCUPYING, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause
from tailrace.planning.occupancy import Occupancy
from tailrace.planning.plan import (
    Expansion,
    Plan,
    RunActivation,
    RunAdoption,
    RunRequeue,
    RunStop,
    RunTakeover,
    RunVerdict,
    TaskTransition,
)

_OCCUPYING = frozenset(state.value for state in OCCUPYING)


def apply_plan(tx: Transaction, plan: Plan, write_id: str, structures: Structures) -> dict[str, Any]:
    """Apply the plan; the result is the record of what happened (see ``applied_from``), stored under ``write_id``."""
    work = _begin(tx, plan, write_id, structures)
    occupancy = count_occupants(tx, plan.dag) if any(step.takes_slot for step in plan.transitions) else None
    _take_steps(work, occupancy)
    stop_runs(work)
    mark_late_runs(work)
    judge_runs(work)
    pause_dag(work)
    if plan.expansions:
        expand_tasks(work)
    if plan.yields:
        requeue_running(work)
    if plan.activations:
        running = running_runs(tx, plan.dag.dag_id)
        structure = structures.row_of(tx, work.author, plan.dag)
        work.author = replace(work.author, structure=structure)
        activate_runs(work, running, structure)
    if plan.adoptions:
        adopt_tasks(work)
    if plan.takeovers:
        take_over_runs(work)
    change_waits(work)
    begin_backfill(work)
    judge_backfill(work)
    insert_history(tx, work.history)
    result = {
        "won": work.won,
        "lost": work.lost,
        "deferred": work.deferred,
        "expanded": work.expanded,
        "stopped": work.stopped,
        "late": work.late,
        "paused": work.paused,
        "activated": work.activated,
        "yielded": work.yielded,
        "adopted": work.adopted,
        "taken_over": work.taken_over,
        "judged": work.judged,
        "stale": to_builtins(work.stale),
        "backfill_judged": work.backfill_judged,
    }
    record(tx, write_id, result)
    return result


def applied_from(plan: Plan, result: dict[str, Any]) -> Applied:
    """The result of a plan, from the record of applying it."""
    won = tuple(plan.transitions[place] for place in result["won"])
    return Applied(
        won=won,
        lost=tuple(plan.transitions[place] for place in result["lost"]),
        deferred=tuple(plan.transitions[place] for place in result["deferred"]),
        expanded=tuple(result["expanded"]),
        stopped=tuple(result["stopped"]),
        late=tuple(part for part in plan.late if part.id in result["late"]),
        paused=plan.pause.reason if plan.pause is not None and result["paused"] else "",
        activated=tuple(result["activated"]),
        yielded=tuple(result["yielded"]),
        adopted=tuple(result["adopted"]),
        taken_over=tuple(result["taken_over"]),
        judged=tuple(plan.run_verdicts[place] for place in result["judged"]),
        stale=convert(result["stale"], tuple[Stale, ...]),
        backfill_judged=result["backfill_judged"],
        queued=tuple(_submission(plan, step) for step in won if step.takes_slot),
    )


def _submission(plan: Plan, step: TaskTransition) -> Submission:
    return Submission(step.id, TryKey(step.key, step.try_number), plan.dag.by_id[step.key.task_id].priority_weight)


def _begin(tx: Transaction, plan: Plan, write_id: str, structures: Structures) -> Workspace:
    """Lock everything the plan is about, in lock order."""
    author = Author(tx.moment.wall, write_id, Actor.PLANNER, plan.job_id, structures.find(tx, plan.dag))
    work = Workspace(tx, plan, author)
    named = {step.run for step in plan.transitions}
    for step in _steps(plan):
        named.update(id for id, _ in step.versions)
    parts: list[RunActivation | RunRequeue | RunAdoption | RunTakeover | RunVerdict | RunStop] = [*plan.activations]
    parts += (*plan.yields, *plan.stops, *plan.adoptions, *plan.takeovers, *plan.run_verdicts)
    named.update(part.id for part in parts)
    for verdict in plan.run_verdicts:
        named.update(verdict.past_evidence)
        named.update(each.id for each in verdict.circle)
    named.update(step.previous for step in plan.yields)
    named.update(part.id for part in plan.late)
    queueing = [step for step in plan.transitions if step.takes_slot]
    if tx.postgres:
        _lock_guards(work, queueing)
    if _leans_on_the_past(plan):
        work.dag_version = dag_version(tx, plan.dag.dag_id)
    work.runs = read_runs(tx, named, lock=True)
    whole = {part.id for part in parts if not isinstance(part, RunTakeover)}
    whole.update(part.run for part in plan.expansions)
    whole.update(each.id for verdict in plan.run_verdicts for each in verdict.circle if each.evidence)
    lock_task_instances(work, whole, (step.id for step in plan.transitions))
    return work


def _lock_guards(work: Workspace, queueing: list[TaskTransition]) -> None:
    """Lock what guards the limits this plan counts against, and the pools whose size a verdict leans on."""
    plan, tx = work.plan, work.tx
    pools = {name for verdict in plan.run_verdicts for name in verdict.pool_evidence}
    circle = {each.dag_id for verdict in plan.run_verdicts for each in verdict.circle}
    own = queueing or plan.activations or plan.pause or _leans_on_the_past(plan) or _leaves_open(plan) or circle
    for dag_id in sorted({*circle, *([plan.dag.dag_id] if own else ())}):
        lock_dag(tx, dag_id)
    if own:
        # A run may name its own pool. That is fixed at creation, so it may be read before the run is locked.
        runs = read_runs(tx, {step.run for step in queueing}, lock=False)
        pools |= {_pool(work, step, runs[step.run].pool) for step in queueing if step.run in runs}
    lock_pools(tx, pools)
    lock_backfill(work)


def _leans_on_the_past(plan: Plan) -> bool:
    """Whether something of the plan is true only while no other run counts as the previous one of its own."""
    looked_back = any(step.looked_back is not None for step in _steps(plan))
    return looked_back or bool(plan.yields) or any(verdict.dag_version is not None for verdict in plan.run_verdicts)


def _steps(plan: Plan) -> Iterator[TaskTransition | Expansion]:
    """What may lean on other runs than its own."""
    yield from plan.transitions
    yield from plan.expansions


def _leaves_open(plan: Plan) -> bool:
    return plan.backfill_verdict is not None and plan.backfill_verdict.leaves_open


def _pool(work: Workspace, step: TaskTransition, of_run: str | None) -> str:
    return of_run or work.plan.dag.by_id[step.key.task_id].pool


def _take_steps(work: Workspace, occupancy: Occupancy | None) -> None:
    """Take the plan's transitions in its order: those that find what they expect and, to be queued, have room.

    What a plan decides about a run may build on an outcome that it declared itself: a loss, a skip. If that one is
    lost, so are the run's later steps; they are decided again from what is there.
    """
    changes: list[StateChange] = []
    invalidated: set[int] = set()
    for place, step in enumerate(work.plan.transitions):
        columns = None if step.run in invalidated else _as_expected(work, step)
        if columns is None:
            if step.after in FINISHED:
                invalidated.add(step.run)
            work.lost.append(place)
            continue
        if step.takes_slot and occupancy is not None:
            pool_name = _pool(work, step, work.runs[step.run].pool)
            task = work.plan.dag.by_id[step.key.task_id]
            if not occupancy.admit(work.plan.dag, task, pool_name, step.run):
                work.deferred.append(place)
                continue
            columns.update(pool=pool_name, pool_slots=task.pool_slots, priority=task.priority_weight)
        elif occupancy is not None and columns["state"] in _OCCUPYING and step.after.value not in _OCCUPYING:
            same_dag = step.key.dag_id == work.plan.dag.dag_id
            occupancy.release(columns["pool"], columns["pool_slots"], step.run, step.key.task_id, same_dag=same_dag)
        changes.append(_change(step, columns))
        columns.update(state=step.after.value, try_number=step.try_number, stopping_to=step.stopping_to)
        columns["lease_until"] = None
        work.won.append(place)
    change_states(work.tx, work.author, changes, work.history)


def _as_expected(work: Workspace, step: TaskTransition) -> dict[str, Any] | None:
    """The locked row, if the run is active and the row is still as the step was decided from."""
    run = work.runs.get(step.run)
    columns = work.task_instances.get(step.id)
    if run is None or columns is None or columns["dag_run_id"] != step.run:
        return None
    stops = step.before is TaskInstanceState.STOPPING  # of a cancelled run too: its slot must not stay taken
    if run.state != DagRunState.RUNNING and not stops:
        return None
    if columns["state"] != step.before or columns["try_number"] != step.before_try:
        return None
    if stops and step.after != (columns["stopping_to"] or TaskInstanceState.NONE):
        return None  # a person wants another end for it by now
    if any(id not in work.runs or work.runs[id].version != version for id, version in step.versions):
        return None  # a person changed what is above it, or before it
    if step.looked_back is not None and step.looked_back.dag_version != work.dag_version:
        return None  # another run may be its previous one by now
    if step.token is not None and columns["token"] != step.token:
        return None
    lease = (columns["lease_until"], columns["lease_epoch"], columns["lease_seconds"])
    if step.only_if_expired and not work.tx.moment.expired(*lease):
        return None
    return columns


def _change(step: TaskTransition, columns: dict[str, Any]) -> StateChange:
    """The step as it is written, of a locked row."""
    return StateChange(
        step.id,
        TaskInstanceKey(step.key.dag_id, step.key.run_id, columns["task_id"], columns["map_index"]),
        STATES[columns["state"]],
        step.after,
        step.cause,
        step.reason,
        step.try_number,
        columns["max_tries"] if step.max_tries is None else step.max_tries,
        columns["lost_tries"] if step.lost_tries is None else step.lost_tries,
        before_try=columns["try_number"],
        token=step.token,
        retry_at=step.retry_at,
        stopping_to=step.stopping_to,
        started_at=columns["started_at"] if step.cause is Cause.RESUMED else None,
        pool=columns["pool"],
        pool_slots=columns["pool_slots"],
        priority=columns["priority"],
        evidence=_evidence(step),
        chain=Chain(columns["chain_head"], columns["chain_length"]),
        event=step.event,
    )


def _evidence(step: TaskTransition) -> dict[str, Any] | None:
    if step.stopping_to is not None:
        return {"stopping_to": step.stopping_to}
    return None if step.looked_back is None else {"previous_run": step.looked_back.run_id}
