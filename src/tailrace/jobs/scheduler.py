"""The scheduler loop: create the runs that are due, then one planning step for every lane that has work.

Its lanes are the live runs of each DAG it has loaded, and the detached or orphaned backfills of those DAGs. Any number
of schedulers may run: who creates a date's run and who drives it is settled by the metastore, step by step.
"""

from collections.abc import Generator
from datetime import datetime
from typing import Any

from msgspec import Struct

from tailrace.effects.requests import (
    CreateDueRuns,
    DagBag,
    Effect,
    EndJob,
    Event,
    Loop,
    ReadAgenda,
    ReadDags,
    ReadSnapshot,
    ReapDeadJobs,
    ReleaseRuns,
    Wait,
    WaitResult,
    ask,
)
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
from tailrace.planning.messages import Action, Advised, Remedy, Sentence
from tailrace.planning.schedules import Agenda, LaneKey, ScheduleFacts
from tailrace.planning.scheduling import due_runs


class SchedulerEnd(Struct, frozen=True):
    """How the job ended."""

    ending: Ending


def scheduler_loop(job_id: int, intervals: LoopIntervals | None = None, until_idle: bool = False) -> Loop[SchedulerEnd]:
    """Schedule and drive until the job is asked to stop; with ``until_idle`` also once there is nothing to do."""
    intervals = intervals or LoopIntervals()
    memory = JobMemory()
    generation = 0
    waited = WaitResult()
    yield from ask(ReapDeadJobs())
    while True:
        bag = yield from ask(ReadDags())
        if bag.generation != generation:
            # Another executor has them now: what the last one had not begun is offered again.
            generation = bag.generation
            memory.forget_offers()
        agenda = yield from ask(ReadAgenda(job_id))
        if memory.is_due(agenda.now, intervals):
            yield from ask(ReapDeadJobs())
        if not (yield from heartbeat(job_id, agenda.now, intervals, memory)):
            return (yield from _end(job_id, Ending.DISOWNED))
        created = 0
        if memory.stopping is None:
            created = yield from _create_due(job_id, bag, agenda)
        lanes = tuple(key for key in agenda.lanes if key.dag_id in bag.dags)
        missing = {key.dag_id for key in agenda.lanes} - bag.dags.keys()
        for dag_id in sorted(missing - memory.missing):
            lists = Remedy(Action.LIST_RUNS, dag_id=dag_id)
            what = f"{dag_id} has open runs and is in no DAG file that loads: they wait until it is again; "
            yield from ask(Event((), text=Advised((what, lists, " lists them"))))
        memory.missing = missing
        yield from _release(job_id, set(memory.lanes) - set(lanes), memory)
        if created or waited != WaitResult() or memory.stopping is not None:
            memory.rouse()
        seconds = yield from _step_lanes(job_id, bag, lanes, memory, intervals, agenda.now)
        if memory.stopping is not None and waited.busy == 0:
            yield from await_callbacks(job_id, _calling(bag), memory, intervals)
            return (yield from _end(job_id, memory.stopping))
        if until_idle and not lanes and not created:
            yield from await_callbacks(job_id, _calling(bag), memory, intervals)
            return (yield from _end(job_id, Ending.IDLE))
        waited = yield from ask(Wait(0.0 if created else seconds, memory.watch()))
        yield from handle_interrupt(waited, memory)


def _create_due(job_id: int, bag: DagBag, agenda: Agenda) -> Generator[Effect[Any], Any, int]:
    """Create what each schedule is due. A DAG that no metastore row knows yet is not paused."""
    total = 0
    for dag_id, dag in sorted(bag.dags.items()):
        if dag_id in bag.unscheduled:
            continue
        due = due_runs(dag, agenda.schedules.get(dag_id, ScheduleFacts()), agenda.now)
        if due is None:
            continue
        created = yield from ask(CreateDueRuns(job_id, due))
        if created:
            dates = _dates(due.intervals[0].start, due.until)
            yield from ask(Event((), text=Sentence(f"{dag_id}: {created} due, {dates}")))
        total += created
    return total


def _calling(bag: DagBag) -> list[str]:
    """The DAGs that have callbacks."""
    return [dag_id for dag_id, dag in bag.dags.items() if dag.calls_back]


def _dates(first: datetime, last: datetime) -> str:
    return first.isoformat() if first == last else f"{first.isoformat()} to {last.isoformat()}"


def _step_lanes(
    job_id: int,
    bag: DagBag,
    lanes: tuple[LaneKey, ...],
    memory: JobMemory,
    intervals: LoopIntervals,
    now: datetime,
) -> Generator[Effect[Any], Any, float]:
    """One step of every lane that does not rest; returns how long nothing is expected to change by itself."""
    seconds = intervals.poll
    for key in lanes:
        if memory.lane(key).rests(now, intervals):
            continue
        snapshot = yield from ask(ReadSnapshot(job_id, bag.dags[key.dag_id], key.backfill_id))
        stepped = yield from step(snapshot, memory.lane(key), memory, intervals)
        pause = 0.0 if stepped.progress else poll_interval(snapshot, stepped.plan, intervals)
        memory.lane(key).rest(snapshot.now, pause, intervals)
        seconds = min(seconds, pause)
        backfill, verdict = snapshot.backfill, stepped.plan.backfill_verdict
        if verdict is not None and stepped.applied.backfill_judged:
            inside = f", {verdict.failed_inside.named}" if verdict.failed_inside else ""
            text = f"backfill {verdict.id} of {key.dag_id}: {verdict.state}{inside}, {verdict.reason}"
            yield from ask(Event((), text=Sentence(text)))
        if backfill is not None and backfill.paused and not in_flight(snapshot):
            yield from _release(job_id, {key}, memory)
    return seconds


def _release(job_id: int, gone: set[LaneKey], memory: JobMemory) -> Generator[Effect[Any], Any, None]:
    """Let go of what belonged to lanes that are no more."""
    for key in sorted(gone, key=lambda key: (key.dag_id, key.backfill_id or 0)):
        memory.lanes.pop(key, None)
        yield from ask(ReleaseRuns(job_id, key))


def _end(job_id: int, ending: Ending) -> Generator[Effect[Any], Any, SchedulerEnd]:
    yield from ask(EndJob(job_id, job_state(ending)))
    return SchedulerEnd(ending)
