"""Points of cron schedules in every zone there is, against a reference that looks at each minute of UTC.

The rule (docs/authoring.md): an expression whose minute or hour begins with ``*`` has a point whenever the clock shows
a time that it names; any other has one when the clock shows such a time for the first time, or jumps over it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.model.spec import Schedule, ScheduleKind
from tailrace.timetable import intervals_between, next_interval, previous_interval, validate
from tailrace.timetable.cron import points_after, points_before
from tailrace.timetable.zones import zone_named

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SIDE = timedelta(hours=40)


class Cron(NamedTuple):
    """An expression, and what it names, said without reading it."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None = None  # None: any
    weekdays: frozenset[int] | None = None  # Sunday is 0
    counts_repeats: bool = False

    def names(self, local: datetime) -> bool:
        by_day = self.days is None or local.day in self.days
        by_weekday = self.weekdays is None or local.isoweekday() % 7 in self.weekdays
        of_day = (by_day or by_weekday) if self.days and self.weekdays else (by_day and by_weekday)
        return of_day and local.hour in self.hours and local.minute in self.minutes and local.second == 0


def field(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    every = range(low, high + 1)
    numbers = st.integers(low, high)
    lists = st.lists(numbers, min_size=1, max_size=4, unique=True)
    return st.one_of(
        st.just(("*", frozenset(every))),
        st.integers(1, 20).map(lambda step: (f"*/{step}", frozenset(every[::step]))),
        lists.map(lambda some: (",".join(map(str, some)), frozenset(some))),
        st.tuples(numbers, numbers).map(sorted).map(lambda ends: _span(*ends)),
        st.tuples(numbers, st.integers(1, 20)).map(
            lambda each: (f"{each[0]}-{high}/{each[1]}", frozenset(range(each[0], high + 1, each[1])))
        ),
    )


def _span(first: int, last: int) -> tuple[str, frozenset[int]]:
    return f"{first}-{last}", frozenset(range(first, last + 1))


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    (minute, minutes), (hour, hours) = draw(field(0, 59)), draw(field(0, 23))
    day, days = draw(st.one_of(st.just(("*", None)), st.integers(1, 28).map(lambda n: (f"{n}-31", _from(n)))))
    weekday, weekdays = draw(st.one_of(st.just(("*", None)), st.integers(0, 6).map(lambda n: (str(n), frozenset([n])))))
    return Cron(f"{minute} {hour} {day} * {weekday}", minutes, hours, days, weekdays, "*" in minute[0] + hour[0])


def _from(day: int) -> frozenset[int]:
    return frozenset(range(day, 32))


zones = st.sampled_from(sorted(available_timezones()))


@cache
def turns(zone: str, year: int) -> tuple[datetime, ...]:
    """About when (to the hour) the clocks of a zone are turned in a year."""
    there = ZoneInfo(zone)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + n * HOUR for n in range(366 * 24)]
    offsets = [moment.astimezone(there).utcoffset() for moment in hours]
    return tuple(moment for moment, former, now in zip(hours[1:], offsets, offsets[1:], strict=False) if former != now)


def reference(cron: Cron, zone: str, first: datetime, last: datetime) -> Iterator[datetime]:
    """Every point in [first, last], by looking at each minute of UTC, at the seconds at which a local one may begin."""
    there = ZoneInfo(zone)
    latest = max((first - n * MINUTE).astimezone(there).replace(tzinfo=None) for n in range(1, 28 * 60))
    offsets = [moment.astimezone(there).utcoffset() or MINUTE for moment in (first, last)]
    seconds = sorted({timedelta(0), *(-offset % MINUTE for offset in offsets)})
    for minute in range((last - first) // MINUTE + 1):
        for second in seconds:
            moment = first + minute * MINUTE + second
            local = moment.astimezone(there).replace(tzinfo=None, fold=0)
            if cron.counts_repeats:
                if cron.names(local):
                    yield moment
            elif local > latest and any(map(cron.names, minutes_in(latest, local))):
                yield moment
            latest = max(latest, local)


def minutes_in(after: datetime, until: datetime) -> Iterator[datetime]:
    local = after.replace(second=0, microsecond=0) + MINUTE
    while local <= until:
        yield local
        local += MINUTE


@st.composite
def places(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a moment, near a turn of its clocks if there is one in that year."""
    zone, year = draw(zones), draw(st.integers(1900, 2040))
    near = turns(zone, year) or (datetime(year, 6, 1, tzinfo=UTC),)
    off = st.timedeltas(-30 * HOUR, 30 * HOUR)
    close = st.integers(-12, 12).map(lambda count: count * 15 * MINUTE)
    return zone, draw(st.sampled_from(near)) + draw(st.one_of(off, close))


LORD_HOWE_AUTUMN = datetime(2024, 4, 6, 15, 0, tzinfo=UTC)
TROLL_SPRING, BERLIN_AUTUMN = datetime(2024, 3, 31, 1, tzinfo=UTC), datetime(2024, 10, 27, 1, tzinfo=UTC)
BERLIN_SPRING = TROLL_SPRING
ANY_HOUR = frozenset(range(24))


@settings(max_examples=60, deadline=None)
@given(places(), crons())
@example(
    ("Australia/Lord_Howe", LORD_HOWE_AUTUMN),
    Cron("20 */4 * * *", frozenset([20]), ANY_HOUR & set(range(0, 24, 4)), counts_repeats=True),
)
@example(("Australia/Lord_Howe", LORD_HOWE_AUTUMN), Cron("45 1 * * *", frozenset([45]), frozenset([1])))
@example(("Antarctica/Troll", TROLL_SPRING), Cron("30 1,2 * * *", frozenset([30]), frozenset([1, 2])))
@example(("Europe/Berlin", BERLIN_AUTUMN - MINUTE), Cron("0 2,3 * * *", frozenset([0]), frozenset([2, 3])))
@example(("Europe/Berlin", BERLIN_AUTUMN), Cron("0,59 2,3 * * *", frozenset([0, 59]), frozenset([2, 3])))
@example(("Europe/Berlin", BERLIN_AUTUMN + MINUTE), Cron("0,59 2,3 * * *", frozenset([0, 59]), frozenset([2, 3])))
@example(("Europe/Berlin", BERLIN_SPRING), Cron("0,30 2,3 * * *", frozenset([0, 30]), frozenset([2, 3])))
@example(("Europe/Berlin", BERLIN_SPRING + HOUR), Cron("0,30 2,4 * * *", frozenset([0, 30]), frozenset([2, 4])))
@example(("Europe/Dublin", BERLIN_AUTUMN - MINUTE), Cron("59 0-23 * * *", frozenset([59]), ANY_HOUR))
@example(
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    Cron("0 0 30-31 * *", frozenset([0]), frozenset([0]), _from(30)),
)
@example(
    ("Pacific/Kwajalein", datetime(1969, 9, 30, 12, tzinfo=UTC)),
    Cron("7 * * * *", frozenset([7]), ANY_HOUR, counts_repeats=True),
)
@example(
    ("America/Toronto", datetime(1919, 3, 31, 4, 30, tzinfo=UTC)), Cron("0 0 * * *", frozenset([0]), frozenset([0]))
)
def test_every_point_is_where_the_clock_says(place: tuple[str, datetime], cron: Cron) -> None:
    zone, moment = place
    before, after = moment - SIDE, moment + SIDE
    whole = before.replace(second=0, microsecond=0)
    right = [point for point in reference(cron, zone, whole, after + MINUTE) if before < point <= after]
    forwards = points_after(cron.text, zone, before)
    assert list(takewhile(lambda point: point <= after, forwards)) == right
    later = [point for point in right if point > moment]
    assert list(islice(points_after(cron.text, zone, moment), len(later))) == later
    earlier = [point for point in right if point < moment]
    backwards = points_before(cron.text, zone, moment)
    assert list(islice(backwards, len(earlier))) == earlier[::-1]


@settings(max_examples=60, deadline=None)
@given(places(), crons(), st.timedeltas(timedelta(0), DAY))
def test_ranges_and_steps_agree_wherever_they_begin(place: tuple[str, datetime], cron: Cron, length: timedelta) -> None:
    zone, moment = place
    schedule = Schedule(ScheduleKind.CRON, cron.text, zone)
    found = intervals_between(schedule, None, moment, moment + length)
    assert list(found) == sorted(set(found))
    for interval in found[:40]:
        assert moment <= interval.start <= moment + length
        assert next_interval(schedule, None, interval.start - timedelta(microseconds=1)) == interval
        assert previous_interval(schedule, None, interval.end) == interval


@pytest.mark.parametrize(
    ("text", "zone", "day", "right"),
    [
        ("30 2 * * *", "Europe/Berlin", "2024-03-31", ["03:00+02:00"]),  # 02:30 is jumped over
        ("0,30 2 * * *", "Europe/Berlin", "2024-03-31", ["03:00+02:00"]),  # and so is 02:00: one moment
        ("30 2 * * *", "Europe/Berlin", "2024-10-27", ["02:30+02:00"]),
        ("30 * * * *", "Europe/Berlin", "2024-10-27", ["00:30+02:00", "01:30+02:00", "02:30+02:00", "02:30+01:00"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2024-04-07", ["01:45+11:00"]),
        ("*/30 1 * * *", "Australia/Lord_Howe", "2024-04-07", ["01:00+11:00", "01:30+11:00", "01:30+10:30"]),
        ("30 1 * * *", "Europe/Dublin", "2024-10-27", ["01:30+01:00"]),
        ("0 * * * *", "Antarctica/Troll", "2024-03-31", ["00:00+00:00", "03:00+02:00", "04:00+02:00", "05:00+02:00"]),
        ("0 12 * * *", "Pacific/Apia", "2011-12-31", ["00:00+14:00", "12:00+14:00"]),  # 30 December did not come
        ("0 0 * * *", "America/Havana", "2024-11-03", ["00:00-04:00"]),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-04", ["01:00-02:00"]),
        ("0 0 * * *", "UTC-05:00", "2024-11-03", ["00:00-05:00"]),
    ],
)
def test_the_days_that_are_listed_in_the_docs(text: str, zone: str, day: str, right: list[str]) -> None:
    there = zone_named(zone)
    midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    found = [point.astimezone(there) for point in islice(points_after(text, zone, midnight - DAY), 60)]
    of_day = [
        point.isoformat()[11:].replace(":00+", "+").replace(":00-", "-") for point in found if str(point)[:10] == day
    ]
    assert of_day[: len(right)] == right


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), max_size=20))
@example("0 0 * * ²L")
@example("0 0 L-3 * *")
@example("0 0 * * 1#2/3")
def test_any_text_is_a_schedule_or_a_mistake(text: str) -> None:
    said = validate(Schedule(ScheduleKind.CRON, text, "UTC"))
    assert said is None or "\n" not in said


@given(
    st.one_of(st.text(max_size=12), st.sampled_from(["Europe", "UTC+24:00", "UTC-5", "../UTC", "zone.tab", "a" * 5000]))
)
def test_any_text_is_a_zone_or_a_mistake(name: str) -> None:
    try:
        zone_named(name)
    except ValueError as said:
        assert "unknown time zone" in str(said)


def test_dates_that_are_years_apart_are_found_in_both_directions() -> None:
    """29 February on a Sunday: 2004, then 2032, with the clocks turned many times in between."""
    zone, moment = "Europe/Berlin", datetime(2020, 6, 1, tzinfo=UTC)
    text = "30 */12 29 2 */7"
    assert [point.isoformat() for point in islice(points_after(text, zone, moment), 3)] == [
        *("2032-02-28T23:30:00+00:00", "2032-02-29T11:30:00+00:00", "2060-02-28T23:30:00+00:00")
    ]
    assert [point.isoformat() for point in islice(points_before(text, zone, moment), 3)] == [
        *("2004-02-29T11:30:00+00:00", "2004-02-28T23:30:00+00:00", "1976-02-29T11:30:00+00:00")
    ]
