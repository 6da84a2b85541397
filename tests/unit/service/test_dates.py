"""What typed dates mean, and one line that says what to do for those that mean nothing."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.errors import CommandError
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tailrace.service.dates import (
    DateBound,
    LogicalRange,
    bound_text,
    checked_run_id,
    parse_bound,
    parse_single,
    range_for,
    run_reference,
)
from tailrace.timetable import zone_named

BERLIN = ZoneInfo("Europe/Berlin")
ZULU = ZoneInfo("UTC")
NOW = datetime(2024, 6, 15, 12, tzinfo=UTC)
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type]


def cron(text: str, zone: str = "UTC", start: datetime | None = None, end: datetime | None = None) -> DagSpec:
    schedule = Schedule(ScheduleKind.CRON, text, zone)
    return DagSpec("etl", (), schedule, start_date=start, end_date=end)


DAILY = cron("0 0 * * *", start=at(2016, 1, 1))


def refusal(dag: DagSpec, start: str | None, end: str | None, now: datetime = NOW) -> str:
    with pytest.raises(CommandError) as raised:
        range_for(dag, start, end, now)
    message = str(raised.value)
    assert "\n" not in message
    return message


def starts(meant: LogicalRange) -> list[datetime]:
    return [interval.start for interval in meant.intervals]


# --- single dates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "zone", "earliest"),
    [
        ("2024-05-31T06:30", ZULU, at(2024, 5, 31, 6, 30)),
        ("2024-05-31 06:30", ZULU, at(2024, 5, 31, 6, 30)),
        ("2024-05-31T06:30Z", BERLIN, at(2024, 5, 31, 6, 30)),
        ("2024-05-31T06:30+02:00", ZULU, at(2024, 5, 31, 4, 30)),
        ("2024-05-31T06:30", BERLIN, at(2024, 5, 31, 4, 30)),
        ("2024-01-31T06:30", BERLIN, at(2024, 1, 31, 5, 30)),
        ("20240531T063000", ZULU, at(2024, 5, 31, 6, 30)),
        (" 2024-05-31T06 ", ZULU, at(2024, 5, 31, 6)),
    ],
)
def test_exact_times(text: str, zone: ZoneInfo, earliest: datetime) -> None:
    moment = parse_bound(text, zone)
    assert (moment.earliest, moment.latest, moment.notice) == (earliest, earliest, None)


def test_a_date_alone_is_the_whole_local_day() -> None:
    moment = parse_bound("2024-05-31", BERLIN)
    assert moment.earliest == at(2024, 5, 30, 22)
    assert moment.latest == at(2024, 5, 31, 22) - timedelta(microseconds=1)


def test_days_on_which_clocks_are_turned_are_longer_or_shorter() -> None:
    forward, back = parse_bound("2024-03-31", BERLIN), parse_bound("2024-10-27", BERLIN)
    tick = timedelta(microseconds=1)
    assert forward.latest + tick - forward.earliest == timedelta(hours=23)
    assert back.latest + tick - back.earliest == timedelta(hours=25)


def test_a_day_without_midnight_begins_when_it_begins() -> None:
    moment = parse_bound("2018-11-04", ZoneInfo("America/Sao_Paulo"))  # clocks jumped from 00:00 to 01:00
    assert moment.earliest == at(2018, 11, 4, 3)


def test_a_time_that_happens_twice_reaches_over_both() -> None:
    moment = parse_bound("2024-10-27T02:30", BERLIN)
    assert (moment.earliest, moment.latest) == (at(2024, 10, 27, 0, 30), at(2024, 10, 27, 1, 30))
    assert moment.notice is not None
    assert "happens twice in Europe/Berlin" in moment.notice
    assert "2024-10-27T02:30+02:00 and 2024-10-27T02:30+01:00" in moment.notice


def test_a_time_that_never_happens_is_the_moment_of_the_jump() -> None:
    moment = parse_bound("2024-03-31T02:30", BERLIN)
    assert moment.earliest == moment.latest == at(2024, 3, 31, 1)
    assert moment.notice is not None
    assert "does not exist in Europe/Berlin" in moment.notice
    assert "taken as 2024-03-31T03:00+02:00" in moment.notice


def test_a_time_that_the_clocks_jumped_over_finds_the_date_it_became() -> None:
    """What the schedule makes of 02:30 on that day, a person who types 02:30 means too."""
    dag = cron("30 2 * * *", "Europe/Berlin")
    assert starts(range_for(dag, "2024-03-31T02:30", None, NOW)) == [at(2024, 3, 31, 1)]


def test_one_moment_of_two_is_the_first_and_it_is_reported() -> None:
    moment, (notice,) = parse_single("2024-10-27T02:30", BERLIN)
    assert moment == at(2024, 10, 27, 0, 30)
    assert notice.endswith("2024-10-27T02:30+02:00 and 2024-10-27T02:30+01:00; the first is meant")
    assert parse_single("2024-10-27T03:30", BERLIN) == (at(2024, 10, 27, 2, 30), ())


def test_a_zone_that_is_an_offset_reads_and_shows_dates() -> None:
    zone = zone_named("UTC-05:00")
    assert parse_bound("2024-05-31", zone).earliest == at(2024, 5, 31, 5)
    assert bound_text(at(2024, 5, 31, 5), zone) == "2024-05-31T00:00-05:00"
    assert "in UTC-05:00)" in refusal(cron("0 22 * * *", "UTC-05:00"), "2024-05-31T05:00", None)


@settings(max_examples=60, deadline=None)
@given(
    st.datetimes() | st.sampled_from([FIRST, LAST]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "UTC-05:00", "UTC+14:00"]),
    st.sampled_from(["0 0 * * *", "30 * * * *", "0 0 29 2 */7", "0 */12 29 2 */7", None]),
    st.booleans(),
)
@example(FIRST, "UTC", "30 * * * *", True)
@example(LAST, "Europe/Berlin", None, True)
def test_any_date_is_taken_or_refused_in_one_line(moment: datetime, zone: str, text: str | None, day: bool) -> None:
    dag = cron(text, zone) if text else DagSpec("etl", (), Schedule(ScheduleKind.INTERVAL, "3600.0", zone))
    typed = moment.date().isoformat() if day else moment.isoformat()
    try:
        date, _ = parse_single(typed, zone_named(zone))
        plan_trigger(dag, TriggerRequest(date), NOW, None)
        range_for(dag, typed, None, NOW)
    except CommandError as refused:
        assert "\n" not in str(refused)


@pytest.mark.parametrize("text", ["yesterday", "01/02/2024", "2024-13-01", "", "2024-02-30", "1704067200x"])
def test_anything_else_is_not_a_date(text: str) -> None:
    with pytest.raises(CommandError, match="not a date: .*write it as ISO 8601, such as 2024-05-31"):
        parse_bound(text, ZULU)


def test_an_impossible_day_says_why() -> None:
    with pytest.raises(CommandError, match="day"):
        parse_bound("2024-02-30", ZULU)


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01T00:00+10:00"])
def test_outside_the_years_there_are(text: str) -> None:
    with pytest.raises(CommandError, match="outside the years 1 to 9999"):
        parse_bound(text, ZULU)


@pytest.mark.parametrize(
    "moment", [at(2024, 1, 1), at(2024, 7, 1, 5, 30), at(2024, 7, 1, 5, 30, 7), at(2024, 10, 27, 1, 30)]
)
@pytest.mark.parametrize("zone", [ZULU, BERLIN, ZoneInfo("Asia/Kathmandu")])
def test_shown_dates_can_be_typed(moment: datetime, zone: ZoneInfo) -> None:
    assert parse_bound(bound_text(moment, zone), zone).earliest == moment


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2016-01-01", at(2015, 12, 31, 23), at(2016, 1, 1, 23) - timedelta(microseconds=1)),
        ("2016-01-01T05:00", at(2016, 1, 1, 4), at(2016, 1, 1, 4)),
        ("2016-10-30T02:30", at(2016, 10, 30, 0, 30), at(2016, 10, 30, 0, 30)),
    ],
)
def test_run_is_a_run_id_a_moment_or_a_day(text: str, first: datetime, last: datetime) -> None:
    run_id = "backfill__2016-01-01T00:00:00+00:00"
    assert run_reference(run_id, BERLIN) == run_id
    named = run_reference(text, BERLIN)
    assert isinstance(named, DateBound)
    assert (named.earliest, named.latest) == (first, last)
    assert run_reference("latest", BERLIN) == "latest"


@pytest.mark.parametrize(
    "run_id", ["nightly", "fix 2", "2024-01-05-again", "manual__first", "x__2024-01-01", "läuft", "é" * 110]
)
def test_a_safe_run_id_is_taken(run_id: str) -> None:
    assert checked_run_id(run_id) == run_id
    assert run_reference(run_id, BERLIN) == run_id


@pytest.mark.parametrize(
    ("run_id", "wrong"),
    [
        ("backfill__x", "Tailrace itself names runs backfill__…, scheduled__… and manual__ with a date; name this one"),
        ("scheduled__2024-01-01", "Tailrace itself names runs backfill__…"),
        ("manual__2024-01-01T00:00:00+00:00", "Tailrace itself names runs backfill__…"),
        ("2024-01-05", "reads as a date; name the run otherwise, such as run-2024-01-05"),
        ("20240105", "reads as a date"),
        ("2024-01-05T10:00", "reads as a date"),
        ("-x", "reads as an option; write a letter or a digit first"),
        ("", "must be a name in one line without slashes, not ''"),
    ],
)
def test_a_run_id_that_means_something_else_is_refused(run_id: str, wrong: str) -> None:
    with pytest.raises(CommandError) as refused:
        checked_run_id(run_id)
    assert wrong in str(refused.value) and "\n" not in str(refused.value)


@given(st.text(max_size=30))
def test_whatever_is_taken_names_its_run(text: str) -> None:
    with suppress(CommandError):
        assert run_reference(str(checked_run_id(text)), BERLIN) == text


# --- ranges ------------------------------------------------------------------------------------------------


def test_both_ends_are_inclusive() -> None:
    meant = range_for(DAILY, "2016-01-01", "2016-01-03", NOW)
    assert starts(meant) == [at(2016, 1, 1), at(2016, 1, 2), at(2016, 1, 3)]
    assert meant.intervals[0].end == at(2016, 1, 2)
    assert (meant.first, meant.notices) == (at(2016, 1, 1), ())
    exact = range_for(DAILY, "2016-01-01T00:00", "2016-01-03T00:00", NOW)
    assert starts(exact) == starts(meant)


def test_a_date_only_end_includes_that_whole_local_day() -> None:
    hourly = cron("0 * * * *", "Europe/Berlin")
    meant = range_for(hourly, "2024-01-31", "2024-01-31", NOW)
    assert starts(meant)[0] == at(2024, 1, 30, 23)
    assert starts(meant)[-1] == at(2024, 1, 31, 22)
    assert len(meant.intervals) == 24


@pytest.mark.parametrize(("start", "end"), [("2016-01-02", None), (None, "2016-01-02")])
def test_leaving_out_one_end_copies_the_other(start: str | None, end: str | None) -> None:
    meant = range_for(DAILY, start, end, NOW)
    assert starts(meant) == [at(2016, 1, 2)]
    assert (meant.first, meant.last) == (at(2016, 1, 2), at(2016, 1, 3) - timedelta(microseconds=1))


def test_no_dates_at_all() -> None:
    assert "no dates given: say -s START, -e END or both" in refusal(DAILY, None, None)


def test_start_after_end_offers_the_range_the_other_way_round() -> None:
    message = refusal(DAILY, "2016-02-01", "2016-01-01")
    assert "start 2016-02-01 is after end 2016-01-01" in message
    assert "-s 2016-01-01 -e 2016-02-01" in message


def test_a_day_that_was_skipped() -> None:
    apia = cron("0 0 * * *", "Pacific/Apia")
    assert "2011-12-30 does not exist in Pacific/Apia" in refusal(apia, "2011-12-30", None)


def test_intervals_that_have_not_ended_are_left_out() -> None:
    meant = range_for(DAILY, "2024-06-13", "2024-06-20", NOW)
    assert starts(meant) == [at(2024, 6, 13), at(2024, 6, 14)]
    [notice] = meant.notices
    assert "left out 6 dates whose intervals have not ended" in notice
    assert "2024-06-15T00:00+00:00 to 2024-06-20T00:00+00:00" in notice
    later = range_for(DAILY, "2024-06-13", "2024-06-20", NOW + timedelta(days=1))
    assert len(later.intervals) == 3
    assert (later.first, later.last) == (meant.first, meant.last)  # the same command keeps its identity


def test_an_interval_that_ends_now_has_ended() -> None:
    assert len(range_for(DAILY, "2024-06-14", None, at(2024, 6, 15)).intervals) == 1


def test_nothing_in_the_range_has_ended() -> None:
    message = refusal(DAILY, "2024-06-15", "2024-06-18")
    assert "no interval of etl in this range has ended" in message
    assert "2024-06-15T00:00+00:00, ends at 2024-06-16T00:00+00:00" in message


def test_no_schedule_point_names_the_nearest() -> None:
    monthly = cron("0 0 1 * *")
    message = refusal(monthly, "2024-02-02", "2024-02-20")
    assert "no schedule point of etl (schedule '0 0 1 * *' in UTC)" in message
    assert "2024-02-01T00:00+00:00 (before) and 2024-03-01T00:00+00:00 (after)" in message


def test_an_exact_time_that_is_no_point() -> None:
    assert "no schedule point" in refusal(DAILY, "2016-01-01T05:00", "2016-01-01T05:00")


def test_dates_before_the_start_date_are_allowed_with_a_notice() -> None:
    meant = range_for(DAILY, "2015-12-30", "2016-01-01", NOW)
    assert len(meant.intervals) == 3
    assert meant.notices == ("2 dates are before the start_date of etl, 2016-01-01T00:00+00:00",)


def test_dates_after_the_end_date_are_allowed_with_a_notice() -> None:
    dag = cron("0 0 * * *", end=at(2016, 1, 2))
    assert range_for(dag, "2016-01-01", "2016-01-03", NOW).notices == (
        "1 date is after the end_date of etl, 2016-01-02T00:00+00:00",
    )


def test_a_mistyped_year_is_refused_before_it_fills_memory() -> None:
    every_minute = cron("* * * * *")
    message = refusal(every_minute, "0202-01-01", "2024-01-01")
    assert "more than 100,000 dates of etl" in message


def test_interval_schedules() -> None:
    schedule = Schedule(ScheduleKind.INTERVAL, "21600", "UTC")
    dag = DagSpec("etl", (), schedule, start_date=at(2024, 1, 1, 3))
    assert starts(range_for(dag, "2024-01-02", None, NOW)) == [at(2024, 1, 2, hour) for hour in (3, 9, 15, 21)]


# --- unscheduled DAGs --------------------------------------------------------------------------------------

UNSCHEDULED = DagSpec("etl", (), Schedule(ScheduleKind.NONE, "", "Europe/Berlin"))


@pytest.mark.parametrize(("start", "end"), [("2024-06-01", None), (None, "2024-06-01"), ("2024-06-01", "2024-06-01")])
def test_one_date_of_an_unscheduled_dag_is_a_run_of_that_moment(start: str | None, end: str | None) -> None:
    meant = range_for(UNSCHEDULED, start, end, NOW)
    assert [(i.start, i.end) for i in meant.intervals] == [(at(2024, 5, 31, 22), at(2024, 5, 31, 22))]
    assert meant.first == meant.last == at(2024, 5, 31, 22)


def test_a_range_of_an_unscheduled_dag_is_refused() -> None:
    message = refusal(UNSCHEDULED, "2024-06-01", "2024-06-02")
    assert "etl has no schedule" in message and "leave out -e" in message


def test_a_future_moment_of_an_unscheduled_dag_is_refused() -> None:
    assert "in the future" in refusal(UNSCHEDULED, "2024-06-16", None)
