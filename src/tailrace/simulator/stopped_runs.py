"""Worlds whose runs may be stopped before their tasks have ended: at their first failure, or once their time is up."""

import random
from datetime import timedelta

from msgspec.structs import replace

from tailrace.simulator.acts import random_acts
from tailrace.simulator.mapped import mapped_scenario
from tailrace.simulator.scenario import Scenario, random_scenario

#: Of a run, in seconds: less than a world needs, about as much, or more.
_LIMITS = (0.05, 0.2, 1, 4, 10, 40)


def stopped_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults, limits and rules are those of other worlds."""
    draw = random.Random(f"stopped {seed}")
    base = mapped_scenario(seed) if draw.random() < 0.25 else random_scenario(seed)
    limit = timedelta(seconds=draw.choice(_LIMITS))
    kind = draw.random()
    dag = replace(base.dag, fail_fast=kind < 0.6, dagrun_timeout=limit if kind > 0.4 else None)
    scenario = replace(base, dag=dag, slow=draw.random() < 0.7)
    if draw.random() < 0.4:
        acts = random_acts(draw, dag, len(base.logical_dates()), len(set(base.commands)))
        scenario = replace(scenario, acts=(*base.acts, *acts), hurry=draw.choice((0.1, 0.01)))
    return scenario
