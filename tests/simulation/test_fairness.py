"""Planners of unequal speed on one small pool, step by step over a real metastore: each gets its share and its turn."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from tailrace.effects.tries import Claim, Submission
from tailrace.metastore.db.tables import task_instance
from tailrace.metastore.store import Metastore
from tailrace.model.spec import DagSpec
from tailrace.model.states import JobKind
from tailrace.planning.planner import plan
from tailrace.planning.schedules import DueRuns
from tests.conformance.worlds import LEASE, FalseClock, World, dag, intervals

POOL = "small"


@dataclass
class Lane:
    """One job's planner: it looks every ``interval`` seconds, and at once when a try of its own has ended."""

    spec: DagSpec
    job: int
    backfill: int | None
    interval: float
    beat: float = 0.0
    starts: list[float] = field(default_factory=list)


class Race:
    """Lanes over one pool, with the time going by."""

    def __init__(self, world: World, clock: FalseClock, slots: int, task_seconds: float, weight: float = 1.0) -> None:
        self.world = world
        self.clock = clock
        self.weight = weight
        self.task_seconds = task_seconds
        self.lanes: list[Lane] = []
        self.most = 0
        self.claims: dict[int, Claim] = {}
        world.pool(POOL, slots, "")

    def add(self, interval: float, *, live: bool = False, tasks: int = 60) -> None:
        name = f"dag{len(self.lanes)}"
        names = [f"t{number}" for number in range(tasks)]
        spec = replace(dag(" ".join(names), **{each: {"pool": POOL} for each in names}), dag_id=name)
        world = self.world
        if live:
            due = DueRuns(spec, intervals(1), None)
            job = world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, LEASE, world.write_id())
            assert world.store.create_due_runs(due, job, world.write_id()) == 1
            self.lanes.append(Lane(spec, job, None, interval))
            return
        backfill = world.backfill(spec)
        self.lanes.append(Lane(spec, world.job(spec, backfill), backfill, interval))

    def run(self, seconds: float) -> None:
        """Let everybody act for so long. Between two looks of a lane anyone else may come first."""
        began = self.clock.seconds
        order = itertools.count()
        agenda: list[tuple[float, int, Lane, Submission | None]] = []
        for lane in self.lanes:
            heapq.heappush(agenda, (began, next(order), lane, None))
        while agenda and agenda[0][0] < began + seconds:
            at, _, lane, ended = heapq.heappop(agenda)
            self.clock.advance(max(0.0, at - self.clock.seconds))
            if ended is not None:
                self.world.report(lane.spec, self.claims.pop(ended.id))
            for submission in self._step(lane):
                self.claims[submission.id] = self.world.running(submission.id)
                lane.starts.append(self.clock.seconds - began)
                heapq.heappush(agenda, (at + self.task_seconds, next(order), lane, submission))
            self.most = max(self.most, len(self.claims))
            if ended is None:
                heapq.heappush(agenda, (at + lane.interval, next(order), lane, None))
        for _, _, lane, ended in agenda:  # what still runs must not keep its room for ever
            if ended is not None:
                self.world.report(lane.spec, self.claims.pop(ended.id))

    def _step(self, lane: Lane) -> Iterator[Submission]:
        world = self.world
        if self.clock.seconds - lane.beat >= LEASE / 4:
            world.store.heartbeat(lane.job, LEASE)
            lane.beat = self.clock.seconds
        while True:
            snapshot = world.store.snapshot(lane.job, lane.spec, lane.backfill)
            decided = plan(replace(snapshot, backfill_weight=self.weight))
            if not decided.writes:
                return
            applied = world.store.apply(decided, world.write_id())
            yield from applied.queued
            if not applied.activated:
                return


@pytest.fixture
def world(tmp_path: Path, clock: FalseClock) -> Iterator[World]:
    store = Metastore.open(f"sqlite:///{tmp_path}/fair.db", clock=clock)
    yield World(store, clock)
    store.close()


@pytest.fixture
def clock() -> FalseClock:
    return FalseClock()


@pytest.mark.parametrize("slots", [1, 2])
def test_eight_planners_of_unequal_speed_each_get_their_turn(world: World, clock: FalseClock, slots: int) -> None:
    race = Race(world, clock, slots, task_seconds=0.1)
    paces = [0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0]
    for interval in paces:
        race.add(interval, tasks=30)
    race.run(20)
    assert race.most <= slots
    counts = [len(lane.starts) for lane in race.lanes]
    gaps = [
        max(later - sooner for sooner, later in itertools.pairwise([0.0, *lane.starts, 20.0])) for lane in race.lanes
    ]
    # A round is one turn each: a task, and at most the time until the lane whose turn it is looks again.
    a_round = sum(interval + 0.1 for interval in paces)
    assert min(counts) >= 20 / a_round - 1, counts
    # What a quick lane took while the others were patient, it waits for in turn.
    assert max(gaps) <= 3 * a_round, gaps


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize(("weight", "expected"), [(1.0, 0.5), (3.0, 0.75), (1 / 3, 0.25)])
def test_live_runs_and_backfills_share_by_weight(
    world: World, clock: FalseClock, slots: int, weight: float, expected: float
) -> None:
    """Three backfills beside one DAG's live runs: together they get what their weight says, each a third of it."""
    race = Race(world, clock, slots, task_seconds=1.0, weight=weight)
    race.add(0.4, live=True, tasks=64)
    for _ in range(3):
        race.add(0.4, tasks=28)
    race.run(80 / slots)
    live, *backfills = (len(lane.starts) for lane in race.lanes)
    total = live + sum(backfills)
    assert total >= 0.7 * 80, "no slot is left empty for long"
    assert sum(backfills) / total == pytest.approx(expected, abs=0.07)
    assert max(backfills) - min(backfills) <= 3


def test_all_of_it_goes_to_the_one_that_wants_it(world: World, clock: FalseClock) -> None:
    race = Race(world, clock, slots=4, task_seconds=1.0)
    race.add(0.2, live=True, tasks=4)
    race.add(0.2, tasks=60)
    race.run(15)
    live, backfill = (len(lane.starts) for lane in race.lanes)
    assert (live, backfill) == (4, 56)


def test_a_dead_lane_is_not_waited_for(world: World, clock: FalseClock) -> None:
    race = Race(world, clock, slots=1, task_seconds=0.5)
    for _ in range(3):
        race.add(0.4, tasks=30)
    race.run(5)
    dead = race.lanes.pop(0)
    before = len(dead.starts)
    race.run(LEASE + 5)
    after = [sum(start > LEASE for start in lane.starts) for lane in race.lanes]
    assert before == len(dead.starts)
    assert min(after) >= 3, after
    world.store.mark_job_dead(dead.job)


def test_what_runs_at_once_never_exceeds_the_pool(world: World, clock: FalseClock) -> None:
    race = Race(world, clock, slots=3, task_seconds=0.3)
    for interval in (0.02, 0.4, 1.3):
        race.add(interval)
    race.run(8)
    assert race.most == 3
    occupied = Counter(row.state for row in world.rows(task_instance))
    assert occupied["running"] + occupied["queued"] <= 3
