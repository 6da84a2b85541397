"""Variables of a try that are computed from its DAG's schedule: the logical dates and days around its own."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from tailrace.authoring.context.moments import moment_of
from tailrace.model.spec import Schedule, ScheduleKind
from tailrace.timetable import next_interval, previous_interval

_DAY = timedelta(days=1)


def of_schedule(schedule: Schedule, start_date: datetime | None, logical: datetime) -> dict[str, Any]:
    """Each by its name. Without a schedule, a run is its own neighbour, as in Airflow."""
    before: datetime | None = logical
    after: datetime | None = logical
    if schedule.kind is not ScheduleKind.NONE:
        previous = previous_interval(schedule, start_date, logical)
        following = next_interval(schedule, start_date, logical)
        before = None if previous is None else moment_of(previous.start)
        after = None if following is None else moment_of(following.start)
    return {
        "prev_execution_date": before,
        **dict(_days("prev_ds", before)),
        "next_execution_date": after,
        **dict(_days("next_ds", after)),
        **dict(_days("yesterday_ds", _moved(logical, -_DAY))),
        **dict(_days("tomorrow_ds", _moved(logical, _DAY))),
    }


def _days(name: str, moment: datetime | None) -> Iterator[tuple[str, str | None]]:
    yield name, None if moment is None else moment.strftime("%Y-%m-%d")
    yield f"{name}_nodash", None if moment is None else moment.strftime("%Y%m%d")


def _moved(moment: datetime, by: timedelta) -> datetime | None:
    """None beyond the calendar's ends."""
    try:
        return moment + by
    except OverflowError:
        return None
