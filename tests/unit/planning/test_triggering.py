"""What run a trigger means, and when it is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.planning.triggering import TriggerFacts, TriggerRequest, plan_trigger
from tests.message_text import lines
from tests.unit.planning.builders import NOW, dag

DAILY = replace(
    dag("a"), schedule=Schedule(ScheduleKind.CRON, "0 0 * * *"), start_date=datetime(2024, 1, 1, tzinfo=UTC)
)
DAY = datetime(2024, 3, 4, tzinfo=UTC)
FREE = TriggerFacts(NOW)


def test_a_schedule_point_has_its_own_interval() -> None:
    plan = plan_trigger(DAILY, TriggerRequest(DAY), NOW, FREE)
    assert (plan.run_id, plan.refusals) == ("manual__2024-03-04T00:00:00+00:00", ())
    assert plan.interval == DataInterval(DAY, DAY + timedelta(days=1))


def test_any_other_moment_has_the_last_interval_that_has_ended_by_then() -> None:
    plan = plan_trigger(DAILY, TriggerRequest(DAY + timedelta(hours=7)), NOW, FREE)
    assert plan.interval == DataInterval(DAY - timedelta(days=1), DAY)


@pytest.mark.parametrize(("given", "stored"), [(None, None), ("{}", None), ('{"k":1}', '{"k":1}')])
def test_an_empty_conf_is_none(given: str | None, stored: str | None) -> None:
    assert plan_trigger(DAILY, TriggerRequest(DAY, conf=given), NOW, FREE).conf == stored


def test_without_a_schedule_the_run_is_of_the_moment() -> None:
    plan = plan_trigger(dag("a"), TriggerRequest(), NOW, FREE)
    assert (plan.logical_date, plan.interval) == (NOW, DataInterval(NOW, NOW))


@pytest.mark.parametrize(
    ("facts", "date", "said"),
    [
        (TriggerFacts(NOW, same_date="backfill__x"), DAY, "`tailrace runs clear dag backfill__x`"),
        (TriggerFacts(NOW, same_id="manual__x"), DAY, "has a run of that id already"),
        (FREE, NOW + timedelta(seconds=1), "is in the future"),
    ],
)
def test_what_is_taken_or_to_come_is_refused(facts: TriggerFacts, date: datetime, said: str) -> None:
    [refusal] = lines(plan_trigger(DAILY, TriggerRequest(date), NOW, facts).refusals)
    assert said in refusal


def test_a_moment_in_a_repeated_hour_has_the_interval_that_ended_before_it() -> None:
    """apache/airflow#70089: 02:30 in Berlin came at 00:30 UTC; clocks went back at 01:00."""
    berlin = DagSpec("dag", (), Schedule(ScheduleKind.CRON, "30 2 * * *", "Europe/Berlin"))
    right = DataInterval(datetime(2024, 10, 26, 0, 30, tzinfo=UTC), datetime(2024, 10, 27, 0, 30, tzinfo=UTC))
    for hour, minute in ((1, 10), (1, 45), (2, 10)):
        date = datetime(2024, 10, 27, hour, minute, tzinfo=UTC)
        assert plan_trigger(berlin, TriggerRequest(date), date, FREE).interval == right


def test_a_paused_dag_is_reported() -> None:
    [notice] = lines(plan_trigger(DAILY, TriggerRequest(DAY), NOW, TriggerFacts(NOW, dag_paused=True)).notices)
    assert "tailrace dags unpause dag" in notice
