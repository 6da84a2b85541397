"""What a job does last: it lets the callbacks of what it has seen be called, for a bounded time, and says what is left.

They are called beside the loop; here is only waited. A signal ends the waiting.
"""

from collections.abc import Collection, Generator
from datetime import datetime
from typing import Any

from tailrace.effects.requests import Effect, Event, ReadOutbox, Wait, ask
from tailrace.jobs.lane_step import Ending, JobMemory, LoopIntervals, handle_interrupt, heartbeat
from tailrace.planning.messages import Action, Advised, Remedy, Sentence

#: So often it is looked, in seconds.
_LOOK = 0.1
#: Waiting is said after so many seconds.
_SAID_AFTER = 2.0


def await_callbacks(
    job_id: int, dags: Collection[str], memory: JobMemory, intervals: LoopIntervals
) -> Generator[Effect[Any], Any, None]:
    """Wait until no event of these DAGs waits for its callbacks, for a while at most, or until a signal comes."""
    named = tuple(sorted(dags))
    if not named or memory.stopping is Ending.TERMINATED:
        return
    began: datetime | None = None
    asked, said = memory.stopping, False
    while True:
        left = yield from ask(ReadOutbox(named))
        if not left.count:
            return
        began = began or left.now
        seconds = (left.now - began).total_seconds()
        if not 0 <= seconds < intervals.callbacks or memory.stopping is not asked:  # a clock that jumped ends it too
            break
        if seconds >= _SAID_AFTER and not said:
            said = True
            text = f"waiting for callbacks, at most {intervals.callbacks:g} s: {_events(left.count)} left"
            yield from ask(Event((), text=Sentence(text)))
        if not (yield from heartbeat(job_id, left.now, intervals, memory)):
            return
        waited = yield from ask(Wait(_LOOK))
        yield from handle_interrupt(waited, memory)
    waits = f"callbacks: {_events(left.count)} left; the next job that has the DAG calls them ("
    yield from ask(Event((), text=Advised((waits, Remedy(Action.RUN_SCHEDULER), ")"))))


def _events(count: int) -> str:
    return "those of 1 event are" if count == 1 else f"those of {count:,} events are"
