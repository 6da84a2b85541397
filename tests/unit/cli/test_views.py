"""Views as rows and JSON: ranges as they would be typed, states as they stand, no reason where nobody asks."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.cli.views import backfill_row, interval_text, range_text, run_row, task_instance_row
from tailrace.metastore.views.lists import BackfillLine, RunLine, TaskInstanceLine
from tailrace.metastore.views.summaries import Failures
from tailrace.model.intervals import DataInterval
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.service.encoding import json_of
from tailrace.service.views import Backfill, Run, _of_backfill, _of_run

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def backfill_json(line: BackfillLine) -> dict[str, Any]:
    return dict(json.loads(json_of(Backfill(**_of_backfill(line)))))


def run_json(line: RunLine) -> dict[str, Any]:
    return dict(json.loads(json_of(Run(**_of_run(line)))))


def row(line: BackfillLine | RunLine) -> tuple[str, ...]:
    if isinstance(line, RunLine):
        return run_row(Run(**_of_run(line)))
    return backfill_row(Backfill(**_of_backfill(line)))


def backfill(**more: object) -> BackfillLine:
    values: dict[str, object] = {
        "id": 3,
        "dag_id": "etl",
        "state": "running",
        "paused": False,
        "start": FIRST,
        "end": FIRST + timedelta(days=7) - TICK,
        "reprocess": "missing",
        "command": "tailrace backfill etl",
        "reason": "",
        "created_at": FIRST,
        "started_at": FIRST,
        "ended_at": None,
        "runs": {"success": 2, "running": 1},
    }
    return BackfillLine(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("last", "texts"),
    [
        (FIRST + timedelta(days=7) - TICK, ("2024-01-01", "2024-01-07")),
        (FIRST + timedelta(days=1) - TICK, ("2024-01-01", "2024-01-01")),
        (FIRST, ("2024-01-01T00:00+00:00", "2024-01-01T00:00+00:00")),
        (FIRST + timedelta(hours=5), ("2024-01-01T00:00+00:00", "2024-01-01T05:00+00:00")),
    ],
)
def test_ranges(last: datetime, texts: tuple[str, str]) -> None:
    assert range_text(FIRST, last) == texts


def test_backfill_row_and_json() -> None:
    assert row(backfill()) == (
        *("3", "etl", "running", "2024-01-01", "2024-01-07", "2 success, 1 running", "2024-01-01 00:00:00", ""),
    )
    answer = backfill_json(backfill())
    assert answer["backfill_id"] == 3 and answer["ended"] is None
    assert answer["runs"] == {"success": 2, "running": 1}


def test_paused_is_the_state_only_while_unfinished() -> None:
    assert row(backfill(paused=True))[2] == "paused"
    assert row(backfill(paused=True, state="success", ended_at=FIRST))[2] == "success"


def run(state: str, reason: str) -> RunLine:
    ended = FIRST + timedelta(seconds=90)
    return RunLine(
        1, "etl", "r", FIRST, DataInterval(FIRST, ended), state, "backfill", FIRST, ended, reason, {"success": 2}
    )


def test_reasons_are_shown_unless_it_succeeded() -> None:
    assert row(run("failed", "b is failed"))[-3:] == ("1:30", "2 success", "b is failed")
    assert row(run("success", "every leaf succeeded"))[-1] == ""
    assert run_json(run("success", "every leaf succeeded"))["reason"] == "every leaf succeeded"


def test_the_data_interval_of_a_run_is_the_stored_one() -> None:
    """apache/airflow#25408: a triggered run has another logical date than its interval begins with."""
    begin, end = FIRST - timedelta(days=1), FIRST - timedelta(hours=7)
    shown = run_json(replace(run("success", ""), data_interval=DataInterval(begin, end)))
    assert (shown["logical_date"], shown["data_interval"]) == (FIRST.isoformat(), [begin.isoformat(), end.isoformat()])
    assert interval_text(begin, end).startswith(f"data interval {begin:%Y-%m-%d %H:%M:%S} to ")
    assert "without a data interval" in interval_text(FIRST, FIRST)


INSIDE = FailedTasks({"a": 1}, {"b": 2})


def test_a_success_with_failures_inside_says_so() -> None:
    line = replace(run("success", "every leaf succeeded"), failures=INSIDE, conf='{"k":1}')
    assert row(line)[-1] == "1 task failed inside: a; 2 tasks upstream_failed: b (2)"
    assert row(replace(line, state="failed", reason="c is failed"))[-1] == "c is failed"
    answer = run_json(line)
    assert (answer["failed_tasks"], answer["upstream_failed_tasks"], answer["conf"]) == ({"a": 1}, {"b": 2}, {"k": 1})
    everywhere = FailedTasks({"a": 1, "c": 1})
    wanting = backfill(failures=Failures(everywhere, FailedTasks({}, {"b": 2})))
    assert row(wanting)[-1] == "2 tasks upstream_failed inside: b (2)"
    assert backfill_json(wanting)["failed_tasks"] == {"a": 1, "c": 1}


def test_task_instances_that_never_started_and_mapped_ones() -> None:
    line = TaskInstanceLine("a", 2, "upstream_failed", 0, None, None, "b failed")
    assert task_instance_row(line) == ("a[2]", "upstream_failed", "0", "", "", "b failed")
