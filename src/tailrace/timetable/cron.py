"""The moments that a cron expression names in a time zone, in UTC, in both directions.

cronsim reads the expression and walks it over local times; where the clocks are turned is ``zones``'s. As Debian's
cron has it: an expression whose minute or hour begins with ``*`` goes by time as it passes, so each moment at which the
clock shows a time it names is a point, also when that time comes a second time; one that names its minutes and hours
goes by the day, so each of its times comes once: the first time that the clock shows it, or when it jumps over it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from tailrace.timetable.zones import clock_in


def points_after(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The points later than ``after`` (in UTC), in order. Raises OverflowError at the end of the calendar."""
    return (_passing if _goes_by_passing_time(expression) else _daily)(expression, timezone, after)


def points_before(expression: str, timezone: str, before: datetime) -> Iterator[datetime]:
    """The points earlier than ``before`` (in UTC), latest first. Raises OverflowError at the start of the calendar."""
    return (_passing_before if _goes_by_passing_time(expression) else _daily_before)(expression, timezone, before)


def _goes_by_passing_time(expression: str) -> bool:
    return any(field.startswith("*") for field in expression.split()[:2])


def _passing(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    empty: tuple[datetime, datetime] | None = None  # nothing is named between these two local times
    for stretch in clock_in(timezone).stretches(after):
        first = max(stretch.begin - datetime.resolution, after)
        begin, end = (first + stretch.offset).replace(tzinfo=None), stretch.local_end
        if empty is not None and empty[0] <= begin and end <= empty[1]:
            continue  # years may pass between two dates
        for local in CronSim(expression, begin):
            if local >= end:
                empty = begin, local
                break
            yield local.replace(tzinfo=UTC) - stretch.offset
        else:
            return  # it never comes again


def _passing_before(expression: str, timezone: str, before: datetime) -> Iterator[datetime]:
    empty: tuple[datetime, datetime] | None = None
    for stretch in clock_in(timezone).stretches_before(before):
        begin, end = stretch.local_begin, (min(stretch.end, before) + stretch.offset).replace(tzinfo=None)
        if empty is not None and empty[0] < begin and end <= empty[1]:
            continue
        for local in _backwards(expression, end):
            if local < begin:
                empty = local, end
                break
            yield local.replace(tzinfo=UTC) - stretch.offset
        else:
            return


def _daily(expression: str, timezone: str, after: datetime) -> Iterator[datetime]:
    clock = clock_in(timezone)
    last = after
    for local in CronSim(expression, clock.shown(after)):
        point = clock.first_shown(local)
        if point > last:  # else it has been shown before, or was jumped over together with the one before it
            yield point
            last = point


def _daily_before(expression: str, timezone: str, before: datetime) -> Iterator[datetime]:
    clock = clock_in(timezone)
    last = before
    for local in _backwards(expression, clock.shown_before(before)):
        point = clock.first_shown(local)
        if point < last:
            yield point
            last = point


def _backwards(expression: str, before: datetime) -> CronSim:
    whole = before if before.microsecond == 0 else before.replace(microsecond=0) + timedelta(seconds=1)
    return CronSim(expression, whole, reverse=True)
