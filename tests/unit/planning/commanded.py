"""Builds what a command knows in a line or two."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.commands import (
    CommandFacts,
    CommandPlan,
    DeadlockedRun,
    KnownBackfill,
)
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot
from tests.unit.planning.builders import NOW


def known_run(spec: DagSpec, id: int = 1, state: str = "running", **more: Any) -> RunSnapshot:
    """A run whose tasks are in the states said by task id (``tis``: a state, or fields); those not said are absent."""
    tis = more.pop("tis", {})
    made = []
    for place, task in enumerate(spec.tasks):
        if task.task_id not in tis:
            continue
        said: Mapping[str, Any] | str = tis[task.task_id]
        fields: dict[str, Any] = {"state": said} if isinstance(said, str) else dict(said)
        fields["state"] = TaskInstanceState(fields["state"])
        defaults = {"try_number": 1, "max_tries": task.retries + 1, "cause": Cause.OUTCOME}
        made.append(TaskInstanceSnapshot(id * 100 + place, task.task_id, **{**defaults, **fields}))
    date = NOW + timedelta(days=id)
    fields = {"version": 3, **more}
    interval = DataInterval(date, date + timedelta(days=1))
    return RunSnapshot(id, f"run_{id}", date, interval, DagRunState(state), task_instances=tuple(made), **fields)


def deadlocked(spec: DagSpec, id: int, previous: int, blocked: str, **more: Any) -> DeadlockedRun:
    """A run that its previous run's tasks of the same names blocked."""
    names = tuple(blocked.split())
    return DeadlockedRun(known_run(spec, id, "deadlocked", **more), names, dict.fromkeys(names, previous))


def known_backfill(id: int = 1, **more: Any) -> KnownBackfill:
    fields = {"state": BackfillState.RUNNING, "version": 2, "command": f"tailrace backfill dag {id}", **more}
    return KnownBackfill(id, "dag", **fields)


def facts(spec: DagSpec, *runs: RunSnapshot, **more: Any) -> CommandFacts:
    wanted = {id: known_backfill(id) for run in runs for id in run.wanted_by}
    fields = {"dag": spec, "structure": 1, "backfills": wanted, **more}
    return CommandFacts(NOW, "dag", runs=runs, **fields)


def steps(plan: CommandPlan) -> dict[str, tuple[str, str | None]]:
    """What becomes of each task, and where it is to end if it is stopping. One run only."""
    return {
        step.key.task_id: (str(step.after), None if step.stopping_to is None else str(step.stopping_to))
        for step in plan.task_instances
    }


def run_steps(plan: CommandPlan) -> dict[str, tuple[str, str]]:
    return {change.run_id: (str(change.before), str(change.after)) for change in plan.runs}
