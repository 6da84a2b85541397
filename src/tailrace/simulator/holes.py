"""Worlds whose DAG depends on the past and whose runs come into being in any order: holes in the range, filled later.

Several backfills have each a piece of the range; a scheduler may create the rest. Or the DAG has no schedule, and a
person triggers its runs, the later ones first.
"""

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType

from msgspec.structs import replace

from tailrace.model.spec import Schedule, ScheduleKind, TaskSpec
from tailrace.planning.backfills import Reprocess
from tailrace.simulator.acts import Act, ActKind, random_acts
from tailrace.simulator.callbacks import calling_scenario
from tailrace.simulator.mapped import mapped_scenario
from tailrace.simulator.parts import parts_scenario
from tailrace.simulator.random_dags import random_dag_scenario
from tailrace.simulator.rescheduled import rescheduled_scenario
from tailrace.simulator.scenario import Command, Scenario, random_scenario, with_schedulers
from tailrace.simulator.stopped_runs import stopped_scenario
from tailrace.simulator.waiting import waiting_scenario
from tailrace.simulator.zygotes import zygotes_scenario


def holes_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults, limits and rules are those of ``random_scenario``."""
    draw = random.Random(f"holes {seed}")
    base = random_scenario(seed)
    tasks = tuple(_looking_back(draw, task) for task in base.dag.tasks)
    dag = replace(base.dag, tasks=(replace(tasks[0], depends_on_past=True), *tasks[1:]))
    days = draw.randint(3, 5)
    scenario = replace(
        base,
        dag=dag,
        commands=_pieces(draw, days),
        acts=(),
        backwards=False,
        ignore_first_depends_on_past=False,
        stop_on_failure=draw.random() < 0.2,
        hurry=draw.choice((0.1, 0.01)),
    )
    kind = draw.random()
    if kind < 0.15:
        return _triggered(draw, scenario, days)
    if kind < 0.35:
        scenario = with_schedulers(draw, scenario)
    if draw.random() < 0.3:
        scenario = replace(scenario, acts=random_acts(draw, dag, days, len(scenario.commands)))
    return scenario


def _looking_back(draw: random.Random, task: TaskSpec) -> TaskSpec:
    chance = draw.random()
    return replace(task, depends_on_past=chance < 0.6, wait_for_downstream=chance < 0.2)


def _pieces(draw: random.Random, days: int) -> tuple[Command, ...]:
    """Backfills of parts of the range, typed in any order, some of them twice; at times one over all of it."""
    cuts = sorted({0, days, *(draw.randint(1, days - 1) for _ in range(draw.choice((1, 2, 3))))})
    pieces = [Command(first, last - first) for first, last in zip(cuts, cuts[1:], strict=False)]
    draw.shuffle(pieces)
    if draw.random() < 0.2:
        pieces.append(draw.choice(pieces))
    if draw.random() < 0.4:
        pieces.append(Command(0, days, reprocess=draw.choice(list(Reprocess))))
    return tuple(pieces)


def _triggered(draw: random.Random, scenario: Scenario, days: int) -> Scenario:
    """Runs of a DAG without schedule, each triggered by itself, in any order."""
    order = list(range(days))
    draw.shuffle(order)
    acts = tuple(Act(ActKind.TRIGGER, day=day) for day in order)
    return replace(
        scenario,
        dag=replace(scenario.dag, schedule=Schedule(ScheduleKind.NONE)),
        commands=(Command(0, days, scheduler=True),) * draw.choice((1, 2)),
        acts=acts,
        disable_retry=False,
        mark_success=False,
        stop_on_failure=False,
    )


#: How worlds are drawn, by the name that ``tailrace simulate --worlds`` takes.
WORLDS: Mapping[str, Callable[[int], Scenario]] = MappingProxyType(
    {
        "any": random_scenario,
        "holes": holes_scenario,
        "zygotes": zygotes_scenario,
        "mapped": mapped_scenario,
        "stopped": stopped_scenario,
        "calling": calling_scenario,
        "rescheduled": rescheduled_scenario,
        "dags": random_dag_scenario,
        "parts": parts_scenario,
        "waiting": waiting_scenario,
    }
)
