"""Worlds of two or three DAGs whose tasks wait for each other's, by the event: sometimes in a circle, never for ever.

Each DAG has a backfill of its own, or two. A sensor waits for dates up to its own; a state that ends its task decides.
"""

import random

from msgspec.structs import replace

from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import FINISHED, TaskInstanceState
from tailrace.simulator.acts import random_acts
from tailrace.simulator.scenario import Command, Faults, Scenario, daily, random_scenario
from tailrace.simulator.sensing import Sensor

_RULES = (TriggerRule.ALL_DONE, TriggerRule.NONE_FAILED, TriggerRule.ONE_SUCCESS, TriggerRule.ONE_FAILED)
#: A failure that it looks for, or any end of a task.
_FAILED = (TaskInstanceState.FAILED.value, TaskInstanceState.UPSTREAM_FAILED.value)
_ANY_END = tuple(sorted(state.value for state in FINISHED))
_RUN_ENDS = ("failed", "success")
#: Of a world in which a person does something: what never comes must not be waited for too long.
_SHORT = 150.0


def waiting_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults are those of ``random_scenario``."""
    draw = random.Random(f"waiting {seed}")
    base, days = random_scenario(seed), draw.randint(1, 3)
    dags = tuple(_dag(draw, name) for name in ("one", "two", "three")[: draw.choice((1, 2, 2, 2, 3))])
    sensors = tuple(_sensors(draw, dags))
    commands = [Command(0, days, dag=number) for number in range(len(dags))]
    if draw.random() < 0.3:
        commands.append(draw.choice(commands))
    draw.shuffle(commands)
    scenario = replace(
        base,
        dag=dags[0],
        beside=dags[1:],
        sensors=sensors,
        commands=tuple(commands),
        acts=(),
        pools=(),
        mark_success=False,
        disable_retry=draw.random() < 0.1,
        backwards=False,
        ignore_first_depends_on_past=False,
        stop_on_failure=False,
        workers=draw.choice((1, 2)),
    )
    if draw.random() < 0.3:
        short = tuple(replace(each, timeout=_SHORT, goes_on=draw.random() < 0.3) for each in sensors)
        acts = random_acts(draw, dags[0], days, len(set(commands)))
        scenario = replace(scenario, sensors=short, acts=acts, hurry=draw.choice((0.1, 0.01)))
    return scenario


def circle_of_two() -> Scenario:
    """One date of two DAGs, each of which begins with a sensor of the other's last task."""
    dags = tuple(_chain(name) for name in ("one", "two"))
    sensors = (Sensor("one0", "two", ("two1",)), Sensor("two0", "one", ("one1",)))
    commands = (Command(), Command(dag=1))
    return Scenario(0, dags[0], Faults(), commands, beside=dags[1:], sensors=sensors, pools=(), workers=1)


def _chain(name: str) -> DagSpec:
    first, second = f"{name}0", f"{name}1"
    return daily(name, (TaskSpec(first, downstream=(second,)), TaskSpec(second, upstream=(first,))))


def _dag(draw: random.Random, name: str) -> DagSpec:
    ids = [f"{name}{number}" for number in range(draw.randint(2, 4))]
    upstream = {each: tuple(up for up in ids[:place] if draw.random() < 0.6) for place, each in enumerate(ids)}
    tasks = tuple(
        TaskSpec(
            each,
            upstream=upstream[each],
            downstream=tuple(down for down in ids if each in upstream[down]),
            trigger_rule=draw.choice(_RULES) if draw.random() < 0.3 else TriggerRule.ALL_SUCCESS,
            retries=draw.choice((0, 0, 1)),
        )
        for each in ids
    )
    return replace(daily(name, tasks), max_active_runs=draw.choice((1, 2, 16)), max_active_tasks=draw.choice((1, 16)))


def _sensors(draw: random.Random, dags: tuple[DagSpec, ...]) -> list[Sensor]:
    """One task of each DAG, or two, most often a first one, waits for something of any."""
    found: list[Sensor] = []
    for dag in dags:
        ids = [task.task_id for task in dag.tasks]
        chosen = [ids[0] if draw.random() < 0.7 else draw.choice(ids)]
        if draw.random() < 0.3:
            chosen.append(draw.choice(ids))
        found += [_sensor(draw, task_id, draw.choice(dags)) for task_id in dict.fromkeys(chosen)]
    return found


def _sensor(draw: random.Random, task_id: str, on: DagSpec) -> Sensor:
    days = draw.choice((0, 0, 0, 1))
    if draw.random() < 0.25:
        return Sensor(task_id, on.dag_id, (), days, allowed_states=_RUN_ENDS)
    several = draw.sample([task.task_id for task in on.tasks], draw.choice((1, 1, 1, 2)))
    if draw.random() < 0.5:
        return Sensor(task_id, on.dag_id, tuple(several), days, allowed_states=_ANY_END)
    rest = tuple(state for state in _ANY_END if state not in _FAILED)
    return Sensor(task_id, on.dag_id, tuple(several), days, failed_states=_FAILED, allowed_states=rest)
