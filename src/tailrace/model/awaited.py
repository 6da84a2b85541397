"""What a try waits for in runs of a DAG once it has given its slot back, and when that is decided. Pure.

One rule for both who asks: the sensor that looks, and the planner that has it look again.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from tailrace.model.keys import UNMAPPED
from tailrace.model.moments import moment_text
from tailrace.model.recorded import Moment
from tailrace.model.states import DagRunState

#: So many logical dates, and so many tasks, are waited for by one try at most without that it looks itself.
MOST_AWAITED = 1_000

#: What stands for the state of what there is not.
NOT_THERE = "not there"

#: A run that can never go on has failed, and so has one that was cancelled: Airflow knows neither.
_FAILED_TOO = (DagRunState.DEADLOCKED, DagRunState.CANCELLED)

_Names: TypeAlias = Annotated[tuple[str, ...], Meta(max_length=MOST_AWAITED)]


class Awaited(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Tasks of a DAG, or a group of them, or (without either) whole runs, of some dates, and the states that decide.

    ``goes_on``: more than this may end the wait, so it is in no circle. Its task is skipped, not failed, at its
    timeout; or a function of the author's has named the dates, and may name others at the next look.
    """

    dag_id: str
    logical_dates: Annotated[tuple[Moment, ...], Meta(min_length=1, max_length=MOST_AWAITED)]
    task_ids: _Names = ()
    task_group_id: str | None = None
    allowed_states: _Names = ()
    failed_states: _Names = ()
    skipped_states: _Names = ()
    goes_on: bool = False

    @property
    def is_of_runs(self) -> bool:
        """Whether it waits for whole runs."""
        return not self.task_ids and self.task_group_id is None


class Seen(Struct, frozen=True, omit_defaults=True):
    """A task instance of those, or (without a task) a whole run, as it was found; ``state`` may be NOT_THERE."""

    logical_date: datetime
    state: str
    task_id: str = ""
    map_index: int = UNMAPPED
    run_id: str = ""

    def stands(self, dag_id: str) -> str:
        """How it stands, as people read it."""
        of = f".{self.task_id}" if self.task_id else ""
        index = "" if self.map_index == UNMAPPED else f"[{self.map_index}]"
        return f"{dag_id}{of}{index} of {moment_text(self.logical_date)} is {self.state}"


class Looked(Struct, frozen=True):
    """What has come of a look: what is in a state that fails or skips, and what is not as it should be yet."""

    failed: tuple[Seen, ...] = ()
    skipped: tuple[Seen, ...] = ()
    waits: tuple[Seen, ...] = ()

    @property
    def is_decided(self) -> bool:
        """Whether there is nothing left to wait for."""
        return bool(self.failed or self.skipped or not self.waits)


def look(awaited: Awaited, seen: Sequence[Seen]) -> Looked:
    """What these, all that there are of what is waited for, come to. Removed task instances are none."""
    failed = tuple(each for each in seen if each.state in awaited.failed_states or _has_failed(awaited, each))
    skipped = tuple(each for each in seen if each.state in awaited.skipped_states)
    there = {(each.logical_date, each.task_id) for each in seen} | {(each.logical_date, "") for each in seen}
    missing = (
        Seen(date, NOT_THERE, name)
        for date in awaited.logical_dates
        for name in awaited.task_ids or ("",)
        if (date, name) not in there
    )
    waits = (*(each for each in seen if each.state not in awaited.allowed_states), *missing)
    return Looked(failed, skipped, waits)


def _has_failed(awaited: Awaited, seen: Seen) -> bool:
    """Whether it is a run that is worse than failed, where a failed one is looked for."""
    return awaited.is_of_runs and DagRunState.FAILED in awaited.failed_states and seen.state in _FAILED_TOO


def named(dag_id: str, several: Iterable[Seen], most: int = 5) -> str:
    """How these stand, in one line."""
    found = list(several)
    more = f" and {len(found) - most:,} more" if len(found) > most else ""
    return ", ".join(each.stands(dag_id) for each in found[:most]) + more
