"""Data intervals: the stretch of time whose data a run is about."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class DataInterval:
    """Half-open interval ``[start, end)``; both ends aware and in UTC.

    The run's logical date is ``start`` for schedules with intervals. ``start == end`` for a run that is about
    a moment (a manual trigger of an unscheduled DAG).
    """

    start: datetime
    end: datetime
