"""The backfill loop: read one snapshot, decide, apply, submit, wait, until the backfill is judged.

Every verdict comes out of ``plan``; every state change out of ``ApplyPlan``. The simulator drives this same
generator, with anyone else going first before each effect.
"""

from collections.abc import Generator
from functools import partial
from typing import Any

from msgspec import Struct

from tailrace.effects.requests import Effect, EndJob, Event, Loop, ReadSnapshot, ReapDeadJobs, Wait, WaitResult, ask
from tailrace.jobs.lane_step import (
    Ending,
    JobMemory,
    LoopIntervals,
    handle_interrupt,
    heartbeat,
    in_flight,
    job_state,
    poll_interval,
    step,
)
from tailrace.jobs.last_callbacks import await_callbacks
from tailrace.model.spec import DagSpec
from tailrace.model.states import BACKFILL_CLOSED, BackfillState
from tailrace.planning.messages import Action, Advised, Message, Remedy, Sentence
from tailrace.planning.plan import Plan
from tailrace.planning.planner import held_back_by
from tailrace.planning.snapshot import Snapshot

__all__ = ["BackfillEnd", "Ending", "LoopIntervals", "backfill_loop"]


class BackfillEnd(Struct, frozen=True):
    """How the job ended, and the backfill's state as last read."""

    ending: Ending
    state: BackfillState


def backfill_loop(
    job_id: int, dag: DagSpec, backfill_id: int, intervals: LoopIntervals | None = None
) -> Loop[BackfillEnd]:
    """Drive one backfill until it is judged, paused, or the job is asked to stop.

    ``job_id`` is the job's row, ``dag`` the DAG as this job loaded it. Any number of jobs may drive one backfill.
    """
    intervals = intervals or LoopIntervals()
    memory = JobMemory()
    lane = memory.lane(backfill_id)
    last_reason: Message | None = None  # why it does nothing
    waited = WaitResult()
    last = partial(await_callbacks, job_id, (dag.dag_id,) if dag.calls_back else (), memory, intervals)
    yield from ask(ReapDeadJobs())
    while True:
        snapshot = yield from ask(ReadSnapshot(job_id, dag, backfill_id))
        backfill = snapshot.backfill
        state = backfill.state if backfill is not None else BackfillState.CANCELLED
        if state in BACKFILL_CLOSED:
            if state is BackfillState.CANCELLED and waited.busy:
                waits = f"backfill {backfill_id} was cancelled: waiting for {waited.busy} of its tries to end"
                yield from ask(Event((), text=Sentence(waits)))
            yield from last()
            return (yield from _end(job_id, Ending.JUDGED, state))
        if not (yield from heartbeat(job_id, snapshot.now, intervals, memory)):
            return (yield from _end(job_id, Ending.DISOWNED, state))
        stepped = yield from step(snapshot, lane, memory, intervals)
        if memory.stopping is not None and waited.busy == 0:
            yield from last()
            return (yield from _end(job_id, memory.stopping, state))
        paused = backfill is not None and backfill.paused
        if paused and not in_flight(snapshot):
            yield from last()
            return (yield from _end(job_id, Ending.PAUSED, state))
        text = _standstill(snapshot, stepped.plan, backfill_id, paused)
        if text is not None and text != last_reason:
            yield from ask(Event((), text=text))
        last_reason = text
        seconds = 0.0 if stepped.progress else poll_interval(snapshot, stepped.plan, intervals)
        if _others_drive_some(snapshot):
            seconds = min(seconds, intervals.contended)
        waited = yield from ask(Wait(seconds, memory.watch()))
        yield from handle_interrupt(waited, memory)


def _others_drive_some(snapshot: Snapshot) -> bool:
    """Whether active runs of the backfill are with other jobs: no executor of ours will say when those end."""
    return snapshot.backfill is not None and snapshot.backfill.active_runs > len(snapshot.runs)


def _standstill(snapshot: Snapshot, decided: Plan, backfill_id: int, paused: bool) -> Message | None:
    """Why nothing of the backfill starts, where only a person can change it."""
    if paused:
        return Sentence(f"backfill {backfill_id} is paused: nothing more is started, what runs finishes")
    blocked = None if decided.transitions or decided.activations or decided.waiting else held_back_by(snapshot)
    if blocked is None:
        return None
    run, previous = blocked
    waits = f"backfill {backfill_id} waits: {run.run_id} depends on {previous.run_id}, which is {previous.state}; "
    explains = Remedy(Action.EXPLAIN_RUN, dag_id=snapshot.dag.dag_id, run_id=previous.run_id)
    return Advised((f"{waits}a backfill of that date runs it (", explains, ")"))


def _end(job_id: int, ending: Ending, state: BackfillState) -> Generator[Effect[Any], Any, BackfillEnd]:
    yield from ask(EndJob(job_id, job_state(ending)))
    return BackfillEnd(ending, state)
