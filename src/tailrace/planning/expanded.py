"""Whether the number of a mapped task's instances stands, and what takes that back.

It is read off the task's instances: the number stands while one of them has begun, has ended, or is to begin since it
was decided. The tasks of a mapped group have one number, which stands while an instance of any of them does.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from tailrace.model.keys import UNMAPPED
from tailrace.model.spec import DagSpec, TaskSpec, XComRef
from tailrace.model.states import FINISHED, IDLE, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.snapshot import TaskInstanceSnapshot

_State = TaskInstanceState
Instances = Sequence[TaskInstanceSnapshot]


class Shape(Struct, frozen=True):
    """What a mapped group was expanded into: so many indexes, or none, and then what its tasks ended in.

    ``task_id``: of which task this was read.
    """

    task_id: str
    count: int
    after: TaskInstanceState = _State.NONE


def is_expanded(instances: Iterable[TaskInstanceSnapshot], *, mapped: bool) -> bool:
    """Whether the number of a task's instances stands: one of them has begun, has ended, or is to begin.

    Of a task that is not ``mapped`` (any more): whether it must be left with what it was expanded into.
    """
    return any(_stands(each, mapped=mapped) for each in instances)


def _stands(instance: TaskInstanceSnapshot, *, mapped: bool) -> bool:
    state = instance.state
    if state is _State.REMOVED:
        return False
    if state is _State.STOPPING:
        return instance.stopping_to not in (None, _State.NONE)
    if state in IDLE and mapped != (instance.map_index != UNMAPPED):
        return False  # of another kind than its task is by now
    return state is not _State.NONE or not mapped or instance.cause == Cause.EXPANDED


def _stands_in_group(instance: TaskInstanceSnapshot) -> bool:
    """The same in a group: one that was given an outcome before there were indexes says nothing of them."""
    return _stands(instance, mapped=True) and (instance.map_index != UNMAPPED or instance.cause == Cause.EXPANDED)


def by_task_of(instances: Iterable[TaskInstanceSnapshot]) -> dict[str, list[TaskInstanceSnapshot]]:
    """Task instances by their tasks."""
    found: dict[str, list[TaskInstanceSnapshot]] = {}
    for each in instances:
        found.setdefault(each.task_id, []).append(each)
    return found


def shape_of(tasks: Iterable[TaskSpec], by_task: Mapping[str, Instances]) -> Shape | None:
    """What a mapped group was expanded into; None where that is still to be decided, or to be decided again."""
    found: Shape | None = None
    for task in tasks:
        own = by_task.get(task.task_id, ())
        standing = next(filter(_stands_in_group, own), None)
        if standing is not None:
            count = 1 + max(each.map_index for each in own if each.state is not _State.REMOVED)
            if found is None or count > found.count:
                found = Shape(task.task_id, count, _State.NONE if count else standing.state)
    return found


def is_apart(instances: Instances) -> bool:
    """Whether a task of a mapped group has no part in its expansion: it had begun, or ended, without an index."""
    return any(
        each.map_index == UNMAPPED
        and each.state not in IDLE
        and each.state not in (_State.REMOVED, _State.STOPPING)
        and each.cause != Cause.EXPANDED
        for each in instances
    )


def lacks_part(instances: Instances, shape: Shape) -> bool:
    """Whether a task of a group has not been given what the group was expanded into, and can be."""
    there = [each for each in instances if each.state is not _State.REMOVED]
    if not there or not all(each.state in IDLE for each in there):
        return False
    wanted = range(shape.count) if shape.count else ()
    return {each.map_index for each in there} != set(wanted)


def number_stands(dag: DagSpec | None, task_id: str, by_task: Mapping[str, Instances]) -> bool:
    """Whether the number of this task's instances stands, in a mapped group or alone."""
    task = None if dag is None else dag.by_id.get(task_id)
    if dag is None or task is None or not task.mapped_group:
        return is_expanded(by_task.get(task_id, ()), mapped=True)
    return shape_of(dag.mapped_groups[task.mapped_group], by_task) is not None


def to_expand(task: TaskSpec, instances: Iterable[TaskInstanceSnapshot]) -> bool:
    """Whether it is still to be decided, or to be decided again, how many instances a task in no mapped group has."""
    found = list(instances)
    mapped = task.mapped_over is not None
    if not mapped and all(each.map_index == UNMAPPED for each in found):
        return False
    return not is_expanded(found, mapped=mapped)


def expanded_together(dag: DagSpec) -> Iterator[tuple[TaskSpec, ...]]:
    """The mapped tasks, those of one group together."""
    yield from ((task,) for task in dag.mapped if not task.mapped_group)
    yield from dag.mapped_groups.values()


def reset_for_expansion(
    dag: DagSpec, instances: Iterable[TaskInstanceSnapshot], cleared: Mapping[int, str], whole: Container[str]
) -> Iterator[TaskInstanceSnapshot]:
    """Those that have not begun, and whose task is to be expanded anew once these are ``cleared`` (tasks by row).

    That is so where what it is expanded over was cleared, or the task as a ``whole``, and nothing of it has begun; or
    of its mapped group.
    """
    if not dag.mapped:
        return
    by_task = by_task_of(instances)
    touched = set(cleared.values())
    for tasks in expanded_together(dag):
        over = {ref.task_id for ref in tasks[0].length_sources}
        if not (touched & over or any(task.task_id in touched and task.task_id in whole for task in tasks)):
            continue
        left = [each for task in tasks for each in by_task.get(task.task_id, ()) if each.id not in cleared]
        standing = filter(_stands_in_group, left) if tasks[0].mapped_group else _standing(left)
        if all(each.state is _State.NONE for each in standing):
            yield from (each for each in left if each.state is _State.NONE and each.cause == Cause.EXPANDED)


def _standing(instances: Iterable[TaskInstanceSnapshot]) -> Iterator[TaskInstanceSnapshot]:
    return (each for each in instances if _stands(each, mapped=True))


def needed_lengths(dag: DagSpec, instances: Iterable[TaskInstanceSnapshot]) -> Mapping[XComRef, list[int]]:
    """The XComs whose lengths the next step may need, with the rows of the task instances that may have left them.

    Only what has ended altogether is looked at.
    """
    by_task = by_task_of(instances)
    needed: dict[XComRef, list[int]] = {}
    for tasks in expanded_together(dag):
        own = [each for task in tasks for each in by_task.get(task.task_id, ())]
        decided = shape_of(tasks, by_task) is not None if tasks[0].mapped_group else not to_expand(tasks[0], own)
        if decided or not any(each.state in IDLE for each in own):
            continue
        sources = [each for ref in tasks[0].length_sources for each in by_task.get(ref.task_id, ())]
        if all(each.state in FINISHED for each in sources):
            needed |= {ref: [each.id for each in by_task.get(ref.task_id, ())] for ref in tasks[0].length_sources}
    return needed
