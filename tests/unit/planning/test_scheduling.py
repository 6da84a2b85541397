"""Which runs a schedule is due: with catchup every missed one, without only the latest, never when paused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.planning.schedules import ScheduleFacts
from tailrace.planning.scheduling import MOST_DUE, due_runs, next_run
from tests.unit.planning.builders import dag

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAILY = Schedule(ScheduleKind.CRON, "0 0 * * *")


def daily(**more: Any) -> DagSpec:
    return replace(dag("a"), schedule=DAILY, start_date=FIRST, **more)


def days(spec: DagSpec, now: datetime, until: datetime | None = None, paused: bool = False) -> list[int]:
    """The days since FIRST that are due."""
    due = due_runs(spec, ScheduleFacts(paused, until), now)
    return [] if due is None else [(interval.start - FIRST).days for interval in due.intervals]


def test_catchup_is_due_every_interval_that_has_ended() -> None:
    spec = daily(catchup=True)
    assert days(spec, FIRST + 3 * DAY + timedelta(hours=1)) == [0, 1, 2]
    assert days(spec, FIRST + 3 * DAY) == [0, 1, 2], "an interval has ended at its end"
    assert days(spec, FIRST + 3 * DAY, until=FIRST + DAY) == [2]
    assert days(spec, FIRST + 3 * DAY, until=FIRST + 2 * DAY) == []


def test_without_catchup_only_the_latest_is_due() -> None:
    spec = daily()
    assert days(spec, FIRST + 9 * DAY + timedelta(hours=5)) == [8]
    assert days(spec, FIRST + 9 * DAY, until=FIRST + 2 * DAY) == [8]
    assert days(spec, FIRST + 9 * DAY + timedelta(hours=5), until=FIRST + 8 * DAY) == []
    assert days(spec, FIRST + timedelta(hours=5)) == [], "the first interval has not ended"


def test_a_paused_dag_and_one_without_schedule_are_due_nothing() -> None:
    assert days(daily(catchup=True), FIRST + 3 * DAY, paused=True) == []
    assert days(replace(daily(catchup=True), schedule=Schedule(ScheduleKind.NONE)), FIRST + 3 * DAY) == []


def test_nothing_is_due_before_the_start_date_or_after_the_end_date() -> None:
    spec = daily(catchup=True, end_date=FIRST + DAY)
    assert days(spec, FIRST + 9 * DAY) == [0, 1]
    assert days(replace(spec, catchup=False), FIRST + 9 * DAY) == []
    late = replace(daily(catchup=True), start_date=FIRST + 5 * DAY)
    assert days(late, FIRST + 7 * DAY) == [5, 6]


def test_catchup_without_a_start_date_begins_with_the_latest() -> None:
    spec = replace(daily(catchup=True), start_date=None)
    assert days(spec, FIRST + 7 * DAY) == [6]
    assert days(spec, FIRST + 7 * DAY, until=FIRST + 4 * DAY) == [5, 6]


def test_once_is_due_at_its_start_date_and_never_again() -> None:
    spec = replace(daily(), schedule=Schedule(ScheduleKind.ONCE))
    assert days(spec, FIRST - timedelta(seconds=1)) == []
    for catchup in (False, True):
        assert days(replace(spec, catchup=catchup), FIRST) == [0]
        assert days(replace(spec, catchup=catchup), FIRST + DAY, until=FIRST) == []


def test_a_timedelta_schedule_counts_from_its_start_date() -> None:
    spec = replace(daily(catchup=True), schedule=Schedule(ScheduleKind.INTERVAL, str(2 * 86400.0)))
    assert days(spec, FIRST + 5 * DAY) == [0, 2]


def test_the_schedule_moves_on_to_the_last_date_that_is_due() -> None:
    due = due_runs(daily(catchup=True), ScheduleFacts(), FIRST + 2 * DAY)
    assert due is not None
    assert (due.after, due.until) == (None, FIRST + DAY)


def test_a_long_catchup_comes_in_pieces() -> None:
    spec, now = daily(catchup=True), FIRST + (MOST_DUE + 7) * DAY
    first = days(spec, now)
    assert first == list(range(MOST_DUE))
    assert days(spec, now, until=FIRST + (MOST_DUE - 1) * DAY) == list(range(MOST_DUE, MOST_DUE + 7))


@pytest.mark.parametrize("catchup", [False, True])
def test_a_schedule_follows_its_own_zone(catchup: bool) -> None:
    berlin = Schedule(ScheduleKind.CRON, "0 0 * * *", "Europe/Berlin")
    spec = replace(daily(catchup=catchup), schedule=berlin, start_date=datetime(2024, 3, 30, 23, tzinfo=UTC))
    due = due_runs(spec, ScheduleFacts(), datetime(2024, 3, 31, 22, tzinfo=UTC))
    assert due is not None
    assert [interval.end - interval.start for interval in due.intervals] == [timedelta(hours=23)]


def test_no_date_is_lost_or_due_twice_where_clocks_are_turned_by_half_an_hour() -> None:
    """apache/airflow#70089: looked at again and again, as a scheduler does, from inside the repeated half hour too."""
    lord_howe = Schedule(ScheduleKind.CRON, "30 * * * *", "Australia/Lord_Howe")
    spec = replace(daily(catchup=True), schedule=lord_howe, start_date=datetime(2024, 4, 6, 13, tzinfo=UTC))
    now, until, found = spec.start_date, None, []
    while now < datetime(2024, 4, 6, 18, 30, tzinfo=UTC):
        now += timedelta(minutes=7)
        due = due_runs(spec, ScheduleFacts(False, until), now)
        found += [interval.start.strftime("%H:%M") for interval in due.intervals] if due else []
        until = due.until if due else until
    assert found == ["13:30", "14:30", "15:00", "16:00", "17:00"]  # 00:30, 01:30 twice, 02:30, 03:30 there


@pytest.mark.parametrize("start", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
@pytest.mark.parametrize("catchup", [False, True])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_a_start_date_at_an_end_of_the_calendar_stops_no_scheduler(start: datetime, catchup: bool, zone: str) -> None:
    for kind, text in ((ScheduleKind.CRON, "0 0 * * *"), (ScheduleKind.INTERVAL, "60.0"), (ScheduleKind.ONCE, "")):
        spec = replace(daily(catchup=catchup), schedule=Schedule(kind, text, zone), start_date=start)
        due_runs(spec, ScheduleFacts(), FIRST)


@pytest.mark.parametrize("catchup", [True, False])
@pytest.mark.parametrize("start", [None, FIRST, FIRST + 5 * DAY, FIRST + 40 * DAY])
@pytest.mark.parametrize("until", [None, FIRST + 2 * DAY, FIRST + 11 * DAY])
@pytest.mark.parametrize("schedule", [DAILY, Schedule(ScheduleKind.INTERVAL, "7200.0"), Schedule(ScheduleKind.ONCE)])
def test_the_next_run_is_the_one_that_is_due_next(
    catchup: bool, start: datetime | None, until: datetime | None, schedule: Schedule
) -> None:
    spec = replace(daily(catchup=catchup), start_date=start, schedule=schedule)
    facts, now = ScheduleFacts(until=until), FIRST + 12 * DAY + timedelta(minutes=90)
    found, due = next_run(spec, facts, now), due_runs(spec, facts, now)
    if due is not None:
        assert found == due.intervals[0] and found.end <= now
        return
    if found is None:
        assert schedule.kind is ScheduleKind.ONCE
        return
    assert due_runs(spec, facts, found.end - timedelta(microseconds=1)) is None
    then = due_runs(spec, facts, max(found.end, now))
    assert then is not None and then.intervals[0] == found


def test_there_is_no_next_run_of_what_is_paused_or_has_ended() -> None:
    assert next_run(daily(), ScheduleFacts(paused=True), FIRST + 3 * DAY) is None
    assert next_run(replace(daily(), schedule=Schedule(ScheduleKind.NONE)), ScheduleFacts(), FIRST + 3 * DAY) is None
    ended = daily(end_date=FIRST + DAY)
    assert next_run(ended, ScheduleFacts(until=FIRST + DAY), FIRST + 9 * DAY) is None
