"""Data intervals: contiguous, reversible, right across clock changes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.model.spec import ScheduleKind
from tailrace.timetable import intervals_between, next_interval, previous_interval, read_schedule, validate

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")
moments = st.datetimes(datetime(2015, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
schedules = st.builds(
    read_schedule,
    st.sampled_from(["@hourly", "@daily", "@weekly", "@monthly", "30 2 * * *", "*/15 * * * *", timedelta(hours=7)]),
    st.sampled_from(ZONES),
)


@settings(max_examples=60, deadline=None)
@given(schedules, moments)
def test_intervals_are_contiguous_and_forwards_is_backwards(schedule, moment) -> None:
    first = next_interval(schedule, None, moment)
    second = next_interval(schedule, None, first.start)
    assert first.start > moment
    assert first.end == second.start > first.start
    assert previous_interval(schedule, None, second.start) == first


@settings(max_examples=30, deadline=None)
@given(schedules, moments)
def test_a_range_holds_every_point_in_it_and_no_other(schedule, moment) -> None:
    last = moment + timedelta(days=3)
    found = intervals_between(schedule, None, moment, last)
    walked = []
    point = next_interval(schedule, None, moment - timedelta(microseconds=1))
    while point is not None and point.start <= last:
        walked.append(point)
        point = next_interval(schedule, None, point.start)
    assert list(found) == walked


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25), ("2024-05-05", 24)])
def test_a_local_day_has_as_many_hours_as_it_has(day: str, hours: int) -> None:
    schedule = read_schedule("@daily", "Europe/Berlin")
    noon = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
    interval = previous_interval(schedule, None, noon)
    assert interval.end - interval.start == timedelta(hours=hours)


def test_hourly_across_a_clock_change_neither_skips_nor_doubles() -> None:
    schedule = read_schedule("@hourly", "Europe/Berlin")
    for day in ("2024-03-31", "2024-10-27"):
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
        found = intervals_between(schedule, None, midnight, midnight + timedelta(hours=23))
        assert [interval.start for interval in found] == [midnight + timedelta(hours=hour) for hour in range(24)]


def test_a_timedelta_counts_from_the_start_date() -> None:
    start = datetime(2024, 1, 1, 1, tzinfo=UTC)
    schedule = read_schedule(timedelta(hours=6))
    found = intervals_between(schedule, start, start - timedelta(hours=6), start + timedelta(hours=6))
    assert [interval.start.hour for interval in found] == [19, 1, 7]


def test_once_is_its_start_date() -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    schedule = read_schedule("@once")
    assert [interval.start for interval in intervals_between(schedule, start, start, start)] == [start]
    assert next_interval(schedule, start, start) is None


def test_no_schedule_has_no_intervals() -> None:
    schedule = read_schedule(None)
    assert schedule.kind is ScheduleKind.NONE
    assert intervals_between(schedule, None, datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)) == ()


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("61 * * * *", "bad minute"),
        ("* * *", "3 fields"),
        ("@dayly", "unknown schedule preset"),
        ("0 0 31 2 *", "day-of-month"),
        (timedelta(0), "longer than zero"),
    ],
)
def test_what_is_wrong_is_reported(written: object, words: str) -> None:
    assert words in (validate(read_schedule(written)) or "")


def test_an_unknown_zone_is_reported() -> None:
    assert "unknown time zone" in (validate(read_schedule("@daily", "Mars/Olympus")) or "")


@pytest.mark.parametrize("written", ["@daily", "*/5 * * * *", "0 9 * * 1-5", timedelta(days=1), None, "@once"])
def test_good_schedules_have_nothing_wrong(written: object) -> None:
    assert validate(read_schedule(written)) is None
