"""Worlds with mapped tasks: how many instances one has depends on what the tasks above it leave, at each try anew.

Lists, dicts and now and then what is neither, or nothing; over several at once; over tasks that are mapped themselves;
and in every other world a mapped group. A person clears and marks whole tasks and single indexes.
"""

import random
from typing import Any

from msgspec.structs import replace

from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import BranchKind, DagSpec, Over, TaskSpec, Together, XComRef
from tailrace.planning.backfills import Reprocess
from tailrace.simulator.acts import Act, ActKind, random_acts
from tailrace.simulator.scenario import FIRST_DATE, Faults, Scenario, daily, random_scenario


def mapped_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults, limits and rules are those of ``random_scenario``."""
    draw = random.Random(f"mapped {seed}")
    base = random_scenario(seed)
    tasks = tuple(_mapped(draw, task) for task in base.dag.tasks)
    if all(task.mapped_over is None for task in tasks):
        tasks = (*tasks[:-1], replace(tasks[-1], decides=BranchKind.NOTHING, mapped_over=_over(draw, tasks[-1])))
    if len(tasks) > 1 and draw.random() < 0.5:
        tasks = _with_group(draw, base.dag.tasks)
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


def _with_group(draw: random.Random, tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
    """Some of the tasks are a mapped group, deciders too; what it is expanded over is above all of it."""
    begin = draw.randrange(1, len(tasks))
    members = [task for task in tasks[begin:] if draw.random() < 0.7] or [tasks[begin]]
    names = {task.task_id for task in members}
    above = draw.sample([task.task_id for task in tasks[:begin]], k=min(begin, draw.choice((0, 1, 1, 1, 2))))
    over: list[Over] = [XComRef(each) for each in above]
    if not over or draw.random() < 0.15:
        over.append(draw.choice((1, 2, 2, 3)))
    first = {task.task_id for task in members if names.isdisjoint(task.upstream)}
    found: list[TaskSpec] = []
    for task in tasks:
        upstream, downstream = set(task.upstream), set(task.downstream)
        if task.task_id in first:
            upstream.update(above)
        if task.task_id in above:
            downstream.update(first)
        related = replace(task, upstream=tuple(sorted(upstream)), downstream=tuple(sorted(downstream)))
        if task.task_id in names:
            related = replace(related, mapped_over=tuple(over), mapped_group="group")
        elif draw.random() < 0.3:
            related = _mapped(draw, related)
        found.append(related)
    return tuple(found)


def fewer_and_more() -> Scenario:
    """A → M, mapped over it; cleared twice, A leaves three items, then one, then two."""
    clears = Act(ActKind.CLEAR, task_id="a")
    world = Scenario(0, _pair(), Faults(), acts=(clears, clears), fickle=True, hurry=0.03)
    return _whose_lengths_are(world, (3, 1, 2))


def expanded_and_deadlocked() -> Scenario:
    """A → M, mapped over it; each of M takes both slots of its pool, which is made smaller while the last one waits.

    Then all is done again.
    """
    acts = (
        Act(ActKind.POOL, slots=1),
        Act(ActKind.REPROCESS, state=Reprocess.ALL),
        Act(ActKind.POOL, slots=2),
    )
    wide = _pair(pool="small", pool_slots=2)
    world = Scenario(0, wide, Faults(), acts=acts, pools=(("small", 2),), workers=1, hurry=0.05)
    return _whose_lengths_are(world, (3,))


def _pair(**of_mapped: Any) -> DagSpec:
    over = (XComRef("a"),)
    tasks = (TaskSpec("a", downstream=("m",)), TaskSpec("m", upstream=("a",), mapped_over=over, **of_mapped))
    return daily("pair", tasks)


def _whose_lengths_are(scenario: Scenario, lengths: tuple[int, ...]) -> Scenario:
    """The same world under a seed in which A succeeds at each of these tries and leaves so many items."""
    for seed in range(100_000):
        tried = replace(scenario, seed=seed)
        tries = range(1, len(lengths) + 1)
        left = (tried.leaves("a", FIRST_DATE, number).get("return_value") for number in tries)
        ends = (tried.ending("a", FIRST_DATE, number)[0] for number in tries)
        if all(end is OutcomeKind.SUCCESS for end in ends) and lengths == tuple(
            len(value) if isinstance(value, list) else -1 for value in left
        ):
            return tried
    raise ValueError("no seed lets A leave so many items")


def _mapped(draw: random.Random, task: TaskSpec) -> TaskSpec:
    """Half of the tasks are mapped; what decides over others is not."""
    if task.decides is not BranchKind.NOTHING or draw.random() < 0.5:
        return task
    return replace(task, mapped_over=_over(draw, task))


def _over(draw: random.Random, task: TaskSpec) -> tuple[Over, ...]:
    """What a task is mapped over: most often one XCom of a task above it; sometimes several, or several as one."""
    refs: list[Over] = [XComRef(above) for above in task.upstream]
    draw.shuffle(refs)
    over = refs[: draw.choice((1, 1, 1, 2))]
    if not over or draw.random() < 0.15:
        over.append(draw.choice((1, 2, 2, 3)))
    if draw.random() < 0.2:
        over = [Together(draw.choice(("shortest", "longest", "sum")), (*over, draw.choice((1, 2))))]
    return tuple(over)
