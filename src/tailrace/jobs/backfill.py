"""The backfill loop: read one snapshot, decide, apply, submit, wait. It remembers nothing that a decision leans on.

What it does remember (which tries it has offered to its executor) only saves work: a try offered twice is claimed
once. Every verdict comes out of ``plan``; every state change out of ``ApplyPlan``. The simulator drives this same
generator, with anyone else going first before each effect.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from tailrace.effects.asks import (
    ApplyPlan,
    BuryDeadJobs,
    Effect,
    EndJob,
    FindLost,
    Heartbeat,
    Loop,
    Note,
    ReadSnapshot,
    StopStarting,
    Submit,
    TerminateTasks,
    Wait,
    Woken,
    ask,
)
from tailrace.effects.results import Applied
from tailrace.effects.tries import Submission
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.spec import DagSpec
from tailrace.model.states import BACKFILL_CLOSED, CLAIMED, BackfillState, JobState, TaskInstanceState
from tailrace.planning.plan import Plan
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import RunView, Snapshot, TaskInstanceView


class Ending(StrEnum):
    """Why the loop ended."""

    JUDGED = "judged"  # the backfill is closed
    PAUSED = "paused"  # the backfill is paused and nothing of it runs here
    DRAINED = "drained"  # asked to stop; what ran has finished
    TERMINATED = "terminated"  # asked twice; what ran was killed
    DISOWNED = "disowned"  # others took this job for dead and may have taken its runs


@dataclass(frozen=True, slots=True)
class BackfillEnd:
    """How the job ended, and the backfill's state as last read."""

    ending: Ending
    state: BackfillState


@dataclass(slots=True)
class _Memory:
    """What the loop keeps between two planning steps. Losing all of it costs time, never correctness."""

    offered: set[TryKey] = field(default_factory=set)
    last_heartbeat: datetime | None = None
    look_for_lost: bool = True  # at the start, and whenever the executor says a worker died
    stopping: Ending | None = None
    woken: Woken = field(default_factory=Woken)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the loop does what nothing else prompts, in seconds.

    ``poll`` bounds how long a person's command or another job's work goes unnoticed.
    """

    heartbeat: float = 5.0
    poll: float = 1.0


def backfill_loop(job_id: int, dag: DagSpec, backfill_id: int, pace: Pace | None = None) -> Loop[BackfillEnd]:
    """Drive one backfill until it is judged, paused, or the job is asked to stop.

    ``job_id`` is the job's row, ``dag`` the DAG as this job loaded it. Any number of jobs may drive one backfill.
    """
    pace = pace or Pace()
    memory = _Memory()
    yield from ask(BuryDeadJobs())
    while True:
        snapshot = yield from ask(ReadSnapshot(job_id, dag, backfill_id))
        backfill = snapshot.backfill
        state = backfill.state if backfill is not None else BackfillState.CANCELLED
        if state in BACKFILL_CLOSED:
            return (yield from _end(job_id, Ending.JUDGED, state, memory))
        if not (yield from _beat(job_id, snapshot.now, pace, memory)):
            return (yield from _end(job_id, Ending.DISOWNED, state, memory))
        applied = yield from _step(snapshot, memory)
        if memory.stopping is not None and memory.woken.busy == 0:
            return (yield from _end(job_id, memory.stopping, state, memory))
        if backfill is not None and backfill.paused and not _in_flight(snapshot):
            return (yield from _end(job_id, Ending.PAUSED, state, memory))
        seconds = 0.0 if applied.progress else _patience(snapshot, applied.plan, pace)
        woken = yield from ask(Wait(seconds))
        yield from _heed(woken, memory)


@dataclass(frozen=True, slots=True)
class _Stepped:
    plan: Plan
    progress: bool  # something landed that may let the next step do more at once


def _step(snapshot: Snapshot, memory: _Memory) -> Generator[Effect[Any], Any, _Stepped]:
    """One planning step: decide from the snapshot alone, apply, then offer what is queued to the executor."""
    snapshot = yield from _with_losses(snapshot, memory)
    decided = plan(snapshot)
    if memory.stopping is not None:
        decided = _without_new_work(decided)
    applied = Applied()
    if decided.writes:
        applied = yield from ask(ApplyPlan(decided))
    if memory.stopping is None:
        offers = _to_offer(snapshot, decided, applied, memory)
        if offers:
            yield from ask(Submit(offers))
    yield from ask(Note(decided.decisions, applied))
    # Queued steps need the executor's answer first; anything else may open the way to more work right now.
    more = bool(applied.activated or applied.taken_over or applied.judged or applied.backfill_judged)
    settled = any(step.after is not TaskInstanceState.QUEUED for step in applied.won)
    return _Stepped(decided, more or settled)


def _with_losses(snapshot: Snapshot, memory: _Memory) -> Generator[Effect[Any], Any, Snapshot]:
    if not memory.look_for_lost:
        return snapshot
    memory.look_for_lost = False
    held = tuple(
        (ti.id, ti.holder)
        for run in snapshot.runs
        for ti in run.task_instances
        if ti.state in CLAIMED and ti.holder is not None
    )
    if not held:
        return snapshot
    lost = yield from ask(FindLost(held))
    return replace(snapshot, lost=lost)


def _without_new_work(decided: Plan) -> Plan:
    """A stopping job still records what became of things; it starts nothing."""
    kept = tuple(step for step in decided.transitions if not step.takes_slot)
    return replace(decided, transitions=kept, activations=(), takeovers=(), resubmit=())


def _to_offer(snapshot: Snapshot, decided: Plan, applied: Applied, memory: _Memory) -> tuple[Submission, ...]:
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
        if (key not in memory.offered or key in repeat) and key.task_instance.task_id in priorities
    )
    memory.offered &= queued.keys()
    memory.offered.update(queued.keys())
    memory.offered.update(submission.key for submission in applied.queued)
    return fresh + applied.queued


def _try_key(snapshot: Snapshot, run: RunView, ti: TaskInstanceView) -> TryKey:
    key = TaskInstanceKey(snapshot.dag.dag_id, run.run_id, ti.task_id, ti.map_index)
    return TryKey(key, ti.try_number)


def _beat(job_id: int, now: datetime, pace: Pace, memory: _Memory) -> Generator[Effect[Any], Any, bool]:
    """Renew the job's lease when it is due. A clock that jumped back counts as due."""
    last = memory.last_heartbeat
    if last is not None and timedelta(0) <= now - last < timedelta(seconds=pace.heartbeat):
        return True
    memory.last_heartbeat = now
    memory.look_for_lost = True
    return (yield from ask(Heartbeat(job_id)))


def _in_flight(snapshot: Snapshot) -> bool:
    busy = CLAIMED | {TaskInstanceState.QUEUED}
    return any(ti.state in busy for run in snapshot.runs for ti in run.task_instances)


def _patience(snapshot: Snapshot, decided: Plan, pace: Pace) -> float:
    if decided.wake_at is None:
        return pace.poll
    return min(pace.poll, max(0.0, (decided.wake_at - snapshot.now).total_seconds()))


def _heed(woken: Woken, memory: _Memory) -> Generator[Effect[Any], Any, None]:
    memory.woken = woken
    memory.look_for_lost = memory.look_for_lost or woken.worker_lost
    if woken.terminate and memory.stopping is not Ending.TERMINATED:
        memory.stopping = Ending.TERMINATED
        yield from ask(StopStarting())
        yield from ask(TerminateTasks())
    elif woken.drain and memory.stopping is None:
        memory.stopping = Ending.DRAINED
        yield from ask(StopStarting())


def _end(
    job_id: int, ending: Ending, state: BackfillState, memory: _Memory
) -> Generator[Effect[Any], Any, BackfillEnd]:
    job_state = {
        Ending.JUDGED: JobState.SUCCESS,
        Ending.PAUSED: JobState.SUCCESS,
        Ending.DISOWNED: JobState.FAILED,
    }.get(ending, JobState.INTERRUPTED)
    yield from ask(EndJob(job_id, job_state))
    return BackfillEnd(ending, state)
