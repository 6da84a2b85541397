"""Expands mapped tasks: gives each instance its index, adds those that lack, removes those that have no place any more.

The placeholder's row becomes that of index 0, so that its history goes on; where nothing is left to be
expanded it becomes the placeholder again. How many there are is the planner's; here is only looked whether everything
that this was decided from still stands.
"""

from typing import Any

from tailrace.effects.results import Stale, StaleKind
from tailrace.metastore.plans.locking import LockedRun, Workspace
from tailrace.metastore.plans.rows import STATES
from tailrace.metastore.writes.runs import RunAsIs, touch_run
from tailrace.metastore.writes.task_instances import StateChange, expand, insert_task_instances
from tailrace.model.chains import Chain
from tailrace.model.keys import UNMAPPED, TaskInstanceKey
from tailrace.model.spec import MOST_INSTANCES, TaskSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import NewTaskInstance, new_task_instance
from tailrace.planning.plan import Expansion

_REMOVED = TaskInstanceState.REMOVED


def expand_tasks(work: Workspace) -> None:
    """Write the expansions of which nothing has changed; the run has a new version, for whoever decided by the old."""
    conflicts = {place: _conflict(work, part) for place, part in enumerate(work.plan.expansions)}
    refused = {_together(work.plan.expansions[place]) for place, conflict in conflicts.items() if conflict is not None}
    expanded: dict[int, LockedRun] = {}
    for place, part in enumerate(work.plan.expansions):
        if _together(part) in refused:
            about = f"{work.plan.dag.dag_id} / {part.run_id}"
            conflict = conflicts[place] or "another task of its group cannot be expanded now"
            work.stale.append(Stale(StaleKind.EXPANSION, about, f"expansion of {part.task_id}", conflict))
            continue
        run = work.runs[part.run]
        _expand(work, run, part)
        expanded[run.id] = run
    for run in expanded.values():
        chain = Chain(run.chain_head, run.chain_length)
        as_is = RunAsIs(run.id, run.dag_id, run.run_id, run.version, chain)
        touch_run(work.tx, work.author, as_is, work.history)
        run.version += 1
        work.expanded.append(run.id)


def _together(part: Expansion) -> tuple[int, frozenset[str]]:
    """The tasks of a run that are expanded with this one, and with none of them it is not either."""
    return part.run, frozenset((part.task_id, *part.beside))


def _conflict(work: Workspace, part: Expansion) -> str | None:
    run = work.runs.get(part.run)
    return "the run is gone" if run is None else _find_conflict(work, part, run)


def _find_conflict(work: Workspace, part: Expansion, run: LockedRun) -> str | None:
    """The first fact that is no longer as the expansion was decided from, or None."""
    if run.state != DagRunState.RUNNING or run.version != part.version:
        return f"expected running version {part.version}, found {run.state} version {run.version}"
    found = {columns["id"]: columns["state"] for columns in _of_task(work, part, *part.beside)}
    if found != dict(part.instances):
        return "its instances are not as they were"
    for id, (state, number) in part.sources.items():
        columns = work.task_instances.get(id)
        if columns is None or (columns["state"], columns["try_number"]) != (state, number):
            return f"what it is expanded over: expected {state} in try {number} of task instance {id}"
    if any(id not in work.runs or work.runs[id].version != version for id, version in part.versions):
        return "a run that it leans on has changed"
    if part.looked_back is not None and part.looked_back.dag_version != work.dag_version:
        return "another run may be its previous one by now"
    return None


def _of_task(work: Workspace, part: Expansion, *beside: str) -> list[dict[str, Any]]:
    tasks = {part.task_id, *beside}
    return [columns for columns in work.of_run(part.run) if columns["task_id"] in tasks]


def _expand(work: Workspace, run: LockedRun, part: Expansion) -> None:
    task = work.plan.dag.by_id[part.task_id]
    wanted = range(part.count) if part.count else (UNMAPPED,)
    by_index = {columns["map_index"]: columns for columns in _of_task(work, part)}
    first, other = (0, UNMAPPED) if part.count else (UNMAPPED, 0)
    if first not in by_index and other in by_index:
        by_index[first] = by_index.pop(other)
    evidence = _evidence(part)
    changes = [
        _change(run, task, columns, index, part, evidence)
        for index, columns in sorted(by_index.items())
        if index in wanted or columns["state"] != _REMOVED
    ]
    expand(work.tx, work.author, changes, work.history)
    new = [_new(run, task, index, evidence) for index in wanted if index not in by_index]
    insert_task_instances(work.tx, work.author, new, work.history)


def _evidence(part: Expansion) -> dict[str, Any]:
    evidence: dict[str, Any] = {
        "count": part.count,
        "lengths": list(part.lengths),
        "sources": {str(id): number for id, (_, number) in sorted(part.sources.items())},
    }
    if part.as_task:
        evidence["as_task"] = part.as_task
    if part.most != MOST_INSTANCES:
        evidence["most"] = part.most
    if part.looked_back is not None:
        evidence["previous_run"] = part.looked_back.run_id
    return evidence


def _change(
    run: LockedRun, task: TaskSpec, columns: dict[str, Any], index: int, part: Expansion, evidence: dict[str, Any]
) -> StateChange:
    """What becomes of a row that is there: it is of this index from now on, or has no place any more."""
    before = STATES[columns["state"]]
    has_place = index < part.count if part.count else index == UNMAPPED
    again = before is _REMOVED  # it was there when there were more, and begins anew
    return StateChange(
        columns["id"],
        TaskInstanceKey(run.dag_id, run.run_id, task.task_id, index),
        before,
        part.after if has_place else _REMOVED,
        Cause.EXPANDED,
        part.reason if has_place else f"its task is expanded into {part.count:,} now",
        columns["try_number"],
        columns["try_number"] + task.retries + 1 if again else columns["max_tries"],
        0 if again else columns["lost_tries"],
        evidence=evidence if columns["map_index"] == index else {**evidence, "was": columns["map_index"]},
        chain=Chain(columns["chain_head"], columns["chain_length"]),
        event=part.event if has_place else "",
    )


def _new(run: LockedRun, task: TaskSpec, index: int, evidence: dict[str, Any]) -> NewTaskInstance:
    key = TaskInstanceKey(run.dag_id, run.run_id, task.task_id, index)
    return new_task_instance(task, run.id, key, run.pool, cause=Cause.EXPANDED, evidence=evidence)
