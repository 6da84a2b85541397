"""What the metastore knows of backfills, runs, DAGs and pools, as every interface shows it: fields are the JSON's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from tailrace.metastore.commands.pools import PoolSummary
from tailrace.metastore.views.lists import BackfillLine, DagStats, RunLine, TaskInstanceLine
from tailrace.metastore.views.summaries import Root
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.planning.messages import Action, Advised, Refused, Remedy
from tailrace.service.confs import stored_conf
from tailrace.service.naming import find_run, require_known
from tailrace.service.stores import Stores
from tailrace.service.wording import Blocked, blocked_of, no_backfill


class Backfill(Struct, frozen=True):
    """One backfill. ``state`` is paused while it is paused and unfinished, ``runs`` counts its wanted runs by state."""

    backfill_id: int
    dag_id: str
    state: str
    start: datetime
    end: datetime
    reprocess: str
    runs: Mapping[str, int]
    failed_tasks: Mapping[str, int]
    upstream_failed_tasks: Mapping[str, int]
    created: datetime
    started: datetime | None
    ended: datetime | None
    command: str
    reason: str
    failed_inside: FailedTasks  # in its runs that succeeded


class BackfillDetails(Backfill, frozen=True, kw_only=True):
    """One backfill with what stands in its way."""

    task_instances: Mapping[str, int]
    blocked: tuple[Blocked, ...]
    root_failure: Root | None


class Run(Struct, frozen=True):
    """One run; its task instances are counted by state, those that failed by task."""

    dag_id: str
    run_id: str
    logical_date: datetime
    data_interval: tuple[datetime, datetime]
    run_type: str
    state: str
    start: datetime | None
    end: datetime | None
    reason: str
    conf: object
    task_instance_counts: Mapping[str, int]
    failed_tasks: Mapping[str, int]
    upstream_failed_tasks: Mapping[str, int]

    @property
    def failures(self) -> FailedTasks:
        """What failed in it."""
        return FailedTasks(self.failed_tasks, self.upstream_failed_tasks)


class RunDetails(Run, frozen=True, kw_only=True):
    """One run with its task instances."""

    task_instances: tuple[TaskInstanceLine, ...]


def list_backfills(stores: Stores, dag_id: str | None, limit: int) -> tuple[Backfill, ...]:
    """Backfills, newest first. Raises CommandError for a DAG that has never run."""
    metastore = stores.existing()
    if dag_id is not None:
        require_known(metastore, dag_id)
    found = () if metastore is None else metastore.list_backfills(dag_id, limit)
    return tuple(Backfill(**_of_backfill(line)) for line in found)


def show_backfill(stores: Stores, backfill_id: int | None) -> BackfillDetails:
    """One backfill, the newest by default. Raises CommandError when there is none."""
    metastore = stores.existing()
    line = None if metastore is None else metastore.show_backfill(backfill_id)
    if metastore is None or line is None:
        if backfill_id is None:
            raise Refused(Advised(("no backfill yet; ", Remedy(Action.BACKFILL), " makes one")))
        raise Refused(no_backfill(backfill_id))
    summary = metastore.backfill_summary(line.id)
    return BackfillDetails(
        **_of_backfill(line),
        task_instances=summary.task_instances,
        blocked=tuple(blocked_of(each, stores.typed) for each in summary.blocked),
        root_failure=summary.root_failure,
    )


def runs_of_backfill(stores: Stores, backfill_id: int, limit: int) -> tuple[Run, ...]:
    """The runs that a backfill wants, in its order."""
    metastore = stores.existing()
    found = () if metastore is None else metastore.runs_of_backfill(backfill_id, limit)
    return tuple(Run(**_of_run(line)) for line in found)


def list_runs(stores: Stores, dag_id: str | None, state: str | None, limit: int) -> tuple[Run, ...]:
    """Runs, newest logical date first. Raises CommandError for a DAG that has never run."""
    metastore = stores.existing()
    if dag_id is not None:
        require_known(metastore, dag_id)
    found = () if metastore is None else metastore.list_runs(dag_id, state, limit)
    return tuple(Run(**_of_run(line)) for line in found)


def show_run(stores: Stores, dag_id: str, run: str) -> RunDetails:
    """The run that is named by its id or a logical date. Raises CommandError as ``find_run`` does."""
    metastore = stores.existing()
    line = find_run(metastore, dag_id, run)
    instances = () if metastore is None else metastore.task_instances_of(line.id)
    return RunDetails(**_of_run(line), task_instances=instances)


def dag_stats(stores: Stores, dag_id: str | None) -> tuple[DagStats, ...]:
    """The runs and task instances of one DAG, or of each, by state. Raises CommandError for one that never ran."""
    metastore = stores.existing()
    if dag_id is not None:
        require_known(metastore, dag_id)
    return () if metastore is None else metastore.dag_stats(dag_id)


def list_pools(stores: Stores) -> tuple[PoolSummary, ...]:
    """Every pool, by name, with what occupies it."""
    metastore = stores.existing()
    return () if metastore is None else metastore.list_pools()


def _of_backfill(line: BackfillLine) -> dict[str, Any]:
    return {
        "backfill_id": line.id,
        "dag_id": line.dag_id,
        "state": "paused" if line.paused and line.ended_at is None else line.state,
        "start": line.start,
        "end": line.end,
        "reprocess": line.reprocess,
        "runs": line.runs,
        "failed_tasks": line.failures.everywhere.failed,
        "upstream_failed_tasks": line.failures.everywhere.upstream_failed,
        "created": line.created_at,
        "started": line.started_at,
        "ended": line.ended_at,
        "command": line.command,
        "reason": line.reason,
        "failed_inside": line.failures.inside,
    }


def _of_run(line: RunLine) -> dict[str, Any]:
    return {
        "dag_id": line.dag_id,
        "run_id": line.run_id,
        "logical_date": line.logical_date,
        "data_interval": (line.data_interval.start, line.data_interval.end),
        "run_type": line.run_type,
        "state": line.state,
        "start": line.started_at,
        "end": line.ended_at,
        "reason": line.reason,
        "conf": stored_conf(line.conf),
        "task_instance_counts": line.task_instances,
        "failed_tasks": line.failures.failed,
        "upstream_failed_tasks": line.failures.upstream_failed,
    }
