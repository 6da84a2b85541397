"""What a world is about: a small DAG, its dates, how each task will end, and which faults may happen."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DagSpec, Decides, Schedule, ScheduleKind, TaskSpec

FIRST_DATE = datetime(2016, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, drawn anew for every seed so that rare mixes occur."""

    crash: float = 0.0  # of an actor, before or after the effect it is at
    most_crashes: int = 0
    unacknowledged: float = 0.0  # a commit landed and its answer was lost: the write is repeated under its id
    lost_submission: float = 0.0
    doubled_submission: float = 0.0
    lost_report: float = 0.0
    doubled_report: float = 0.0
    false_report: float = 0.0  # the executor says a try has ended that has not
    clock_jump: float = 0.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One world's content. ``seed`` also names how each try of each task ends."""

    seed: int
    dag: DagSpec
    dates: int
    faults: Faults
    workers: int = 2
    pools: tuple[tuple[str, int], ...] = (("small", 1),)
    found_running: int = 2  # how often a task may be found still running before it ends, at most
    idle_polls: int | None = None  # how often a waiting job may wake for nothing; None: as often as it is chosen

    def logical_dates(self) -> tuple[datetime, ...]:
        """The dates of the backfill."""
        return tuple(FIRST_DATE + timedelta(days=day) for day in range(self.dates))

    def ending(self, task_id: str, date: datetime, attempt: int) -> tuple[OutcomeKind, tuple[str, ...] | None]:
        """How the ``attempt``-th try that is not lost ends, and what a deciding task follows. Always the same."""
        task = self.dag.by_id[task_id]
        chooser = random.Random(f"{self.seed} {task_id} {date.isoformat()} {attempt}")
        draw = chooser.random()
        if task.decides is Decides.BRANCH:
            ways = tuple(way for way in task.downstream if chooser.random() < 0.6)
            return OutcomeKind.SUCCESS, ways
        if task.decides is not Decides.NOTHING:
            return OutcomeKind.SUCCESS, None if draw < 0.6 else ()
        if draw < 0.72:
            return OutcomeKind.SUCCESS, None
        if draw < 0.80:
            return OutcomeKind.SKIPPED, None
        return (OutcomeKind.FAILED_FOR_GOOD if draw > 0.97 else OutcomeKind.FAILED), None


def linear(seed: int = 0) -> Scenario:
    """The thread's world of 2016: A → B, one date, one worker, both succeed."""
    chain = (
        TaskSpec("a", downstream=("b",)),
        TaskSpec("b", upstream=("a",)),
    )
    return Scenario(seed, _dag("thread", chain), 1, Faults(), workers=1, found_running=0, idle_polls=2)


def always_succeeds(scenario: Scenario) -> Scenario:
    """The same world under a seed in which every first try of every task succeeds."""
    for seed in range(10_000):
        tried = replace(scenario, seed=seed)
        endings = (tried.ending(task.task_id, date, 1) for task in tried.dag.tasks for date in tried.logical_dates())
        if all(kind is OutcomeKind.SUCCESS and followed is None for kind, followed in endings):
            return tried
    raise ValueError("no seed lets every task succeed")


def random_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed: shape, rules, limits, results and faults."""
    draw = random.Random(f"scenario {seed}")
    count = draw.randint(2, 5)
    ids = [f"t{number}" for number in range(count)]
    upstream = {task_id: tuple(up for up in ids[:place] if draw.random() < 0.5) for place, task_id in enumerate(ids)}
    downstream = {task_id: tuple(down for down in ids if task_id in upstream[down]) for task_id in ids}
    tasks = tuple(_task(draw, task_id, upstream[task_id], downstream[task_id]) for task_id in ids)
    dag = replace(
        _dag(f"random_{seed}", tasks),
        max_active_runs=draw.choice((1, 2, 3, 16)),
        max_active_tasks=draw.choice((1, 2, 16)),
    )
    quiet = draw.random() < 0.2
    faults = Faults() if quiet else _faults(draw)
    return Scenario(seed, dag, draw.randint(1, 3), faults, workers=draw.randint(1, 3))


def _task(draw: random.Random, task_id: str, upstream: tuple[str, ...], downstream: tuple[str, ...]) -> TaskSpec:
    decides = Decides.NOTHING
    if downstream and draw.random() < 0.25:
        decides = draw.choice((Decides.BRANCH, Decides.SHORT_CIRCUIT, Decides.SHORT_CIRCUIT_DIRECT))
    past = draw.random()
    return TaskSpec(
        task_id,
        upstream=upstream,
        downstream=downstream,
        trigger_rule=draw.choice(list(TriggerRule)) if draw.random() < 0.5 else TriggerRule.ALL_SUCCESS,
        retries=draw.choice((0, 0, 1, 2)),
        retry_delay=timedelta(seconds=draw.choice((0, 1, 30))),
        retry_exponential_backoff=draw.random() < 0.3,
        depends_on_past=past < 0.2,
        wait_for_downstream=past < 0.05,
        pool="small" if draw.random() < 0.2 else "default_pool",
        priority_weight=draw.choice((1, 1, 5)),
        max_active_tis_per_dag=1 if draw.random() < 0.15 else None,
        decides=decides,
    )


def _faults(draw: random.Random) -> Faults:
    def sometimes(most: float) -> float:
        return draw.random() * most if draw.random() < 0.5 else 0.0

    return Faults(
        crash=sometimes(0.05),
        most_crashes=2,
        unacknowledged=sometimes(0.3),
        lost_submission=sometimes(0.3),
        doubled_submission=sometimes(0.5),
        lost_report=sometimes(0.5),
        doubled_report=sometimes(0.5),
        false_report=sometimes(0.3),
        clock_jump=sometimes(0.02),
    )


def _dag(dag_id: str, tasks: tuple[TaskSpec, ...]) -> DagSpec:
    return DagSpec(
        dag_id, tasks, schedule=Schedule(ScheduleKind.CRON, "0 0 * * *"), start_date=FIRST_DATE, code_hash="simulated"
    )
