"""Builds small snapshots in a line or two."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.planning.snapshot import BackfillSnapshot, PoolSnapshot, RunSnapshot, Snapshot, TaskInstanceSnapshot

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def dag(edges: str, **of_tasks: Mapping[str, Any]) -> DagSpec:
    """A DAG from ``"a>b b>c d"``; ``a={"retries": 1}`` sets fields of task a; ``_dag`` sets the DAG's."""
    up: dict[str, list[str]] = {}
    for part in edges.split():
        names = part.split(">")
        for name in names:
            up.setdefault(name, [])
        for upper, lower in zip(names, names[1:], strict=False):
            up[lower].append(upper)
    order: list[str] = []
    while len(order) < len(up):
        order.append(min(name for name in up if name not in order and all(each in order for each in up[name])))
    tasks = tuple(
        TaskSpec(
            name,
            upstream=tuple(sorted(up[name])),
            downstream=tuple(sorted(other for other in up if name in up[other])),
            **of_tasks.get(name, {}),
        )
        for name in order
    )
    return replace(DagSpec("dag", tasks), **of_tasks.get("_dag", {}))


def task_instances(
    spec: DagSpec, first_id: int = 1, **states: str | Mapping[str, Any]
) -> tuple[TaskInstanceSnapshot, ...]:
    """Instances of every task: none, or what is said by task id (a state, or fields)."""
    made = []
    for offset, task in enumerate(spec.tasks):
        said = states.get(task.task_id, "none")
        fields = {"state": said} if isinstance(said, str) else dict(said)
        fields["state"] = TaskInstanceState(fields["state"])
        made.append(TaskInstanceSnapshot(first_id + offset, task.task_id, max_tries=task.retries + 1, **fields))
    return tuple(made)


def run(spec: DagSpec, id: int = 1, *, day: int = 0, **more: Any) -> RunSnapshot:
    """A running run of this job with the given task instances (``tis``) or all of them in state none."""
    date = NOW - timedelta(days=30) + day * DAY
    tis = more.pop("tis", None)
    fields = {"state": DagRunState.RUNNING, "version": 1, "owner_job_id": 1, "owner_alive": True, **more}
    made = task_instances(spec, id * 100) if tis is None else tis
    return RunSnapshot(id, f"run_{id}", date, DataInterval(date, date + DAY), task_instances=made, **fields)


def snapshot(spec: DagSpec, *runs: RunSnapshot, after: Mapping[int, int] | None = None, **more: Any) -> Snapshot:
    """A snapshot of job 1 over these runs, with a running backfill and a default pool of 128 slots.

    ``after`` says by row which run another's tasks look back at.
    """
    looking = [task.task_id for task in spec.looking_back]
    more["looks_at"] = {run: dict.fromkeys(looking, previous) for run, previous in (after or {}).items()}
    open_runs = len(runs) + len(more.get("candidates", ()))
    view = BackfillSnapshot(1, BackfillState.RUNNING, 1, open_runs=open_runs, active_runs=len(runs))
    fields: dict[str, Any] = {
        "pools": {"default_pool": PoolSnapshot("default_pool", 128, 0)},
        "dag_active_runs": len(runs),
        "backfill": view,
    }
    return Snapshot(now=NOW, job_id=1, dag=spec, runs=runs, **{**fields, **more})
