"""What a person may do in a world, each thing once."""

import random
from enum import StrEnum

from msgspec import Struct

from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.backfills import Reprocess


class ActKind(StrEnum):
    """What a person does."""

    CLEAR = "clears"
    MARK_TASK = "marks a task"
    MARK_RUN = "marks a run"
    PAUSE = "pauses"  # and resumes, sooner or later
    CANCEL = "cancels"
    POOL = "resizes a pool"
    REPROCESS = "types a backfill with --reprocess"
    TRIGGER = "triggers a run"  # where there are schedulers to drive it
    CLEAN = "cleans"  # has removed what ended before this moment


#: What leaves the final states of a history to the tasks' results alone.
HARMLESS = frozenset({ActKind.CLEAR, ActKind.PAUSE, ActKind.CANCEL, ActKind.REPROCESS})


_ANYWHERE = tuple(kind for kind in ActKind if kind not in (ActKind.TRIGGER, ActKind.CLEAN))


class Act(Struct, frozen=True):
    """One thing that a person does once, to a day of the world, a task of its DAG, or a backfill (by number)."""

    kind: ActKind
    day: int = 0
    task_id: str | None = None  # None: all of the run
    relatives: bool = True  # those below it too
    map_index: int | None = None  # None: all of the task
    state: str = ""  # what is marked
    backfill: int = 1
    slots: int = 1
    hours: int = 0  # of the day: 0 is when the schedule has a point too
    in_part: bool = False  # cleared as a part of the DAG

    @property
    def _index(self) -> str:
        return "" if self.map_index is None else f"[{self.map_index}]"

    def __str__(self) -> str:
        match self.kind:
            case ActKind.PAUSE | ActKind.CANCEL:
                return f"{self.kind} backfill {self.backfill}"
            case ActKind.CLEAN:
                return str(self.kind)
            case ActKind.POOL:
                return f"{self.kind} to {self.slots}"
            case ActKind.REPROCESS:
                return f"{self.kind} {self.state}"
            case ActKind.CLEAR:
                alone = " as a part" if self.in_part else ""
                return f"{self.kind} {self.task_id or 'everything'}{self._index} of day {self.day}{alone}"
            case ActKind.TRIGGER:
                return f"{self.kind} of day {self.day}, {self.hours} h"
            case _:
                return f"{self.kind} {self.task_id or ''}{self._index} of day {self.day} {self.state}"


def random_acts(draw: random.Random, dag: DagSpec, days: int, backfills: int) -> tuple[Act, ...]:
    """One to three acts."""
    return tuple(_random_act(draw, dag, days, backfills) for _ in range(draw.choice((1, 2, 3, 4))))


def random_trigger(draw: random.Random, days: int) -> Act:
    """A run on a day of the world or the one after, at the schedule's point or beside it."""
    return Act(ActKind.TRIGGER, day=draw.randint(0, days), hours=draw.choice((0, 0, 6)))


def _random_act(draw: random.Random, dag: DagSpec, days: int, backfills: int) -> Act:
    kind = draw.choice((*_ANYWHERE, ActKind.CLEAR, ActKind.CLEAR))
    states: tuple[str, ...] = (TaskInstanceState.SUCCESS, TaskInstanceState.FAILED, TaskInstanceState.SKIPPED)
    if kind is ActKind.MARK_RUN:
        states = (DagRunState.SUCCESS, DagRunState.FAILED)
    elif kind is ActKind.REPROCESS:
        states = (Reprocess.FAILED, Reprocess.ALL)
    whole = kind is ActKind.MARK_RUN or (kind is ActKind.CLEAR and draw.random() < 0.3)
    return Act(
        kind,
        day=draw.randrange(days),
        task_id=None if whole else draw.choice(dag.tasks).task_id,
        relatives=draw.random() < 0.7,
        state=draw.choice(states),
        backfill=draw.randint(1, backfills),
        slots=draw.choice((0, 1, 2, 3)),
    )
