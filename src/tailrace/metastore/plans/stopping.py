"""Writes that a run is stopped before its tasks have ended, if it is still as that was decided from."""

from typing import Any

from tailrace.effects.results import Stale, StaleKind
from tailrace.metastore.plans.locking import LockedRun, Workspace
from tailrace.metastore.plans.rows import stopped_by_text
from tailrace.metastore.writes.runs import RunStep, stop_run
from tailrace.model.chains import Chain
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.plan import RunStop
from tailrace.planning.snapshot import StoppedBy


def stop_runs(work: Workspace) -> None:
    """Stop the runs of the plan; their versions grow, so that nothing that was decided before goes on."""
    for part in work.plan.stops:
        run = work.runs.get(part.id)
        conflict = "the run is gone" if run is None else _find_conflict(work, part, run)
        if run is None or conflict is not None:
            about = f"{work.plan.dag.dag_id} / {part.run_id}"
            work.stale.append(Stale(StaleKind.STOP, about, f"stop for {part.cause}", conflict or ""))
            continue
        running = DagRunState.RUNNING
        step = (run.id, run.dag_id, run.run_id, running, running, part.cause, part.reason)
        chain = Chain(run.chain_head, run.chain_length)
        change = RunStep(*step, evidence=_evidence(part), version=run.version, chain=chain)
        stop_run(work.tx, work.author, change, work.history, stopped_by_text(StoppedBy(part.cause, part.reason)))
        run.version += 1
        work.stopped.append(run.id)


def _find_conflict(work: Workspace, part: RunStop, run: LockedRun) -> str | None:
    if run.state != DagRunState.RUNNING or run.version != part.version:
        return f"expected running version {part.version}, found {run.state} version {run.version}"
    if part.failed is not None:
        id, number = part.failed
        found = work.task_instances.get(id)
        if found is None or (found["state"], found["try_number"]) != (TaskInstanceState.FAILED, number):
            return f"what it stops for: expected failed in try {number} of task instance {id}"
    return None


def _evidence(part: RunStop) -> dict[str, Any]:
    if part.failed is not None:
        return {"task_instance": part.failed[0], "try_number": part.failed[1]}
    assert part.limit is not None and part.began is not None and part.seen is not None  # its time was up
    times = {"began": part.began.isoformat(), "seen": part.seen.isoformat()}
    return {"limit": part.limit.total_seconds(), **times}
