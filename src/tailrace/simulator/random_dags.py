"""Worlds whose DAG has everything at once: up to twelve tasks with rules, groups, mapping, branches, short circuits,
retries, sensors, timeouts, a past and pools, on several dates, driven by several jobs.

The DAG is written by the authoring API and compiled (``drawn_dags``); how each try ends is drawn here.
"""

import random
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from tailrace.effects.tries import Json
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import MOST_INSTANCES, BranchKind, DagSpec, TaskSpec
from tailrace.simulator.acts import Act, ActKind, random_acts
from tailrace.simulator.drawn_dags import drawn_dag
from tailrace.simulator.scenario import Command, Faults, Scenario, TryResult, daily, random_faults, with_schedulers
from tailrace.simulator.written_dags import Kind, WrittenDag, compiled, differences

_POOLS = (("small", 2), ("endless", -1), ("narrow", 2))
#: What leaves final states to the results: who cancels may leave a run that others depend on.
_ACTS = (ActKind.CLEAR, ActKind.CLEAR, ActKind.PAUSE, ActKind.REPROCESS)


class Waiting(Struct, frozen=True):
    """How a sensor waits: whether it gives its worker back, and is skipped where its time is up."""

    reschedules: bool
    soft_fail: bool


class RandomDag(Scenario, frozen=True):
    """A world with a random DAG. ``waiting``: its sensors, by task id.

    Each choice is drawn by itself, by the names of what it is of: without one task all others do what they did.
    """

    waiting: Mapping[str, Waiting] = {}

    def leaves(self, place: str, date: object, attempt: int) -> dict[str, Json]:
        """What a try leaves under each key that some task is expanded over."""
        task_id = place.partition("[")[0]
        refs = {ref.key for task in self.dag.mapped for ref in task.length_sources if ref.task_id == task_id}
        drawn = ((key, self._drawn("leaves", key, place, date, attempt)) for key in sorted(refs))
        return {key: _value(draw) for key, draw in drawn if draw.random() > 0.05}

    def goes_on_after(self, place: str, date: object, attempt: int, reschedules: int) -> float | None:
        """A sensor that gives its worker back does so up to three times."""
        sensor = self.waiting.get(place.partition("[")[0])
        draw = self._drawn("gives back", place, date, attempt, reschedules)
        if sensor is None or not sensor.reschedules or reschedules > 2 or draw.random() < 0.5:
            return None
        return draw.choice((-1.0, 0.0, 1.0, 9.0))

    def ending(self, place: str, date: object, attempt: int) -> TryResult:
        """How the ``attempt``-th try that is not lost ends."""
        task = self.dag.by_id[place.partition("[")[0]]
        draw = self._drawn("ends", place, date, attempt)
        sensor, chance = self.waiting.get(task.task_id), draw.random()
        if sensor is not None and chance < 0.2:  # its timeout is up
            return TryResult(OutcomeKind.SKIPPED if sensor.soft_fail else OutcomeKind.FAILED_FOR_GOOD)
        if task.execution_timeout is not None and chance > 0.94:
            return TryResult(OutcomeKind.FAILED)
        if chance < (0.9 if task.decides is not BranchKind.NOTHING else 0.72):
            return TryResult(OutcomeKind.SUCCESS, self._followed(task.task_id, place, date, attempt))
        if chance < (0.93 if task.decides is not BranchKind.NOTHING else 0.80):
            return TryResult(OutcomeKind.SKIPPED)
        if chance > 0.97:
            return TryResult(OutcomeKind.FAILED_FOR_GOOD)
        rule = None if task.retry_policy is None else draw.randint(-1, len(task.retry_policy.rules) - 1)
        return TryResult(OutcomeKind.FAILED, rule=rule)

    def _followed(self, task_id: str, *tried: object) -> tuple[str, ...] | None:
        task = self.dag.by_id[task_id]
        if task.decides is BranchKind.NOTHING:
            return None
        if task.decides is BranchKind.BRANCH:
            return tuple(way for way in task.downstream if self._drawn("follows", way, *tried).random() < 0.6)
        return None if self._drawn("goes on", *tried).random() < 0.6 else ()

    def _drawn(self, *what: object) -> random.Random:
        return random.Random(" ".join(map(str, (self.seed, *what))))


def _value(draw: random.Random) -> Json:
    """What somebody is expanded over: most often a short list."""
    if draw.random() < 0.03:
        return draw.choice(("no list", 3, None))
    count = MOST_INSTANCES + 1 if draw.random() < 0.005 else draw.choice((0, 1, 2, 2, 3))
    items: list[Json] = [None] * count
    return {str(number): None for number in range(count)} if draw.random() < 0.2 else items


def random_dag_scenario(seed: int) -> Scenario:
    """A world drawn from a seed."""
    draw = random.Random(f"world of dag {seed}")
    written = drawn_dag(seed)
    try:
        dag = compiled(written)
    except ValueError as refused:
        return Scenario(seed, daily(written.dag_id, (TaskSpec("a"),)), Faults(), miscompiled=(f"compiled: {refused}",))
    scenario = RandomDag(
        seed,
        dag,
        Faults() if draw.random() < 0.2 else random_faults(draw),
        _commands(draw),
        workers=draw.randint(1, 3),
        pools=_POOLS,
        found_running=1,
        slow=draw.random() < 0.3,
        disable_retry=draw.random() < 0.05,
        mark_success=draw.random() < 0.02,
        stop_on_failure=draw.random() < 0.05,
        backwards=draw.random() < 0.1 and not dag.depends_on_past,
        faulty_steps=800,
        miscompiled=tuple(differences(written, dag)),
        waiting=_waiting(written),
    )
    if any(task.pool == "narrow" for task in dag.tasks):
        return _narrowed(draw, scenario)
    if draw.random() < 0.12:
        return with_schedulers(draw, scenario)
    chance, days = draw.random(), len(scenario.logical_dates())
    if chance < 0.25:
        acts = tuple(_act(draw, dag, days) for _ in range(draw.choice((1, 2))))
        return replace(scenario, acts=acts, hurry=draw.choice((0.1, 0.01)))
    if chance < 0.31:  # anything: then no final states are compared
        acts = random_acts(draw, dag, days, len(set(scenario.commands)))
        return replace(scenario, acts=acts, hurry=draw.choice((0.1, 0.01)), fickle=draw.random() < 0.5)
    return scenario


def _waiting(written: WrittenDag) -> Mapping[str, Waiting]:
    sensors = (task for task in written.tasks if task.kind is Kind.SENSOR)
    return {
        written.id_of(task.name): Waiting(task.arguments["mode"] == "reschedule", task.arguments["soft_fail"])
        for task in sensors
    }


def _commands(draw: random.Random) -> tuple[Command, ...]:
    """One backfill, the same in two windows, or two over ranges that overlap."""
    days = draw.choice((2, 2, 3, 3, 4))
    first = Command(0, days, draw.choice((None, None, 1, 2)))
    kind = draw.random()
    if kind < 0.3:
        return (first,)
    if kind < 0.7:
        return (first, first)
    others = Command(draw.randint(0, days), draw.choice((1, 2)), draw.choice((None, 1)))
    return (first, others)[:: draw.choice((1, -1))]


def _narrowed(draw: random.Random, scenario: Scenario) -> Scenario:
    """A pool is made smaller than a task needs once the backfill is there; schedulers drive it, and find a deadlock."""
    days = len(scenario.logical_dates())
    begun = replace(scenario, commands=(Command(0, days),), narrowed=(("narrow", 1),))
    found = with_schedulers(draw, begun)
    schedulers = tuple(command for command in found.commands if command.scheduler)
    return replace(found, commands=(Command(0, days, detached=True), *schedulers))


def _act(draw: random.Random, dag: DagSpec, days: int) -> Act:
    """Something that a person does, of which final states do not depend; half of the clears are of one instance."""
    kind = draw.choice(_ACTS)
    whole = kind is ActKind.CLEAR and draw.random() < 0.2
    return Act(
        kind,
        day=draw.randrange(days),
        task_id=None if whole else draw.choice(dag.tasks).task_id,
        relatives=draw.random() < 0.7,
        map_index=draw.choice((None, 0, 1)) if kind is ActKind.CLEAR and not whole else None,
        state=draw.choice(("failed", "all")),
    )
