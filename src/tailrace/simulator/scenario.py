"""What a world is about: a small DAG, its dates, how each task will end, and which faults may happen."""

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tailrace.effects.tries import Json
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import MOST_INSTANCES, BranchKind, DagSpec, Schedule, ScheduleKind, TaskSpec
from tailrace.planning.backfills import Reprocess
from tailrace.simulator.acts import Act, ActKind, random_acts, random_trigger
from tailrace.simulator.sensing import Sensor

#: So many disruptions may lose a task instance for good; with fewer its results alone decide.
MOST_LOST = 3
#: What a command gives its runs, most often nothing.
_CONFS = (None, None, '{"k":1}', '{"k":1}', '{"k":2}', "{}")
#: No try gives its worker back more often.
_MOST_RESCHEDULES = 4
#: The lease of every job and every claim.
LEASE_SECONDS = 20.0
FIRST_DATE = datetime(2016, 1, 1, tzinfo=UTC)


class Faults(Struct, frozen=True):
    """How likely each fault is, drawn anew for every seed so that rare mixes occur.

    The first seven are *disruptions*: each may cost every running try its life, so there are at most
    ``max_disruptions``.
    """

    crash: float = 0.0  # of a process, before or after the effect it is at
    fragile: float = 0.0  # the same for a worker whose task is running
    clock_jump: float = 0.0  # by more than a lease
    interrupt: float = 0.0  # somebody presses Ctrl-C, once or twice
    stopped: float = 0.0  # a process is sent SIGSTOP, and SIGCONT only after its lease
    open_transaction: float = 0.0  # somebody holds the metastore's write lock and does not go on
    zygote: float = 0.0  # several tasks of one job's workers are killed at once, and report that
    max_disruptions: int = 0
    orphaned: float = 0.0  # a worker outlives its job
    unacknowledged: float = 0.0  # a commit landed and its acknowledgement was lost: the write is repeated under its id
    broken: float = 0.0  # the connection breaks, and nothing has landed yet: it never will, or after a second look
    lost_submission: float = 0.0
    late_submission: float = 0.0
    doubled_submission: float = 0.0
    lost_report: float = 0.0
    late_report: float = 0.0
    doubled_report: float = 0.0
    false_report: float = 0.0  # the executor says a try has ended that has not
    contradiction: float = 0.0  # it says of a running try both that it ended and that its worker died


class Command(Struct, frozen=True):
    """A backfill command that somebody types, and types again until it is done: days of the world, and limits."""

    first: int = 0
    days: int = 1
    max_active_runs: int | None = None
    ignores_owners: bool = False  # its job drives every run it wants, whoever owns it
    reprocess: str = Reprocess.MISSING
    conf: str | None = None
    goes_on: bool = False  # where others stop at the first failure, this one does not
    detached: bool = False  # it only creates the backfill: a scheduler drives it
    scheduler: bool = False  # it is no backfill but a scheduler, which ends once nothing is left to do
    part: tuple[str, ...] | None = None  # the tasks that it does alone; None: all
    dag: int = 0  # of which of the world's DAGs


class TryResult(NamedTuple):
    """How a try ends: what a deciding task follows, and which rule of a retry policy fits what was raised, if any."""

    kind: OutcomeKind
    followed: tuple[str, ...] | None = None
    rule: int | None = None


class Scenario(Struct, frozen=True):
    """One world's content. ``seed`` also names how each try of each task ends."""

    seed: int
    dag: DagSpec
    faults: Faults
    commands: tuple[Command, ...] = (Command(),)  # typed in this order, each a job of its own
    workers: int = 2  # of each job
    pools: tuple[tuple[str, int], ...] = (("small", 1),)
    found_running: int = 2  # how often a task may be found still running before it ends, at most
    slow: bool = False  # a task found running runs on until its lease must be renewed; else it takes no time
    tick: float = 0.01  # seconds that an effect takes; with 0 the clock stands still unless everybody waits
    poll_interval: float = 4.0  # seconds that pass at least when everybody waits
    disable_retry: bool = False
    mark_success: bool = False
    backwards: bool = False
    ignore_first_depends_on_past: bool = False
    stop_on_failure: bool = False
    acts: tuple[Act, ...] = ()  # what a person does, in this order, at moments that are chosen
    fickle: bool = False  # what is cleared may end in another way than before
    gives_back: float = 0.0  # how likely a try gives its worker back, each time that it is claimed
    hurry: float = 0.1  # how likely a seed lets them act, beside one who has something to do
    faulty_steps: int = 400  # after so many everything is healed
    narrowed: tuple[tuple[str, int], ...] = ()  # pools that are smaller once the first command was typed
    miscompiled: tuple[str, ...] = ()  # where its DAG is not what was written
    beside: tuple[DagSpec, ...] = ()  # other DAGs; no two have a task of the same name
    sensors: tuple[Sensor, ...] = ()  # which tasks wait for others of any DAG

    @property
    def dags(self) -> tuple[DagSpec, ...]:
        """Every DAG of the world."""
        return (self.dag, *self.beside)

    def task(self, task_id: str) -> TaskSpec:
        """The task of this name, of whichever DAG."""
        return next(dag.by_id[task_id] for dag in self.dags if task_id in dag.by_id)

    @property
    def gives_conf(self) -> bool:
        """Whether any of its commands says what the conf of its runs is."""
        return any(command.conf is not None for command in self.commands)

    def dates_of(self, command: Command) -> tuple[datetime, ...]:
        """The logical dates of a command, in order."""
        return tuple(FIRST_DATE + timedelta(days=command.first + day) for day in range(command.days))

    def logical_dates(self) -> tuple[datetime, ...]:
        """The dates of all commands, in order."""
        return tuple(sorted({date for command in self.commands for date in self.dates_of(command)}))

    @property
    def parts(self) -> frozenset[tuple[str, ...] | None]:
        """The parts that its backfills do; None: a whole DAG."""
        return frozenset(command.part for command in self.commands)

    @property
    def one_range(self) -> bool:
        """Whether all its runs are created by one command: then each date looks at the one before, whoever is when."""
        return len({(command.first, command.days, command.scheduler) for command in self.commands}) == 1

    def leaves(self, place: str, date: datetime, attempt: int) -> dict[str, Json]:
        """What the ``attempt``-th try that is not lost leaves, if it succeeds, for mapped tasks to be expanded over."""
        chooser = random.Random(f"{self.seed} leaves {place} {date.isoformat()} {attempt}")
        if chooser.random() < 0.06:
            return {}
        count = MOST_INSTANCES + 1 if chooser.random() < 0.01 else chooser.choice((0, 1, 2, 2, 3))
        items: list[Json] = [None] * count
        value: Json = {str(number): None for number in range(count)} if chooser.random() < 0.2 else items
        return {"return_value": "no list" if chooser.random() < 0.03 else value}

    def goes_on_after(self, place: str, date: datetime, attempt: int, reschedules: int) -> float | None:
        """In how many seconds the try goes on that gives its worker back once more; None: it ends instead."""
        chooser = random.Random(f"{self.seed} gives back {place} {date.isoformat()} {attempt} {reschedules}")
        gives_back = reschedules < _MOST_RESCHEDULES and chooser.random() < self.gives_back
        return chooser.choice((-1.0, 0.0, 1.0, 9.0, 60.0)) if gives_back else None

    def ending(self, place: str, date: datetime, attempt: int) -> TryResult:
        """How the ``attempt``-th try that is not lost ends, and what a deciding task follows. Always the same.

        ``place`` is the task id, with its map index where there is one.
        """
        task = self.task(place.partition("[")[0])
        chooser = random.Random(f"{self.seed} {place} {date.isoformat()} {attempt}")
        draw = chooser.random()
        if task.decides is BranchKind.BRANCH:
            ways = tuple(way for way in task.downstream if chooser.random() < 0.6)
            return TryResult(OutcomeKind.SUCCESS, ways)
        if task.decides is not BranchKind.NOTHING:
            return TryResult(OutcomeKind.SUCCESS, None if draw < 0.6 else ())
        if draw < 0.72:
            return TryResult(OutcomeKind.SUCCESS)
        if draw < 0.80:
            return TryResult(OutcomeKind.SKIPPED)
        return TryResult(OutcomeKind.FAILED_FOR_GOOD if draw > 0.97 else OutcomeKind.FAILED)


def random_scenario(seed: int) -> Scenario:
    """A small world drawn from a seed: shape, rules, limits, commands, results and faults."""
    draw = random.Random(f"scenario {seed}")
    dag = _random_dag(draw, seed)
    days = draw.randint(1, 3)
    commands = [Command(0, days, draw.choice((None, None, None, 1, 2)))]
    several = draw.random()
    if several < 0.2:  # the same command in two windows, or three
        commands *= draw.choice((2, 2, 3))
    elif several < 0.4:  # overlapping ranges
        for _ in range(draw.choice((1, 1, 2, 3))):
            commands.append(Command(draw.randint(0, days), draw.randint(1, 2), draw.choice((None, 1))))
        commands = commands[:: draw.choice((1, -1))]
    alone = several >= 0.4
    if not alone and draw.random() < 0.4:
        commands = [replace(command, ignores_owners=draw.random() < 0.6) for command in commands]
    faults = Faults() if draw.random() < 0.2 else random_faults(draw)
    scenario = Scenario(
        seed,
        dag,
        faults,
        tuple(commands),
        workers=draw.randint(1, 3) if alone else draw.randint(1, 2),
        slow=draw.random() < 0.5,
        disable_retry=draw.random() < 0.1,
        mark_success=draw.random() < 0.03,
        backwards=draw.random() < 0.1 and not dag.depends_on_past,
        ignore_first_depends_on_past=alone and draw.random() < 0.1,
        stop_on_failure=draw.random() < 0.1,
    )
    if draw.random() < 0.2:
        scenario = with_schedulers(draw, scenario)
    if draw.random() < 0.3:
        days = len(scenario.logical_dates())
        acts = random_acts(draw, dag, days, len(set(commands)))
        scenario = replace(scenario, acts=acts, hurry=draw.choice((0.1, 0.01)))
    return _with_later_acts(scenario)


def _with_later_acts(scenario: Scenario) -> Scenario:
    """Acts that were thought of later, each drawn by itself, so that a seed that once failed draws what it did then."""
    draw = random.Random(f"triggered by {scenario.seed}")
    if any(command.scheduler for command in scenario.commands) and draw.random() < 0.4:
        trigger = random_trigger(draw, len(scenario.logical_dates()))
        scenario = replace(scenario, acts=(*scenario.acts, trigger))
    draw = random.Random(f"swept {scenario.seed}")
    if len(scenario.commands) > 1 and draw.random() < 0.2:  # of a single backfill nothing may go
        acts = list(scenario.acts)
        for _ in range(3):
            acts.insert(draw.randint(0, len(acts)), Act(ActKind.CLEAN))
        scenario = replace(scenario, acts=tuple(acts), hurry=0.01)
    draw = random.Random(f"conf of {scenario.seed}")
    if draw.random() < 0.2:
        commands = (
            command if command.scheduler else replace(command, conf=draw.choice(_CONFS))
            for command in scenario.commands
        )
        scenario = replace(scenario, commands=tuple(commands))
    return _with_wide_tasks(scenario)


def _with_wide_tasks(scenario: Scenario) -> Scenario:
    """A task that needs both slots of its pool, which a person makes smaller, or freezes, and later larger again."""
    draw = random.Random(f"wide task {scenario.seed}")
    if draw.random() >= 0.1:
        return scenario
    chosen = draw.choice(scenario.dag.tasks).task_id
    tasks = tuple(
        replace(task, pool="small", pool_slots=2) if task.task_id == chosen else task for task in scenario.dag.tasks
    )
    acts = list(scenario.acts)
    place = draw.randint(0, len(acts))
    acts.insert(place, Act(ActKind.POOL, slots=draw.choice((0, 1, 1))))
    acts.insert(draw.randint(place + 1, len(acts)), Act(ActKind.POOL, slots=draw.choice((2, 3))))
    dag = replace(scenario.dag, tasks=tasks)
    return replace(scenario, dag=dag, pools=(("small", 2),), acts=tuple(acts), hurry=draw.choice((0.1, 0.01)))


def with_schedulers(draw: random.Random, scenario: Scenario) -> Scenario:
    """One or two schedulers beside the commands, some of which leave their backfill to them.

    The schedule is due on every date of the world. Runs that it creates know no options of a backfill's.
    """
    dates = scenario.logical_dates()
    dag = replace(scenario.dag, catchup=True, end_date=dates[-1])
    days = (dates[-1] - FIRST_DATE).days + 1
    schedulers = (Command(0, days, scheduler=True),) * draw.choice((1, 1, 2))
    backfills = tuple(replace(command, detached=draw.random() < 0.4) for command in scenario.commands)
    commands = (*schedulers, *backfills) if draw.random() < 0.5 else (*backfills, *schedulers)
    return replace(
        scenario,
        dag=dag,
        commands=commands,
        disable_retry=False,
        mark_success=False,
        backwards=False,
        ignore_first_depends_on_past=False,
        stop_on_failure=False,
    )


def _random_dag(draw: random.Random, seed: int) -> DagSpec:
    count = draw.randint(2, 5)
    ids = [f"t{number}" for number in range(count)]
    upstream = {task_id: tuple(up for up in ids[:place] if draw.random() < 0.5) for place, task_id in enumerate(ids)}
    downstream = {task_id: tuple(down for down in ids if task_id in upstream[down]) for task_id in ids}
    tasks = tuple(_task(draw, task_id, upstream[task_id], downstream[task_id]) for task_id in ids)
    return replace(
        daily(f"random_{seed}", tasks),
        max_active_runs=draw.choice((1, 2, 3, 16)),
        max_active_tasks=draw.choice((1, 2, 16)),
    )


def _task(draw: random.Random, task_id: str, upstream: tuple[str, ...], downstream: tuple[str, ...]) -> TaskSpec:
    decides = BranchKind.NOTHING
    if downstream and draw.random() < 0.25:
        decides = draw.choice((BranchKind.BRANCH, BranchKind.SHORT_CIRCUIT, BranchKind.SHORT_CIRCUIT_DIRECT))
    past = draw.random()
    return TaskSpec(
        task_id,
        upstream=upstream,
        downstream=downstream,
        trigger_rule=draw.choice(list(TriggerRule)) if draw.random() < 0.5 else TriggerRule.ALL_SUCCESS,
        retries=draw.choice((0, 0, 1, 2)),
        retry_delay=timedelta(seconds=draw.choice((0, 1, 8))),
        retry_exponential_backoff=draw.random() < 0.3,
        depends_on_past=past < 0.2,
        wait_for_downstream=past < 0.05,
        pool="small" if draw.random() < 0.2 else "default_pool",
        priority_weight=draw.choice((1, 1, 5)),
        max_active_tis_per_dag=1 if draw.random() < 0.15 else None,
        decides=decides,
    )


def random_faults(draw: random.Random) -> Faults:
    """Some of the faults, each more or less likely."""

    def sometimes(most: float) -> float:
        return draw.random() * most if draw.random() < 0.5 else 0.0

    rough = draw.random() < 0.2  # rough enough to lose one try after another
    return Faults(
        crash=sometimes(0.05),
        fragile=0.3 if rough else sometimes(0.05),
        clock_jump=sometimes(0.02),
        interrupt=sometimes(0.1),
        stopped=sometimes(0.02),
        open_transaction=sometimes(0.01),
        max_disruptions=12 if rough else MOST_LOST - 1,
        orphaned=sometimes(1.0),
        unacknowledged=sometimes(0.3),
        broken=sometimes(0.3),
        lost_submission=sometimes(0.3),
        late_submission=sometimes(0.5),
        doubled_submission=sometimes(0.5),
        lost_report=sometimes(0.5),
        late_report=sometimes(0.5),
        doubled_report=sometimes(0.5),
        false_report=sometimes(0.3),
        contradiction=sometimes(0.3),
    )


def daily(dag_id: str, tasks: tuple[TaskSpec, ...]) -> DagSpec:
    """A DAG of these tasks with a run for each day."""
    return DagSpec(
        dag_id, tasks, schedule=Schedule(ScheduleKind.CRON, "0 0 * * *"), start_date=FIRST_DATE, code_hash="simulated"
    )
