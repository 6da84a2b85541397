"""What a scheduler has to drive, what the metastore knows of a DAG's schedule, and which runs that is due.

The words only; ``scheduling`` decides.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct, field

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec


class LaneKey(NamedTuple):
    """What one step of a job is about: a DAG's live runs (no backfill), or one of its backfills."""

    dag_id: str
    backfill_id: int | None = None


class ScheduleFacts(Struct, frozen=True):
    """What the metastore knows of a DAG's schedule."""

    paused: bool = False
    until: datetime | None = None  # the last logical date that a scheduler has looked at
    reason: str = ""  # why a job has paused it; nothing where a person has


class Agenda(Struct, frozen=True):
    """What there is for schedulers, of one moment: open lanes of any DAG, and how far each schedule has come."""

    now: datetime
    lanes: tuple[LaneKey, ...] = ()
    schedules: Mapping[str, ScheduleFacts] = field(default_factory=lambda: MappingProxyType({}))


class DueRuns(Struct, frozen=True):
    """The runs that a schedule is due, in order. Refused as a whole unless the schedule stands at ``after``."""

    dag: DagSpec
    intervals: tuple[DataInterval, ...]
    after: datetime | None

    @property
    def until(self) -> datetime:
        """The last logical date looked at, once they are created."""
        return self.intervals[-1].start
