"""A moment reads the same wherever it is read, and says that it is in UTC."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from tailrace.model.moments import clock_text, moment_text

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1000, 1, 3), datetime(9999, 12, 29), timezones=st.just(UTC))


def test_a_moment_ends_in_the_z_of_utc() -> None:
    moment = datetime(2024, 1, 1, 2, 30, 15, 999999, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert (moment_text(moment), clock_text(moment)) == ("2023-12-31 20:45:15Z", "20:45:15Z")
    assert moment_text(None) == ""


@given(MOMENTS, OFFSETS)
def test_it_does_not_depend_on_the_zone_that_it_comes_in(moment: datetime, zone: timezone) -> None:
    assert moment_text(moment.astimezone(zone)) == moment_text(moment)
    assert datetime.fromisoformat(moment_text(moment)) == moment.replace(microsecond=0)
    assert clock_text(moment.astimezone(zone)) == moment_text(moment)[11:]
