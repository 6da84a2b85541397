"""What every job's loop does: handle interrupts, stay alive, and take one planning step over one snapshot.

A loop has *lanes*: a backfill job one, a scheduler many. A lane's step is read, decide, apply, submit; it remembers
nothing that a decision depends on. What is remembered (which tries were offered to the executor) only saves work.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tailrace.effects.requests import (
    ApplyPlan,
    Effect,
    Event,
    FindLost,
    Heartbeat,
    StopStarting,
    Submit,
    TerminateTasks,
    WaitResult,
    Watch,
    ask,
)
from tailrace.effects.results import Applied
from tailrace.effects.tries import Submission
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.spec import MOST_INSTANCES
from tailrace.model.states import CLAIMED, JobState, TaskInstanceState
from tailrace.planning.fairness import no_waits
from tailrace.planning.messages import Action, Advised, Remedy, Sentence
from tailrace.planning.plan import Plan
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import RunSnapshot, Snapshot, TaskInstanceSnapshot

#: From so much on that waits for its time a loop looks less often for what else may have changed; by so much at most.
_MANY = 500
_MOST_PATIENCE = 5.0


class Ending(StrEnum):
    """Why a loop ended."""

    JUDGED = "judged"  # the backfill is closed
    PAUSED = "paused"  # the backfill is paused and nothing of it runs here
    DRAINED = "drained"  # asked to stop; what ran has finished
    TERMINATED = "terminated"  # asked twice; what ran was ended
    IDLE = "idle"  # a scheduler that was to end once nothing is left to do
    DISOWNED = "disowned"  # others took this job for dead and may have taken its runs


class LoopIntervals(Struct, frozen=True):
    """How often a loop does what nothing else prompts, in seconds; and by which settings it decides.

    ``poll`` bounds how long a person's command or another job's work goes unnoticed.
    """

    heartbeat: float = 5.0
    poll: float = 1.0
    contended: float = 0.2  # the same where others hold or want the room, or drive what is left of a backfill
    callbacks: float = 10.0  # how long a job that is about to end waits for callbacks at most
    max_map_length: int = MOST_INSTANCES  # a mapped task that would have more instances fails
    backfill_weight: float = 1.0  # how much room all backfills get beside live runs, where both want it


@dataclass(slots=True)
class LaneMemory:
    """What is kept of one lane between two of its steps. Losing all of it costs time, never correctness."""

    offered: set[TryKey] = field(default_factory=set)
    look_for_lost: bool = True  # at the start, and whenever the executor says a worker died
    rests_until: datetime | None = None  # nothing is expected to change in it before then
    watch: Watch | None = None  # what tries of it wait for, in DAGs that others may drive

    def rest(self, now: datetime, seconds: float, intervals: LoopIntervals) -> None:
        """Be looked at again after so long, where that is longer than the job's other lanes can wait."""
        self.rests_until = now + timedelta(seconds=seconds) if seconds > intervals.poll else None

    def rests(self, now: datetime, intervals: LoopIntervals) -> bool:
        """Whether it still rests. A clock that jumped back ends that."""
        most = timedelta(seconds=intervals.poll * _MOST_PATIENCE)
        return self.rests_until is not None and timedelta(0) < self.rests_until - now <= most


@dataclass(slots=True)
class JobMemory:
    """What a job keeps between two steps."""

    lanes: dict[Any, LaneMemory] = field(default_factory=dict)
    last_heartbeat: datetime | None = None
    stopping: Ending | None = None
    killing: bool = False  # what runs gets no time to clean up
    missing: set[str] = field(default_factory=set)  # DAGs with open runs that are in no DAG file

    def lane(self, key: Any) -> LaneMemory:
        """The memory of this lane, new at first."""
        return self.lanes.setdefault(key, LaneMemory())

    def watch(self) -> Watch | None:
        """What tries of any lane wait for."""
        watches = [lane.watch for lane in self.lanes.values() if lane.watch is not None]
        if not watches:
            return None
        return Watch(frozenset().union(*(each.dags for each in watches)), min(each.since for each in watches))

    def is_due(self, now: datetime, intervals: LoopIntervals) -> bool:
        """Whether a heartbeat is due. A clock that jumped back counts as due."""
        last = self.last_heartbeat
        return last is None or not timedelta(0) <= now - last < timedelta(seconds=intervals.heartbeat)

    def forget_offers(self) -> None:
        """Offer every queued try again."""
        for lane in self.lanes.values():
            lane.offered.clear()

    def rouse(self) -> None:
        """Look at every lane at the next step."""
        for lane in self.lanes.values():
            lane.rests_until = None

    def look_for_lost(self) -> None:
        """Have every lane look for workers that are gone, at its next step."""
        for lane in self.lanes.values():
            lane.look_for_lost = True


class Stepped(Struct, frozen=True):
    """What one step decided and whether another can follow at once."""

    plan: Plan
    applied: Applied
    progress: bool  # something landed that may let the next step do more at once


def step(
    snapshot: Snapshot, lane: LaneMemory, memory: JobMemory, intervals: LoopIntervals
) -> Generator[Effect[Any], Any, Stepped]:
    """One planning step: decide from the snapshot alone, apply, then offer what is queued to the executor."""
    awaiting = snapshot.awaiting.values()
    dags = frozenset(each.awaited.dag_id for each in awaiting)
    lane.watch = Watch(dags, snapshot.newest_change) if dags else None
    snapshot = yield from _with_losses(snapshot, lane)
    if snapshot.contenders and intervals.backfill_weight != 1.0:
        snapshot = replace(snapshot, backfill_weight=intervals.backfill_weight)
    if intervals.max_map_length != MOST_INSTANCES:
        snapshot = replace(snapshot, max_map_length=intervals.max_map_length)
    decided = plan(snapshot)
    if memory.stopping is not None:
        decided = _without_new_work(snapshot, decided)
    applied = Applied()
    if decided.writes:
        applied = yield from ask(ApplyPlan(decided))
    if memory.stopping is None:
        offers = _to_offer(snapshot, decided, applied, lane)
        if offers:
            yield from ask(Submit(offers))
    yield from ask(Event(decided.decisions, applied, dag_id=snapshot.dag.dag_id))
    if applied.paused:
        dag_id = snapshot.dag.dag_id
        unpauses = Remedy(Action.UNPAUSE_DAG, dag_id=dag_id)
        text = Advised((f"{dag_id} is paused: {applied.paused}; ", unpauses, " lets it go on"))
        yield from ask(Event((), text=text))
    for late in applied.late:
        yield from ask(Event((), text=Sentence(f"{snapshot.dag.dag_id} / {late.run_id} is {late.reason}")))
    # Queued steps need the executor's result first; anything else may open the way to more work right now.
    more = bool(applied.activated or applied.yielded or applied.taken_over or applied.judged or applied.backfill_judged)
    more = more or bool(applied.expanded or applied.stopped)
    settled = any(step.after is not TaskInstanceState.QUEUED for step in applied.won)
    return Stepped(decided, applied, more or settled)


def _with_losses(snapshot: Snapshot, lane: LaneMemory) -> Generator[Effect[Any], Any, Snapshot]:
    """Look for dead workers when there is reason to; have what runs beyond its lease ended before it is judged lost."""
    look, lane.look_for_lost = lane.look_for_lost, False
    claimed = [ti for run in snapshot.runs for ti in run.task_instances if ti.state in CLAIMED]
    claimed += [orphan.ti for orphan in snapshot.orphans]
    held = tuple((ti, ti.holder) for ti in claimed if ti.holder is not None and (look or ti.lease_expired))
    if not held:
        return snapshot
    expired = tuple((ti.id, holder) for ti, holder in held if ti.lease_expired)
    lost = yield from ask(FindLost(tuple((ti.id, holder) for ti, holder in held) if look else (), expired))
    return replace(snapshot, lost=lost)


def _without_new_work(snapshot: Snapshot, decided: Plan) -> Plan:
    """A stopping job still records what became of things; it starts nothing, and waits for no room."""
    kept = tuple(step for step in decided.transitions if not step.takes_slot)
    return replace(
        decided, transitions=kept, expansions=(), activations=(), takeovers=(), resubmit=(), waits=no_waits(snapshot)
    )


def _to_offer(snapshot: Snapshot, decided: Plan, applied: Applied, lane: LaneMemory) -> tuple[Submission, ...]:
    """Queued tries to hand over: those just won, those inherited from a dead job, and those nobody has claimed."""
    repeat = set(decided.resubmit)
    queued = {
        _try_key(snapshot, run, ti): ti.id
        for run in snapshot.runs
        for ti in run.task_instances
        if ti.state is TaskInstanceState.QUEUED
    }
    priorities = snapshot.dag.by_id
    fresh = tuple(
        Submission(id, key, priorities[key.task_instance.task_id].priority_weight)
        for key, id in queued.items()
        if (key not in lane.offered or key in repeat) and key.task_instance.task_id in priorities
    )
    lane.offered &= queued.keys()
    lane.offered.update(queued.keys())
    lane.offered.update(submission.key for submission in applied.queued)
    return fresh + applied.queued


def _try_key(snapshot: Snapshot, run: RunSnapshot, ti: TaskInstanceSnapshot) -> TryKey:
    key = TaskInstanceKey(snapshot.dag.dag_id, run.run_id, ti.task_id, ti.map_index)
    return TryKey(key, ti.try_number)


def heartbeat(
    job_id: int, now: datetime, intervals: LoopIntervals, memory: JobMemory
) -> Generator[Effect[Any], Any, bool]:
    """Renew the job's lease when it is due."""
    if not memory.is_due(now, intervals):
        return True
    memory.last_heartbeat = now
    memory.look_for_lost()
    return (yield from ask(Heartbeat(job_id)))


def in_flight(snapshot: Snapshot) -> bool:
    """Whether a try of the lane is queued or held."""
    busy = CLAIMED | {TaskInstanceState.QUEUED}
    return any(ti.state in busy for run in snapshot.runs for ti in run.task_instances)


def poll_interval(snapshot: Snapshot, decided: Plan, intervals: LoopIntervals) -> float:
    """How long nothing is expected to change by itself, in seconds, at most ``intervals.poll``.

    Where nothing is under way and very much waits for its time, to look at all of it costs more than to look later.
    """
    poll = intervals.contended if decided.waiting else intervals.poll
    if decided.due_later > _MANY and not decided.waiting and not in_flight(snapshot):
        poll *= min(decided.due_later / _MANY, _MOST_PATIENCE)
    if decided.wake_at is None:
        return poll
    return min(poll, max(0.0, (decided.wake_at - snapshot.now).total_seconds()))


def handle_interrupt(waited: WaitResult, memory: JobMemory) -> Generator[Effect[Any], Any, None]:
    """Take in why a wait ended; each interrupt is passed on to the executor once."""
    if waited.worker_lost:
        memory.look_for_lost()
    if waited.terminate and memory.stopping is not Ending.TERMINATED:
        memory.stopping, memory.killing = Ending.TERMINATED, waited.kill
        yield from ask(StopStarting())
        yield from ask(TerminateTasks(at_once=waited.kill))
    elif waited.kill and not memory.killing:
        memory.killing = True
        yield from ask(TerminateTasks(at_once=True))
    elif waited.drain and memory.stopping is None:
        memory.stopping = Ending.DRAINED
        yield from ask(StopStarting())


def job_state(ending: Ending) -> JobState:
    """How a job that ended so is recorded."""
    ended = {
        Ending.JUDGED: JobState.SUCCESS,
        Ending.PAUSED: JobState.SUCCESS,
        Ending.IDLE: JobState.SUCCESS,
        Ending.DISOWNED: JobState.FAILED,
    }
    return ended.get(ending, JobState.INTERRUPTED)
