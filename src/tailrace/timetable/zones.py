"""Time zones by name, and what their clocks show: IANA zones, and fixed offsets such as ``UTC-05:00``.

Which moments a local time means is asked here only. A local time that the clocks jump over means the moment of the
jump, wherever it is written: in a schedule, in a DAG file, on a command line.
"""

import functools
from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

#: What to write where a time zone is meant.
INSTEAD = "use an IANA name such as 'Europe/Berlin', or an offset such as 'UTC-05:00'"

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)

#: No clock differs from UTC by more, nor is it turned by more.
_MOST = timedelta(hours=26)

#: At the very ends of the calendar there is no local time to look at.
_EARLIEST, _LATEST = datetime.min, datetime.max  # noqa: DTZ901  # local times
_FIRST = _EARLIEST.replace(tzinfo=UTC) + 2 * _DAY
_LAST = _LATEST.replace(tzinfo=UTC) - 2 * _DAY


def zone_named(name: str) -> tzinfo:
    """The time zone of an IANA name, or of a fixed offset. Raises ValueError with a sentence for whoever wrote it."""
    try:
        return _fixed(name[3:]) if name.startswith(("UTC+", "UTC-")) else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name[:80]!r}; {INSTEAD}") from None


def _fixed(offset: str) -> tzinfo:
    found = datetime.fromisoformat(f"2000-01-01T00:00{offset}").tzinfo
    if found is None or f"UTC{offset}" not in (str(found), "UTC+00:00", "UTC-00:00"):
        raise ValueError(offset)  # ISO 8601 has other ways to write it; there should be one name for a zone
    return found


def fixed_zone(offset: timedelta) -> str:
    """The name of the zone whose clocks always differ from UTC by ``offset`` (whole seconds)."""
    return str(timezone(offset))


class Stretch(Struct, frozen=True):
    """From ``begin`` until before ``end``, both in UTC, a clock differs from UTC by ``offset``.

    It ends where the clock is turned, or with its year.
    """

    begin: datetime
    end: datetime
    offset: timedelta

    @property
    def local_begin(self) -> datetime:
        """What the clock shows at its beginning."""
        return _local(self.begin, self.offset)

    @property
    def local_end(self) -> datetime:
        """What the clock comes up to, and no more shows, at its end."""
        return _local(self.end, self.offset)

    def ends_after(self, local: datetime) -> bool:
        """Whether the clock comes to ``local`` before its end. Nothing comes after the last moment of the calendar."""
        end = self.local_end
        return local < end or end == _LATEST


def _local(moment: datetime, offset: timedelta) -> datetime:
    """A moment as a local time; those that would be outside the years 1 to 9999 are at their very ends."""
    as_utc = moment.replace(tzinfo=None)
    if as_utc - _EARLIEST < -offset:
        return _EARLIEST
    return _LATEST if _LATEST - as_utc < offset else as_utc + offset


@functools.lru_cache(maxsize=256)
def clock_in(name: str) -> "Clock":
    """The clock on the wall of a time zone. Raises ValueError for a name that is none."""
    return Clock(zone_named(name))


class Clock:
    """The clock on the wall of a time zone: what it shows, and when it is turned. Local times here are naive."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self._years: dict[int, tuple[Stretch, ...]] = {}

    def shown(self, moment: datetime) -> datetime:
        """What the clock shows at a moment."""
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def shown_before(self, moment: datetime) -> datetime:
        """The local time up to which the clock has shown every one, or jumped over it, just before a moment."""
        reached = _EARLIEST
        for stretch in self._around(moment):
            if stretch.begin < moment:
                reached = max(reached, _local(min(stretch.end, moment), stretch.offset))
        return reached

    def first_shown(self, local: datetime) -> datetime:
        """The first moment at which the clock shows ``local``, or a later time because it jumped over that."""
        as_utc = local.replace(tzinfo=UTC, fold=0)
        for stretch in self._around(as_utc):
            if stretch.ends_after(local):
                return max(stretch.begin, as_utc - stretch.offset)
        raise OverflowError(f"{local} is outside the years 1 to 9999")

    def moments(self, local: datetime) -> tuple[datetime, ...]:
        """Every moment at which the clock shows ``local``: one, two where it is turned back, none where it jumps."""
        as_utc = local.replace(tzinfo=UTC, fold=0)
        there = [
            stretch for stretch in self._around(as_utc) if stretch.local_begin <= local and stretch.ends_after(local)
        ]
        return tuple(as_utc - stretch.offset for stretch in there)

    def stretches(self, moment: datetime) -> Iterator[Stretch]:
        """That of a moment, and every later one."""
        for year in range(moment.year, MAXYEAR + 1):
            for stretch in self._of(year):
                if stretch.end > moment:
                    yield stretch

    def stretches_before(self, moment: datetime) -> Iterator[Stretch]:
        """The one that leads up to a moment, and every earlier one, latest first."""
        for year in range(moment.year, MINYEAR - 1, -1):
            for stretch in reversed(self._of(year)):
                if stretch.begin < moment:
                    yield stretch

    def _around(self, moment: datetime) -> Iterator[Stretch]:
        """Those in which the clock may show what it would at a moment if it showed UTC."""
        for stretch in self.stretches(max(moment, _FIRST) - _MOST):
            if stretch.begin > min(moment, _LAST) + _MOST:
                return
            yield stretch

    def _of(self, year: int) -> tuple[Stretch, ...]:
        """The stretches of a year of UTC; looked for once."""
        if year not in self._years:
            cuts = [_start_of(year), *self._turns_in(year), _start_of(year + 1)]
            self._years[year] = tuple(Stretch(begin, end, self._offset(begin)) for begin, end in pairwise(cuts))
        return self._years[year]

    def _turns_in(self, year: int) -> Iterator[datetime]:
        """When the clock is turned in a year of UTC, looked for day by day: no zone turns it twice within a day."""
        if isinstance(self.zone, timezone) or year in (MINYEAR, MAXYEAR):  # half of whose days has no local time
            return
        before, last = _start_of(year) - _SECOND, _start_of(year + 1) - _SECOND
        while before < last:
            after = before + _DAY
            if self._offset(before) != self._offset(after):
                yield self._turn_between(before, after)
            before = after

    def _turn_between(self, before: datetime, after: datetime) -> datetime:
        """The first second of the new offset, by halving."""
        former = self._offset(before)
        while after - before > _SECOND:
            middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
            if self._offset(middle) == former:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, moment: datetime) -> timedelta:
        """How far the clock differs from UTC at a moment."""
        found = min(max(moment, _FIRST), _LAST).astimezone(self.zone).utcoffset()
        assert found is not None
        return found


def _start_of(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC) if year <= MAXYEAR else _LATEST.replace(tzinfo=UTC)
