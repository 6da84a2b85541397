"""Intervals of a schedule around and between moments. All moments are aware; everything returned is in UTC."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import Schedule, ScheduleKind
from tailrace.timetable.cron import points_after, points_before

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def just_before(moment: datetime) -> datetime:
    """What points from ``moment`` on come after; the calendar's first moment has none before it."""
    return moment - datetime.resolution if moment > _EARLIEST else moment


def intervals_between(
    schedule: Schedule, start_date: datetime | None, first: datetime, last: datetime
) -> tuple[DataInterval, ...]:
    """Every interval whose logical date lies in ``[first, last]``, oldest first.

    ``start_date`` anchors a timedelta schedule (the epoch when there is none) and is the one date of ``@once``; it
    does not limit the result. A schedule of no kind has no intervals.
    """
    points: list[datetime] = []
    for point in _points_after(schedule, start_date, just_before(first)):
        points.append(point)
        if point > last:
            break
    found = [DataInterval(start, end) for start, end in pairwise(points)]
    if schedule.kind is ScheduleKind.ONCE:
        return tuple(DataInterval(point, point) for point in points if point <= last)
    return tuple(found)


def intervals_after(schedule: Schedule, start_date: datetime | None, after: datetime) -> Iterator[DataInterval]:
    """Every interval whose logical date is later than ``after``, oldest first, without end."""
    points = _points_after(schedule, start_date, after)
    if schedule.kind is ScheduleKind.ONCE:
        return (DataInterval(point, point) for point in points)
    return (DataInterval(start, end) for start, end in pairwise(points))


def next_interval(schedule: Schedule, start_date: datetime | None, after: datetime) -> DataInterval | None:
    """The first interval whose logical date is later than ``after``."""
    points = _points_after(schedule, start_date, after)
    start = next(points, None)
    return None if start is None else DataInterval(start, next(points, start))


def previous_interval(schedule: Schedule, start_date: datetime | None, before: datetime) -> DataInterval | None:
    """The last interval whose logical date is earlier than ``before``."""
    start = _point_before(schedule, start_date, before)
    return None if start is None else DataInterval(start, next(_points_after(schedule, start_date, start), start))


def _points_after(schedule: Schedule, start_date: datetime | None, after: datetime) -> Iterator[datetime]:
    """The schedule's points later than ``after``, in order, without end (or one, or none)."""
    with suppress(OverflowError):  # the calendar ends with the year 9999
        if schedule.kind is ScheduleKind.CRON:
            yield from points_after(schedule.expression, schedule.timezone, after.astimezone(UTC))
        elif schedule.kind is ScheduleKind.INTERVAL:
            step = timedelta(seconds=float(schedule.expression))
            anchor = _anchor(start_date)
            count = (after - anchor) // step + 1
            while True:
                yield anchor + count * step
                count += 1
        elif schedule.kind is ScheduleKind.ONCE and start_date is not None and start_date > after:
            yield start_date.astimezone(UTC)


def _point_before(schedule: Schedule, start_date: datetime | None, before: datetime) -> datetime | None:
    with suppress(OverflowError):
        if schedule.kind is ScheduleKind.CRON:
            return next(points_before(schedule.expression, schedule.timezone, before.astimezone(UTC)), None)
        if schedule.kind is ScheduleKind.INTERVAL:
            step = timedelta(seconds=float(schedule.expression))
            anchor = _anchor(start_date)
            count = -((anchor - before) // step) - 1
            return anchor + count * step
        if schedule.kind is ScheduleKind.ONCE and start_date is not None and start_date < before:
            return start_date.astimezone(UTC)
    return None


def _anchor(start_date: datetime | None) -> datetime:
    return EPOCH if start_date is None else start_date.astimezone(UTC)
