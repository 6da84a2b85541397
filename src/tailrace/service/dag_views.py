"""DAGs as every interface shows them: the fields are the JSON's. From their files, or as the metastore has them."""

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from msgspec import Struct

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec, EdgeLabel, GroupSpec, TaskSpec
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.schedules import ScheduleFacts
from tailrace.planning.scheduling import next_run
from tailrace.service.dates import bound_text
from tailrace.timetable import zone_named


class ScheduleShown(Struct, frozen=True):
    """When a DAG's runs are due; ``kind`` says what the expression is."""

    kind: str
    expression: str
    timezone: str


class NextRun(Struct, frozen=True):
    """The next run that the schedule creates; ``at`` is when."""

    logical_date: datetime
    data_interval: tuple[datetime, datetime]
    at: datetime


class DagShown(Struct, frozen=True):
    """A DAG. Dates are in its time zone. ``last_pause`` is the newest pause, or end of one, by a person."""

    dag_id: str
    description: str
    schedule: ScheduleShown
    start_date: str | None
    end_date: str | None
    catchup: bool
    max_active_runs: int
    max_active_tasks: int
    tags: tuple[str, ...]
    file: str
    task_count: int
    paused: bool
    paused_reason: str | None
    last_pause: PersonsCommand | None


class DagListed(DagShown, frozen=True):
    """The same in a list. ``missing``: it is in no DAG file any more; null where nobody has looked at the files."""

    next_run: NextRun | None
    missing: bool | None


class TaskShown(Struct, frozen=True):
    """One task of a DAG."""

    task_id: str
    task_group: str | None
    operator: str
    upstream: tuple[str, ...]
    downstream: tuple[str, ...]
    trigger_rule: str
    retries: int
    depends_on_past: bool
    wait_for_downstream: bool
    mapped: bool
    mapped_group: str | None
    pool: str
    pool_slots: int
    priority_weight: int


class DagDetails(DagShown, frozen=True):
    """A DAG with its tasks, in topological order, its task groups, and the labels on its edges."""

    tasks: tuple[TaskShown, ...]
    groups: tuple[GroupSpec, ...]
    labels: tuple[EdgeLabel, ...]


def dag_listed(
    spec: DagSpec, facts: ScheduleFacts, pause: PersonsCommand | None, now: datetime, *, missing: bool | None
) -> DagListed:
    """A DAG as it is listed; one that is missing has no next run."""
    due = None if missing else next_run(spec, facts, now)
    return DagListed(**_shown(spec, facts, pause), next_run=None if due is None else _next(due), missing=missing)


def dag_details(spec: DagSpec, facts: ScheduleFacts, pause: PersonsCommand | None) -> DagDetails:
    """A DAG as it is shown by itself."""
    tasks = tuple(task_shown(spec, task) for task in spec.tasks)
    return DagDetails(**_shown(spec, facts, pause), tasks=tasks, groups=spec.groups, labels=spec.labels)


def task_shown(spec: DagSpec, task: TaskSpec) -> TaskShown:
    """One task of the DAG."""
    return TaskShown(
        task_id=task.task_id,
        task_group=spec.group_of.get(task.task_id),
        operator=task.operator,
        upstream=tuple(task.upstream),
        downstream=tuple(task.downstream),
        trigger_rule=str(task.trigger_rule),
        retries=task.retries,
        depends_on_past=task.depends_on_past,
        wait_for_downstream=task.wait_for_downstream,
        mapped=task.mapped_over is not None,
        mapped_group=task.mapped_group or None,
        pool=task.pool,
        pool_slots=task.pool_slots,
        priority_weight=task.priority_weight,
    )


def _shown(spec: DagSpec, facts: ScheduleFacts, pause: PersonsCommand | None) -> Mapping[str, Any]:
    schedule, zone = spec.schedule, zone_named(spec.schedule.timezone)
    return {
        "dag_id": spec.dag_id,
        "description": spec.description,
        "schedule": ScheduleShown(str(schedule.kind), schedule.expression, schedule.timezone),
        "start_date": _moment(spec.start_date, zone),
        "end_date": _moment(spec.end_date, zone),
        "catchup": spec.catchup,
        "max_active_runs": spec.max_active_runs,
        "max_active_tasks": spec.max_active_tasks,
        "tags": tuple(spec.tags),
        "file": spec.file,
        "task_count": len(spec.tasks),
        "paused": facts.paused,
        "paused_reason": facts.reason or None,
        "last_pause": pause,
    }


def _next(run: DataInterval) -> NextRun:
    return NextRun(run.start, (run.start, run.end), run.end)


def _moment(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else bound_text(moment, zone)
