"""Worlds whose tries give their workers back, some several times, before they end: each goes on in the same try.

Workers and jobs die at each step of it, a person clears, marks, cancels and pauses while nothing of it runs.
"""

import random

from msgspec.structs import replace

from tailrace.model.states import TaskInstanceState
from tailrace.simulator.acts import Act, ActKind, random_acts
from tailrace.simulator.fixed_worlds import linear
from tailrace.simulator.mapped import mapped_scenario
from tailrace.simulator.scenario import Scenario, random_scenario
from tailrace.simulator.stopped_runs import stopped_scenario


def rescheduled_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed: any, or one with mapped tasks, or with runs that are stopped."""
    draw = random.Random(f"rescheduled {seed}")
    kind = draw.random()
    base = mapped_scenario(seed) if kind < 0.2 else stopped_scenario(seed) if kind < 0.4 else random_scenario(seed)
    scenario = replace(base, gives_back=draw.choice((0.4, 0.7, 0.9)))
    if draw.random() < 0.4:
        acts = random_acts(draw, base.dag, len(base.logical_dates()), len(set(base.commands)))
        scenario = replace(scenario, acts=(*base.acts, *acts), hurry=draw.choice((0.1, 0.01)))
    return scenario


def paused_and_marked_while_it_waits() -> Scenario:
    """One task that gives its worker back again and again, while a person pauses and resumes; then it is skipped."""
    acts = (*(Act(ActKind.PAUSE),) * 6, Act(ActKind.MARK_TASK, task_id="a", state=TaskInstanceState.SKIPPED))
    return replace(linear(), acts=acts, gives_back=1.0, hurry=0.1, tick=0.01)
