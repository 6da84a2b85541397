"""From a DAG as written to a ``DagSpec``: topological order, summed weights, and the mistakes only the whole shows."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from tailrace.authoring.arguments.callbacks import calls_of_dag, calls_of_task
from tailrace.authoring.arguments.reading import MOST
from tailrace.authoring.arguments.retry_policy import ExceptionRetryPolicy
from tailrace.authoring.arguments.task_arguments import TASK_ARGUMENTS
from tailrace.authoring.compiling.checking import check
from tailrace.authoring.dags.dag import DAG, BaseOperator
from tailrace.authoring.relations.edges import Task
from tailrace.authoring.relations.groups import Group
from tailrace.model.names import LONGEST_NAME
from tailrace.model.plain_text import visible_line
from tailrace.model.spec import DagSpec, EdgeLabel, GroupSpec, ParamSpec, TaskSpec, Together

#: What a spec has as the task has it. (Weights are summed up later.)
_AS_DECLARED = tuple(name for name in TaskSpec.__struct_fields__ if name in TASK_ARGUMENTS)


def compile_dag(dag: DAG, file: str, code_hash: str) -> DagSpec | None:
    """The DAG compiled, or None with its mistakes noted in ``dag.mistakes``."""
    dag.folder = Path(file).parent
    order = check(dag)
    if dag.mistakes:
        return None
    specs = {task_id: _task(dag.task_dict[task_id]) for task_id in _topological(dag)}
    spec = DagSpec(
        dag_id=dag.dag_id,
        tasks=tuple(specs.values()),
        schedule=dag.schedule,
        start_date=None if dag.start_date is None else dag.start_date.astimezone(UTC),
        end_date=None if dag.end_date is None else dag.end_date.astimezone(UTC),
        catchup=dag.catchup,
        max_active_runs=dag.max_active_runs,
        max_active_tasks=dag.max_active_tasks,
        description=dag.description,
        tags=dag.tags,
        file=file,
        code_hash=code_hash,
        params=_params(dag),
        paused_at_creation=dag.is_paused_upon_creation,
        dagrun_timeout=dag.dagrun_timeout,
        fail_fast=dag.fail_fast,
        max_consecutive_failed_dag_runs=dag.max_consecutive_failed_dag_runs,
        deadline=dag.deadline,
        groups=tuple(sorted(map(_group, dag.task_group_dict.values()), key=lambda group: group.group_id)),
        labels=tuple(sorted(EdgeLabel(up, down, label) for (up, down), label in order.labels.items())),
        calls=calls_of_dag(dag),
    )
    compiled: DagSpec = _standard(
        replace(spec, tasks=tuple(_weighted(task, spec, dag.task_dict) for task in spec.tasks))
    )
    return compiled


def _params(dag: DAG) -> tuple[ParamSpec, ...]:
    own = (replace(each, task_id=task.task_id) for task in dag.task_dict.values() for each in task.params.specs)
    return (*dag.params.specs, *own)


def _topological(dag: DAG) -> list[str]:
    """Upstream first; among those that could come next, by task id, so that the order is always the same."""
    sorter = TopologicalSorter(
        {task_id: task.upstream_task_ids & dag.task_dict.keys() for task_id, task in dag.task_dict.items()}
    )
    sorter.prepare()
    order: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()])
        task_id = ready.pop(0)
        order.append(task_id)
        sorter.done(task_id)
    return order


def _task(task: BaseOperator) -> TaskSpec:
    group = task.task_group.mapped_group
    over = None if group is None else group.expanded
    return TaskSpec(
        task_id=task.task_id,
        operator=visible_line(task.made_by.__name__, LONGEST_NAME),
        upstream=tuple(sorted(task.upstream_task_ids)),
        downstream=tuple(sorted(task.downstream_task_ids)),
        decides=task.decides,
        mapped_over=task.mapped_over if over is None else over.lengths,
        mapped_group="" if group is None else group.group_id,
        calls=calls_of_task(task),
        **{name: _stored(getattr(task, name)) for name in _AS_DECLARED},
    )


def _stored(value: Any) -> Any:
    """What an argument is without the author's classes."""
    return value.spec if isinstance(value, ExceptionRetryPolicy) else value


def _group(group: Group) -> GroupSpec:
    own = (child.node_id for child in group.children.values() if isinstance(child, Task))
    parent = "" if group.task_group is None else group.task_group.group_id
    return GroupSpec(group.group_id, tuple(sorted(own)), parent, group.tooltip)


def _weighted(task: TaskSpec, spec: DagSpec, written: Mapping[str, BaseOperator]) -> TaskSpec:
    """The task with its weight summed up by its weight rule, as Airflow does."""
    rule = written[task.task_id].weight_rule
    if rule == "absolute":
        return task
    if rule == "downstream":
        related = spec.descendants[task.task_id]
    else:
        related = frozenset(other.task_id for other in spec.tasks if task.task_id in spec.descendants[other.task_id])
    total = task.priority_weight + sum(written[each].priority_weight for each in related)
    return replace(task, priority_weight=min(total, MOST))


def _standard(value: Any) -> Any:
    """The same of the standard types: a subclass (pendulum has some) may be known only where it is written."""
    match value:
        case Struct():
            return replace(value, **{name: _standard(each) for name, each in asdict(value).items()})
        case Together():
            return Together(*map(_standard, value))
        case tuple():
            return tuple(map(_standard, value))
        case Enum() | bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int.__int__(value)
        case datetime():
            return datetime.fromisoformat(datetime.isoformat(value))
        case timedelta():
            return timedelta(value.days, value.seconds, value.microseconds)
        case _:
            return value
