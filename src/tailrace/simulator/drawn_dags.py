"""A random DAG as an author writes it: a shape, and over it one feature after another, each drawn by itself.

A feature is a function that is given its own random numbers and the DAG so far; a new one changes no other's draws.
Names are in topological order: what a task needs was written before it, and a group holds a stretch of them.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from msgspec.structs import replace

from tailrace.simulator import drawn_arguments, drawn_mapping
from tailrace.simulator.scenario import FIRST_DATE
from tailrace.simulator.written_dags import DECIDING, Kind, WrittenDag, WrittenGroup, WrittenTask, edges_of

Feature: TypeAlias = Callable[[random.Random, WrittenDag], WrittenDag]

#: How many tasks a DAG has; most bugs need few.
_SIZES = (2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 10, 12)


def drawn_dag(seed: int) -> WrittenDag:
    """The DAG of a seed."""
    dag = _shape(random.Random(f"shape {seed}"), seed)
    for feature in FEATURES:
        dag = feature(random.Random(f"{feature.__name__} {seed}"), dag)
    return dag


def _shape(draw: random.Random, seed: int) -> WrittenDag:
    """Tasks and the order between them; and what is said of the DAG as a whole."""
    names = [f"t{number}" for number in range(draw.choice(_SIZES))]
    odds = draw.choice((0.2, 0.4, 0.6))
    relations = tuple(
        (above, below)
        for at, below in enumerate(names)
        for distance, above in enumerate(reversed(names[:at]))
        if draw.random() < odds / (1 + distance / 3)
    )
    arguments: dict[str, Any] = {
        "schedule": "0 0 * * *",
        "start_date": FIRST_DATE,
        "max_active_runs": draw.choice((1, 2, 16)),
        "max_active_tasks": draw.choice((1, 2, 4, 16)),
    }
    return WrittenDag(f"dag_{seed}", tuple(map(WrittenTask, names)), relations=relations, arguments=arguments)


# --- features ----------------------------------------------------------------------------------------------


def in_groups(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Stretches of tasks are in groups, some of these in groups again; tasks and groups are related to groups."""
    names = [task.name for task in dag.tasks]
    if len(names) < 3 or draw.random() < 0.4:
        return dag
    group_of: dict[str, str] = {}
    groups: list[WrittenGroup] = []
    start = 0
    while start < len(names):
        stretch = names[start : start + draw.choice((1, 2, 3, 4))]
        start += len(stretch)
        if draw.random() < 0.4:
            continue
        outer = WrittenGroup(f"g{len(groups)}", prefixes=draw.random() < 0.8)
        groups.append(outer)
        group_of |= dict.fromkeys(stretch, outer.name)
        if len(stretch) > 2 and draw.random() < 0.5:
            inner = WrittenGroup(f"g{len(groups)}", parent=outer.name, prefixes=draw.random() < 0.8)
            groups.append(inner)
            group_of |= dict.fromkeys(stretch[draw.choice((0, 1)) : draw.choice((2, 3))], inner.name)
    found = replace(
        dag,
        groups=tuple(groups),
        tasks=tuple(replace(task, group=group_of.get(task.name, "")) for task in dag.tasks),
    )
    relations = ((_or_its_group(draw, found, a, b), _or_its_group(draw, found, b, a)) for a, b in dag.relations)
    return replace(found, relations=tuple(dict.fromkeys(relations)))


def _or_its_group(draw: random.Random, dag: WrittenDag, name: str, other: str) -> str:
    """A task, or a group around it that does not hold the other one."""
    group = {task.name: task.group for task in dag.tasks}
    outside = [each for each in dag.around(group[name]) if each and each not in dag.around(group[other])]
    return draw.choice(outside) if outside and draw.random() < 0.4 else name


def deciding(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some of the tasks that have any below them branch, or are short circuits that reach far or not."""
    above = {up for up, _ in edges_of(dag)}

    def kind(task: WrittenTask) -> WrittenTask:
        if task.name not in above or draw.random() > 0.22:
            return task
        chosen = draw.choice(DECIDING)
        far = {"ignore_downstream_trigger_rules": draw.random() < 0.5} if chosen is Kind.SHORT_CIRCUIT else {}
        return replace(task, kind=chosen, arguments={**task.arguments, **far})

    return dag.each(kind)


def sensing(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are sensors, of either mode; some of them are skipped where they would fail for good."""

    def sensor(task: WrittenTask) -> WrittenTask:
        if task.kind is not Kind.FUNCTION or draw.random() > 0.2:
            return task
        arguments = {
            "mode": draw.choice(("poke", "reschedule", "reschedule")),
            "soft_fail": draw.random() < 0.4,
            "timeout": timedelta(minutes=10),
            "poke_interval": 5,
        }
        return replace(task, kind=Kind.SENSOR, arguments={**task.arguments, **arguments})

    return dag.each(sensor)


def empty(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some of the tasks that nobody is given anything of, and that are given nothing, do nothing."""
    used = {name for task in dag.tasks for name in task.sources}
    used |= {name for group in dag.groups for name in group.sources}

    def nothing(task: WrittenTask) -> WrittenTask:
        plain = (
            task.kind is Kind.FUNCTION
            and not (task.sources or task.item)
            and task.over is None
            and task.name not in used
        )
        return replace(task, kind=Kind.EMPTY) if plain and draw.random() < 0.3 else task

    return dag.each(nothing)


#: In the order in which they are laid over the shape: later ones look at what earlier ones made.
FEATURES: tuple[Feature, ...] = (
    in_groups,
    deciding,
    sensing,
    drawn_mapping.mapped_groups,
    drawn_mapping.mapped,
    drawn_mapping.given_outputs,
    empty,
    drawn_arguments.rules,
    drawn_arguments.retries,
    drawn_arguments.policies,
    drawn_arguments.the_past,
    drawn_arguments.limits,
    drawn_arguments.narrow_pool,
    drawn_arguments.timeouts,
    drawn_arguments.default_args,
    drawn_arguments.callbacks,
    drawn_arguments.deadlines,
    drawn_arguments.stopped,
)
