"""What differs between two structures of a DAG, in words."""

from typing import Any

from msgspec.structs import asdict

from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.suggestions import few, joined

_MOST_NAMED = 5
#: Where a DAG came from, and what is told in other words, is no change of its structure.
_NOT_TOLD = {"dag_id", "tasks", "file", "code_hash", "params", "paused_at_creation", "groups", "labels"}


def structure_changes(before: DagSpec, after: DagSpec) -> tuple[str, ...]:
    """What is in ``after`` and was not in ``before``, the tasks first; empty where nothing that is told differs."""
    old, new = before.by_id, after.by_id
    found = [
        *_named("added", [task_id for task_id in new if task_id not in old]),
        *_named("removed", [task_id for task_id in old if task_id not in new]),
    ]
    related = {task_id: (task.upstream, task.downstream) for task_id, task in old.items()}
    # A weight may be summed up over others: with their relations it changes by itself.
    skipped = {"priority_weight"} if related != {each: (t.upstream, t.downstream) for each, t in new.items()} else set()
    for task_id in new:
        names = _fields(old[task_id], new[task_id], skipped | {"downstream"}) if task_id in old else []
        if names:
            found.append(f"{task_id}: {joined(names)}")
    whole = [name for name in asdict(after) if name not in _NOT_TOLD and getattr(after, name) != getattr(before, name)]
    if after.groups != before.groups or after.labels != before.labels:
        whole.append("task groups")
    return (*found, *whole)


def _named(what: str, task_ids: list[str]) -> list[str]:
    return [f"{what} {joined(few(task_ids, _MOST_NAMED))}"] if task_ids else []


def _fields(before: TaskSpec, after: TaskSpec, skipped: set[str]) -> list[str]:
    """Relations are told of the task that comes after."""
    values: dict[str, Any] = asdict(after)
    return [name for name in values if name not in skipped and values[name] != getattr(before, name)]
