"""Worlds with mapped tasks: how many instances one has depends on what the tasks above it leave, at each try anew.

Lists, dicts and now and then what is neither, or nothing; over several at once; over tasks that are mapped themselves.
A person clears and marks whole tasks and single indexes.
"""

import random

from msgspec.structs import replace

from tailrace.model.spec import BranchKind, TaskSpec, XComRef
from tailrace.simulator.acts import ActKind, random_acts
from tailrace.simulator.scenario import Scenario, random_scenario


def mapped_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults, limits and rules are those of ``random_scenario``."""
    draw = random.Random(f"mapped {seed}")
    base = random_scenario(seed)
    tasks = tuple(_mapped(draw, task) for task in base.dag.tasks)
    if all(task.mapped_over is None for task in tasks):
        tasks = (*tasks[:-1], replace(tasks[-1], decides=BranchKind.NOTHING, mapped_over=_over(draw, tasks[-1])))
    dag = replace(base.dag, tasks=tasks)
    scenario = replace(base, dag=dag, fickle=draw.random() < 0.4)
    acts = base.acts
    if draw.random() < 0.5:
        days, backfills = len(base.logical_dates()), len(set(base.commands))
        acts = (*acts, *random_acts(draw, dag, days, backfills))
        scenario = replace(scenario, hurry=draw.choice((0.1, 0.01)))
    indexed = (ActKind.CLEAR, ActKind.MARK_TASK)
    acts = tuple(
        replace(act, map_index=draw.choice((0, 1, 2)))
        if act.kind in indexed and act.task_id is not None and draw.random() < 0.3
        else act
        for act in acts
    )
    return replace(scenario, acts=acts)


def _mapped(draw: random.Random, task: TaskSpec) -> TaskSpec:
    """Half of the tasks are mapped; what decides over others is not."""
    if task.decides is not BranchKind.NOTHING or draw.random() < 0.5:
        return task
    return replace(task, mapped_over=_over(draw, task))


def _over(draw: random.Random, task: TaskSpec) -> tuple[XComRef | int, ...]:
    """What a task is mapped over: most often one XCom of a task above it."""
    refs: list[XComRef | int] = [XComRef(above) for above in task.upstream]
    draw.shuffle(refs)
    over = refs[: draw.choice((1, 1, 1, 2))]
    if not over or draw.random() < 0.15:
        over.append(draw.choice((1, 2, 2, 3)))
    return tuple(over)
