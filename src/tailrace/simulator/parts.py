"""Worlds whose backfills do parts of their DAG: one part, several that share nothing, or any beside whole ones.

A person clears parts too. What several that overlap come to depends on who is first, so there the oracle says nothing.
"""

import random
from collections.abc import Iterator

from msgspec.structs import replace

from tailrace.planning.backfills import Reprocess
from tailrace.simulator.acts import Act, ActKind
from tailrace.simulator.mapped import mapped_scenario
from tailrace.simulator.scenario import Command, Scenario, random_scenario


def parts_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults, limits and rules are those of other worlds."""
    draw = random.Random(f"parts {seed}")
    base = mapped_scenario(seed) if draw.random() < 0.2 else random_scenario(seed)
    kind = draw.random()
    commands = tuple(_apart(draw, base) if kind < 0.4 else _any(draw, base))
    acts = base.acts if draw.random() < 0.5 else ()
    if not any(command.scheduler for command in commands):
        acts = tuple(act for act in acts if act.kind is not ActKind.TRIGGER)  # nobody would drive it
    if kind >= 0.4 and draw.random() < 0.4:
        task_id = draw.choice(base.dag.tasks).task_id
        day = draw.randrange(len(base.logical_dates()))
        clears = Act(ActKind.CLEAR, day=day, task_id=task_id, relatives=draw.random() < 0.5, in_part=True)
        acts = (*acts, clears)
    return replace(base, commands=commands, acts=acts, hurry=draw.choice((0.1, 0.01)))


def _apart(draw: random.Random, base: Scenario) -> Iterator[Command]:
    """Each task in one part at most, over all dates; at times in none."""
    parts: list[list[str]] = [[] for _ in range(draw.choice((2, 3)))]
    for task in base.dag.tasks:
        draw.choice(parts).append(task.task_id)
    chosen = [tuple(part) for part in parts if part][: draw.choice((1, 2, 2, 3))]
    first = base.commands[0] if not base.commands[0].scheduler else Command(0, len(base.logical_dates()))
    for part in chosen:
        yield replace(first, part=part, detached=False)


def _any(draw: random.Random, base: Scenario) -> Iterator[Command]:
    """The world's own commands, some of them of a part, and more over the same dates."""
    ids = [task.task_id for task in base.dag.tasks]
    days = len(base.logical_dates())
    more = [
        Command(0, days, reprocess=draw.choice((*Reprocess, Reprocess.FAILED))) for _ in range(draw.choice((1, 1, 2)))
    ]
    for command in (*base.commands, *more):
        part = tuple(each for each in ids if draw.random() < 0.5)
        whole = command.scheduler or not 0 < len(part) < len(ids) or draw.random() < 0.3
        yield command if whole else replace(command, part=part)
