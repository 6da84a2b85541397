"""The dates around a run's own, by its DAG's schedule."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import get_current_context
from tailrace.authoring.context.current import Context, running
from tailrace.authoring.context.variables import ON_DEMAND
from tailrace.execution.context.schedule_names import of_schedule
from tailrace.timetable import intervals_between, read_schedule

DAY = timedelta(days=1)


@given(
    st.sampled_from(["@daily", "0 6 * * 1-5", "@hourly", timedelta(hours=7), None]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Lima"]),
    st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)),
)
def test_they_are_those_of_the_schedule(schedule: str | timedelta | None, zone: str, near: datetime) -> None:
    read, near = read_schedule(schedule, zone), near.replace(tzinfo=UTC)
    points = [each.start for each in intervals_between(read, None, near - 9 * DAY, near + 9 * DAY)]
    at = points.index(min(points, key=lambda point: abs(point - near))) if points else None
    logical = near if at is None else points[at]
    names = of_schedule(read, None, logical)
    assert names.keys() == ON_DEMAND.keys()
    before, after = (near, near) if at is None else (points[at - 1], points[at + 1])
    assert (names["prev_execution_date"], names["next_execution_date"]) == (before, after)
    assert (names["prev_ds"], names["next_ds_nodash"]) == (f"{before:%Y-%m-%d}", f"{after:%Y%m%d}")
    assert names["tomorrow_ds"] == f"{logical + DAY:%Y-%m-%d}"


def test_beyond_the_calendar_there_is_nothing() -> None:
    first = of_schedule(read_schedule(None), None, datetime.min.replace(tzinfo=UTC))
    assert (first["yesterday_ds"], first["tomorrow_ds"]) == (None, "0001-01-02") or first["yesterday_ds"] is None


def test_they_are_made_when_one_is_asked_for() -> None:
    made = []

    def make() -> dict[str, str]:
        made.append(1)
        return {**dict.fromkeys(ON_DEMAND, "x"), "ds": "not this"}

    context = Context({"ds": "2024-01-01"}, make)
    assert (context["ds"], context.get("nothing", 1), "prev_ds" in context, "nothing" in context) == (
        "2024-01-01",
        1,
        True,
        False,
    )
    assert made == []
    assert (context["prev_ds"], context.get("next_ds"), dict(context)["ds"]) == ("x", "x", "2024-01-01")
    assert made == [1]
    with pytest.raises(KeyError):
        context["nothing"]


def test_the_current_context_is_that_of_the_task_that_runs() -> None:
    context = Context({"ds": "2024-01-01"}, dict)
    with running(context):
        assert get_current_context() is context
    with pytest.raises(RuntimeError, match="no task is running here"):
        get_current_context()


def whole(**context: Any) -> dict[str, Any]:
    return context


@pytest.mark.parametrize(
    "of",
    [
        dict,
        lambda context: whole(**context),
        lambda context: {**context},
        lambda context: dict(context.items()),
        lambda context: {name: context[name] for name in context},
        lambda context: dict(zip(context.keys(), context.values(), strict=True)),
        lambda context: context.copy(),
        lambda context: context | {},
        lambda context: {} | context,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        str,
        len,
        list,
    ],
)
def test_whoever_looks_through_it_finds_all(of: Callable[[Context], Any]) -> None:
    """However it is read as a whole, those are there that are computed when they are asked for."""
    made = {"ds": "2024-01-01", **dict.fromkeys(ON_DEMAND, "x")}
    found = of(Context({"ds": "2024-01-01"}, lambda: dict.fromkeys(ON_DEMAND, "x")))
    assert found == of(made)  # type: ignore[arg-type]


def test_a_function_or_template_that_uses_none_makes_none() -> None:
    context = Context({"ds": "2024-01-01"}, lambda: pytest.fail("made"))
    assert context.given() == {"ds": "2024-01-01"} and context["ds"] == "2024-01-01"
