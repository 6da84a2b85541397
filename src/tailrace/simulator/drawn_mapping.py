"""Features of a random DAG: what its tasks are given of what others return, and what they are expanded over."""

import random
from collections.abc import Iterable

from msgspec.structs import replace

from tailrace.model.spec import Over, Together, XComRef
from tailrace.simulator.written_dags import DECIDING, WrittenDag, WrittenTask


def mapped(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Many of the tasks that decide nothing are expanded: over lists, outputs of any task before them, or several."""
    before: list[WrittenTask] = []
    odds = draw.choice((0.0, 0.3, 0.3, 0.6))
    related = set(dag.relations)
    tasks: list[WrittenTask] = []
    for task in dag.tasks:
        made = task
        if task.kind not in DECIDING and draw.random() < odds:
            near = [up.name for up in before if (up.name, task.name) in related] * 3
            over = _over(draw, [*near, *(up.name for up in before)])
            by_kwargs = len(over) == 1 and draw.random() < 0.2
            made = replace(task, over=over, by_kwargs=by_kwargs)
        tasks.append(made)
        before.append(made)
    several = {ref.task_id for task in tasks for ref in _refs(task.over or ()) if ref.key != "return_value"}
    return replace(
        dag,
        tasks=tuple(
            replace(task, arguments={**task.arguments, "multiple_outputs": True}) if task.name in several else task
            for task in tasks
        ),
    )


def _refs(over: Iterable[Over]) -> Iterable[XComRef]:
    for each in over:
        if isinstance(each, XComRef):
            yield each
        elif isinstance(each, Together):
            yield from _refs(each.of)


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
