"""Which data intervals a schedule has: pure functions of the schedule, in any time zone, across clock changes.

Cron points are computed in the schedule's own zone and returned in UTC, so a daily interval has 23, 24 or 25 hours.
The logical date of an interval is its start (as in Airflow 2).
"""

from tailrace.timetable.intervals import (
    intervals_after,
    intervals_between,
    just_before,
    next_interval,
    previous_interval,
)
from tailrace.timetable.reading import PRESETS, read_schedule, validate
from tailrace.timetable.zones import INSTEAD, clock_in, fixed_zone, zone_named

__all__ = [
    "INSTEAD",
    "PRESETS",
    "clock_in",
    "fixed_zone",
    "intervals_after",
    "intervals_between",
    "just_before",
    "next_interval",
    "previous_interval",
    "read_schedule",
    "validate",
    "zone_named",
]
