"""Worlds in which zygotes die: several tries of one job are lost at once, and it may be the doing of any of them."""

import random

from msgspec.structs import replace

from tailrace.simulator.scenario import MOST_LOST, Faults, Scenario, random_scenario


def zygotes_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed, with more workers; of the faults of ``random_scenario`` it has some."""
    draw = random.Random(f"zygotes {seed}")
    base = random_scenario(seed)
    faults = base.faults if draw.random() < 0.5 else Faults()
    tasks = tuple(replace(task, retries=draw.choice((0, 1, 1, 2))) for task in base.dag.tasks)
    return replace(
        base,
        dag=replace(base.dag, tasks=tasks, max_active_tasks=16),
        workers=draw.choice((2, 3, 3)),
        faults=replace(
            faults, zygote=0.1 + 0.4 * draw.random(), max_disruptions=max(MOST_LOST - 1, faults.max_disruptions)
        ),
        mark_success=False,
    )
