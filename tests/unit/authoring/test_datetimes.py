"""Datetimes that authors hand in: the moment and the zone they mean, or a mistake; never UTC in silence.

pytz, dateutil and pendulum are no dependencies: what they hand in is made here as they make it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import DAG
from tailrace.authoring.arguments.datetimes import datetime_in, zone_of
from tailrace.authoring.loading.load import LoadedDags
from tailrace.timetable import intervals_between, zone_named

NEW_YORK = "America/New_York"
BERLIN = ZoneInfo("Europe/Berlin")


class Pytz(tzinfo):
    """As pytz: one object for each offset of a zone, the first offset it ever had until it is localized."""

    def __init__(self, zone: str, offset: timedelta) -> None:
        self.zone, self._offset = zone, offset

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return self._offset

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)

    def fromutc(self, moment: datetime) -> datetime:
        there = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(self.zone))
        return there.replace(tzinfo=Pytz(self.zone, there.utcoffset() or timedelta(0)))


class Dateutil(tzinfo):
    """As dateutil: the rules of a file, whose path it keeps to itself."""

    def __init__(self, path: str, rules: str) -> None:
        self._filename, self._rules = path, ZoneInfo(rules)

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else self._rules.utcoffset(moment.replace(tzinfo=self._rules))

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else self._rules.dst(moment.replace(tzinfo=self._rules))


class Pendulum2(Dateutil):
    """As pendulum of old: a name."""

    def __init__(self, name: str, rules: str) -> None:
        super().__init__("", rules)
        self.name = name


class tzlocal(Dateutil):
    """dateutil's zone of the machine."""


class Fixed(tzinfo):
    """As pytz.FixedOffset and dateutil's tzoffset."""

    zone = None

    def __init__(self, offset: timedelta | None) -> None:
        self._offset = offset

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self._offset

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)


class Broken(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta:
        raise RuntimeError("no idea")


HOUR = timedelta(hours=1)
FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (ZoneInfo(NEW_YORK), NEW_YORK),
        (ZoneInfo("UTC"), "UTC"),
        (UTC, "UTC"),
        (timezone(-5 * HOUR), "UTC-05:00"),
        (timezone(-5 * HOUR, "EST"), "UTC-05:00"),
        (timezone(timedelta(hours=5, minutes=30)), "UTC+05:30"),
        (timezone(timedelta(minutes=53, seconds=28)), "UTC+00:53:28"),
        (Pytz(NEW_YORK, -5 * HOUR), NEW_YORK),
        (Pytz(NEW_YORK, timedelta(hours=-4, minutes=-56)), NEW_YORK),
        (Fixed(-5 * HOUR), "UTC-05:00"),
        (Dateutil(f"/usr/share/zoneinfo/{NEW_YORK}", NEW_YORK), NEW_YORK),
        (Dateutil("/opt/tz/posix/America/Argentina/Ushuaia", "America/Argentina/Ushuaia"), "America/Argentina/Ushuaia"),
        (Pendulum2(NEW_YORK, NEW_YORK), NEW_YORK),
        ("Asia/Kolkata", "Asia/Kolkata"),
        ("UTC-05:00", "UTC-05:00"),
    ],
)
def test_a_zone_keeps_its_name(zone: tzinfo | str, name: str) -> None:
    assert zone_of(zone) == name
    assert str(zone_named(name)) == name


@pytest.mark.parametrize(
    "zone",
    [
        tzlocal("", "UTC"),
        Dateutil("/etc/localtime", "Europe/Berlin"),
        Dateutil("/usr/share/zoneinfo/localtime", "Europe/Berlin"),
        Dateutil(f"/usr/share/zoneinfo/{NEW_YORK}", "Europe/Berlin"),
        Pendulum2("Nowhere/Atall", "Europe/Berlin"),
        Pendulum2(NEW_YORK, "Europe/Berlin"),
        timezone(timedelta(microseconds=1)),
        Fixed(None),
        Broken(),
        tzinfo(),
    ],
)
def test_a_zone_that_is_not_certain_is_refused_with_what_to_write(zone: tzinfo) -> None:
    with pytest.raises(ValueError, match=r"without a name that is certain; write tzinfo=ZoneInfo\('Europe/Berlin'\)"):
        zone_of(zone)


@pytest.mark.parametrize("written", ["Europe", "Mars/Olympus", "UTC-5", "+02:00", "", 5, None, b"UTC", ["UTC"]])
def test_a_name_that_is_none_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="unknown time zone .*; use an IANA name such as"):
        zone_of(written)


@given(st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})))
def test_every_zone_is_found_again_by_its_file(name: str) -> None:
    found = zone_of(Dateutil(f"/usr/share/zoneinfo/{name}", name))
    assert found == name or name.startswith(("posix/", "right/"))


@given(
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(lambda offset: offset - offset % timedelta(seconds=1))
)
def test_every_fixed_offset_is_a_zone(offset: timedelta) -> None:
    name = zone_of(timezone(offset))
    assert zone_named(name).utcoffset(None) == offset
    assert zone_of(zone_named(name)) == name


@pytest.mark.parametrize(
    ("written", "right"),
    [
        (datetime(2024, 1, 1), "2024-01-01T00:00:00+01:00"),
        (datetime(2024, 7, 1), "2024-07-01T00:00:00+02:00"),
        (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00+00:00"),
        (datetime(2024, 7, 1, tzinfo=ZoneInfo(NEW_YORK)), "2024-07-01T00:00:00-04:00"),
        (datetime(2024, 7, 1, tzinfo=Pytz(NEW_YORK, -4 * HOUR)), "2024-07-01T00:00:00-04:00"),
        (datetime(2024, 7, 1, tzinfo=Dateutil(NEW_YORK, NEW_YORK)), "2024-07-01T00:00:00-04:00"),
        (datetime(2024, 7, 1, tzinfo=tzlocal("", NEW_YORK)), "2024-07-01T00:00:00-04:00"),  # a moment is a moment
    ],
)
def test_the_moment_of_a_datetime(written: datetime, right: str) -> None:
    read = datetime_in("Europe/Berlin", written)
    assert (read.moment.isoformat(), read.note) == (right, "")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (datetime(2024, 1, 1, tzinfo=Pytz(NEW_YORK, timedelta(hours=-4, minutes=-56))), "localize(datetime(…))"),
        (datetime(2024, 7, 1, tzinfo=Pytz(NEW_YORK, -5 * HOUR)), "has an offset that America/New_York does not have"),
        (datetime(2024, 7, 1, tzinfo=Broken()), "has a tzinfo that fails: RuntimeError: no idea"),
        (datetime(2024, 7, 1, tzinfo=Fixed(None)), "has a tzinfo that says no offset"),
        (datetime(1, 1, 1, tzinfo=timezone(HOUR)), "is no date in UTC"),
        (datetime(1, 1, 1), "is no date in UTC"),
        (datetime(9999, 12, 31, 23, tzinfo=ZoneInfo(NEW_YORK)), "is no date in UTC"),
        ("2024-13-01", "must be a datetime, not '2024-13-01'; write datetime("),
        ("today", "must be a datetime, not 'today'; write datetime("),
        (datetime(2024, 1, 1).date(), "must be a datetime, not datetime.date(2024, 1, 1)"),
        (1704067200, "must be a datetime, not 1704067200"),
    ],
)
def test_what_means_no_moment_is_refused_with_what_to_write(written: object, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        datetime_in("Europe/Berlin", written)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("written", "right", "words"),
    [
        (datetime(2024, 3, 31, 2, 30), "2024-03-31T03:00:00+02:00", "does not exist in Europe/Berlin"),
        (datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN), "2024-03-31T03:00:00+02:00", "does not exist in Europe/Berlin"),
        (datetime(2024, 10, 27, 2, 30), "2024-10-27T02:30:00+02:00", "happens twice in Europe/Berlin"),
        (datetime(2024, 10, 27, 2, 30, fold=1), "2024-10-27T02:30:00+01:00", "taken as 2024-10-27T02:30:00+01:00"),
    ],
)
def test_a_local_time_that_comes_twice_or_never_has_a_note(written: datetime, right: str, words: str) -> None:
    read = datetime_in("Europe/Berlin", written)
    assert read.moment.isoformat() == right
    assert words in read.note


@pytest.mark.parametrize(
    "start",
    [
        datetime(2024, 1, 1, tzinfo=ZoneInfo(NEW_YORK)),
        datetime(2024, 1, 1, tzinfo=Pytz(NEW_YORK, -5 * HOUR)),
        datetime(2024, 1, 1, tzinfo=Dateutil(NEW_YORK, NEW_YORK)),
        datetime(2024, 1, 1, tzinfo=timezone(-5 * HOUR)),
    ],
)
def test_the_zone_of_the_start_date_is_the_schedules(start: datetime) -> None:
    """apache/airflow#13244, #385: 06:00 of 5 January in New York is 11:00 UTC."""
    dag = DAG("d", schedule="0 6 * * *", start_date=start)
    day = datetime(2024, 1, 5, tzinfo=UTC)
    assert dag.mistakes == []
    [interval] = intervals_between(dag.schedule, dag.start_date, day, day + timedelta(days=1))
    assert interval.start == day + 11 * HOUR


def test_a_zone_that_is_named_wins_and_may_be_an_object() -> None:
    for zone in ("Europe/Berlin", BERLIN, Pytz("Europe/Berlin", HOUR)):
        dag = DAG(
            "d",
            timezone=zone,
            start_date=datetime(2024, 1, 1, tzinfo=tzlocal("", "UTC")),
            end_date=datetime(2024, 7, 1),
        )
        assert (dag.mistakes, dag.timezone) == ([], "Europe/Berlin")
        assert dag.end_date == datetime(2024, 6, 30, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start_date": datetime(2024, 1, 1, tzinfo=tzlocal("", "UTC"))}, "the zone of start_date: <"),
        (
            {"start_date": datetime(2024, 1, 1, tzinfo=Pytz(NEW_YORK, -4 * HOUR))},
            "start_date 2024-01-01T00:00:00-04:00 ",
        ),
        ({"end_date": datetime(2024, 1, 1, tzinfo=Pytz(NEW_YORK, -4 * HOUR))}, "end_date 2024-01-01T00:00:00-04:00 "),
        ({"timezone": "Mars/Olympus"}, "timezone: unknown time zone 'Mars/Olympus'"),
        ({"start_date": datetime(2024, 2, 1), "end_date": datetime(2024, 1, 1)}, "is before start_date"),
    ],
)
def test_what_is_wrong_with_dates_is_a_mistake_of_the_dag(arguments: dict[str, object], words: str) -> None:
    dag = DAG("d", schedule="@daily", **arguments)  # type: ignore[arg-type]
    [mistake] = dag.mistakes
    assert words in mistake.message


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "UTC+14:00"])
def test_the_ends_of_the_calendar_are_dates_where_utc_has_them(zone: str) -> None:
    """``end_date=datetime(9999, 12, 31)`` is how people write for ever."""
    day = datetime_in(zone, datetime(9999, 12, 31)).moment
    assert (day.replace(tzinfo=None), str(day.tzinfo)) == (datetime(9999, 12, 31), zone)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(available_timezones())), st.datetimes() | st.sampled_from([FIRST, LAST]), st.booleans())
def test_a_naive_datetime_is_the_moment_that_its_zone_says(zone: str, local: datetime, second: bool) -> None:
    """As Python has it, but for the times that the clocks jump over."""
    written = local.replace(fold=int(second))
    try:
        moment = written.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
        exists = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) == local
    except OverflowError:
        with pytest.raises(ValueError, match="is no date in UTC"):
            datetime_in(zone, written)
        return
    read = datetime_in(zone, written)
    assert read.moment == moment if exists else "does not exist" in read.note


@pytest.mark.parametrize(
    ("dag", "zone", "moment"),
    [
        ("start_date='2024-07-01'", "UTC", "2024-07-01T00:00:00+00:00"),
        ("start_date='2024-07-01', timezone='Europe/Berlin'", "Europe/Berlin", "2024-07-01T00:00:00+02:00"),
        ("start_date='2024-07-01T06:00+05:30'", "UTC+05:30", "2024-07-01T06:00:00+05:30"),
        ("start_date='2024-07-01T06:00Z'", "UTC", "2024-07-01T06:00:00+00:00"),
        ("default_args={'start_date': '20240701'}", "UTC", "2024-07-01T00:00:00+00:00"),
        (
            "start_date=datetime(2024, 7, 1), default_args={'start_date': '2024-07-01'}",
            "UTC",
            "2024-07-01T00:00:00+00:00",
        ),
    ],
)
def test_dates_may_be_text(load: Callable[[str], LoadedDags], dag: str, zone: str, moment: str) -> None:
    loaded = load(f'with DAG("x", schedule="@daily", {dag}): EmptyOperator(task_id="a")')
    assert loaded.mistakes == ()
    assert (loaded.dags["x"].timezone, loaded.dags["x"].start_date.isoformat()) == (zone, moment)
