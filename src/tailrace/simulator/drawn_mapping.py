"""Features of a random DAG: what its tasks are given of what others return, and what they are expanded over."""

import random

from msgspec.structs import replace

from tailrace.model.spec import Over, Together, XComRef, xcoms_of
from tailrace.simulator.written_dags import DECIDING, WrittenDag, WrittenGroup, WrittenTask


def mapped_groups(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some groups are expanded that hold no mapped one and are in none, over what stands before them; many of their
    tasks are called with the item.
    """
    names = [task.name for task in dag.tasks]
    odds, found = draw.choice((0.0, 0.4, 0.8)), dag
    for at, group in enumerate(dag.groups):
        within = found.mapped_group_of(group.name)
        holds_one = any(group.name in found.around(each.name) for each in found.groups if each.over is not None)
        if within is not None or holds_one or draw.random() > odds:
            continue
        first = next(task.name for task in dag.tasks if group.name in dag.around(task.group))
        over = _over(draw, names[: names.index(first)])
        expanded = replace(group, over=over, by_kwargs=len(over) == 1 and draw.random() < 0.2)
        found = replace(found, groups=(*found.groups[:at], expanded, *found.groups[at + 1 :]))

    def with_item(task: WrittenTask) -> WrittenTask:
        return replace(task, item=found.mapped_group_of(task.group) is not None and draw.random() < 0.4)

    return found.each(with_item)


def mapped(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Many of the tasks that decide nothing are expanded: over lists, outputs of any task before them, or several."""
    before: list[WrittenTask] = []
    odds = draw.choice((0.0, 0.3, 0.3, 0.6))
    related = set(dag.relations)
    tasks: list[WrittenTask] = []
    for task in dag.tasks:
        made = task
        alone = dag.mapped_group_of(task.group) is None
        if task.kind not in DECIDING and alone and draw.random() < odds:
            near = [up.name for up in before if (up.name, task.name) in related] * 3
            over = _over(draw, [*near, *(up.name for up in before)])
            by_kwargs = len(over) == 1 and draw.random() < 0.2
            made = replace(task, over=over, by_kwargs=by_kwargs)
        tasks.append(made)
        before.append(made)
    everything: list[WrittenTask | WrittenGroup] = [*tasks, *dag.groups]
    over_all = [over for each in everything for over in each.over or ()]
    several = {ref.task_id for ref in xcoms_of(over_all) if ref.key != "return_value"}
    return replace(
        dag,
        tasks=tuple(
            replace(task, arguments={**task.arguments, "multiple_outputs": True}) if task.name in several else task
            for task in tasks
        ),
    )


def _over(draw: random.Random, names: list[str]) -> tuple[Over, ...]:
    over: list[Over] = []
    for _ in range(draw.choice((1, 1, 2))):
        literal = not names or draw.random() < 0.25
        over.append(draw.choice((0, 1, 2, 2, 3)) if literal else _output(draw, names))
    if names and draw.random() < 0.2:
        parts = (_output(draw, names), *over, draw.choice((1, 2)))
        return (Together(draw.choice(("shortest", "longest", "sum")), parts),)
    return tuple(over)


def _output(draw: random.Random, names: list[str]) -> XComRef:
    return XComRef(draw.choice(names), draw.choice(("return_value", "return_value", "k")))


def given_outputs(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are called with what others return."""
    names = [task.name for task in dag.tasks]

    def given(task: WrittenTask) -> WrittenTask:
        before = names[: names.index(task.name)]
        if not before or draw.random() > 0.15:
            return task
        return replace(task, takes=(draw.choice(before),))

    return dag.each(given)
