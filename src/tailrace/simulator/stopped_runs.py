"""Worlds whose runs may be stopped before their tasks have ended: at their first failure, or once their time is up.

Some runs are late besides, and some DAGs are paused once their scheduled runs fail.
"""

import random
from datetime import timedelta

from msgspec.structs import replace

from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DeadlineReference, DeadlineSpec, TaskSpec
from tailrace.simulator.acts import random_acts
from tailrace.simulator.mapped import mapped_scenario
from tailrace.simulator.scenario import FIRST_DATE, Command, Faults, Scenario, daily, random_scenario, with_schedulers

#: Of a run, in seconds: less than a world needs, about as much, or more.
_LIMITS = (0.05, 0.2, 1, 4, 10, 40)
_REFERENCES = (DeadlineReference.QUEUED_AT, DeadlineReference.QUEUED_AT, DeadlineReference.FIXED)


def stopped_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed; its faults, limits and rules are those of other worlds."""
    draw = random.Random(f"stopped {seed}")
    base = mapped_scenario(seed) if draw.random() < 0.25 else random_scenario(seed)
    limit = timedelta(seconds=draw.choice(_LIMITS))
    kind = draw.random()
    dag = replace(base.dag, fail_fast=kind < 0.6, dagrun_timeout=limit if kind > 0.4 else None)
    if draw.random() < 0.4:
        deadline = DeadlineSpec(draw.choice(_REFERENCES), timedelta(seconds=draw.choice(_LIMITS)), FIRST_DATE)
        dag = replace(dag, deadline=deadline, max_consecutive_failed_dag_runs=draw.choice((0, 1, 2)))
    scenario = replace(base, dag=dag, slow=draw.random() < 0.7)
    if dag.max_consecutive_failed_dag_runs and not any(command.scheduler for command in base.commands):
        scenario = with_schedulers(draw, scenario)  # only its runs count
    if draw.random() < 0.4:
        acts = random_acts(draw, dag, len(base.logical_dates()), len(set(base.commands)))
        scenario = replace(scenario, acts=(*base.acts, *acts), hurry=draw.choice((0.1, 0.01)))
    return scenario


def paused_by_two() -> Scenario:
    """A task that fails on each of three dates, two schedulers that share its runs, and a pause after each failure."""
    dates, schedulers = 3, (Command(0, 3, scheduler=True),) * 2
    dag = replace(daily("paused", (TaskSpec("a"),)), catchup=True, max_consecutive_failed_dag_runs=1)
    dag = replace(dag, end_date=FIRST_DATE + timedelta(days=dates - 1))
    world = Scenario(0, dag, Faults(), schedulers, workers=1, found_running=0, hurry=0.0)
    for seed in range(100_000):
        tried = replace(world, seed=seed)
        ends = (tried.ending("a", date, 1)[0] for date in tried.logical_dates())
        if all(end in (OutcomeKind.FAILED, OutcomeKind.FAILED_FOR_GOOD) for end in ends):
            return tried
    raise ValueError("no seed lets A fail on each date")
