"""Data intervals: the stretch of time whose data a run is about."""

from datetime import datetime

from msgspec import Struct


class DataInterval(Struct, frozen=True, order=True):
    """Half-open interval ``[start, end)``; both ends aware and in UTC.

    The run's logical date is ``start`` for schedules with intervals. ``start == end`` for a run that is about
    a moment (a manual trigger of an unscheduled DAG).
    """

    start: datetime
    end: datetime
