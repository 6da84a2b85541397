"""Views as rows and JSON: ranges as they would be typed, states as they stand, no reason where nobody asks."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.cli.persons import pause_text
from tailrace.cli.views import (
    backfill_row,
    interval_text,
    job_row,
    range_text,
    run_row,
    task_instance_of_run_row,
    task_instance_row,
)
from tailrace.metastore.views.jobs import Job
from tailrace.metastore.views.lists import Backfill
from tailrace.metastore.views.runs import Run
from tailrace.metastore.views.task_instances import TaskInstanceLine, TaskInstanceOfRun
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.service.encoding import json_of

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def shown(line: Backfill | Run) -> dict[str, Any]:
    return dict(json.loads(json_of(line)))


def backfill(**more: Any) -> Backfill:
    values: dict[str, Any] = {
        "backfill_id": 3,
        "dag_id": "etl",
        "state": "running",
        "start": FIRST,
        "end": FIRST + timedelta(days=7) - TICK,
        "reprocess": "missing",
        "runs": {"success": 2, "running": 1},
        "failed_tasks": {},
        "upstream_failed_tasks": {},
        "created": FIRST,
        "started": FIRST,
        "ended": None,
        "command": "tailrace backfill etl",
        "reason": "",
        "failed_inside": FailedTasks(),
        "driven_by": (7,),
    }
    return Backfill(**{**values, **more})


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
    assert backfill_row(backfill()) == (
        *("3", "etl", "running", "2024-01-01", "2024-01-07", "2 success, 1 running", "2024-01-01 00:00:00Z", ""),
    )
    answer = shown(backfill())
    assert answer["backfill_id"] == 3 and answer["ended"] is None
    assert answer["runs"] == {"success": 2, "running": 1}


def run(state: str, reason: str) -> Run:
    ended = FIRST + timedelta(seconds=90)
    when = (FIRST, (FIRST, ended), "backfill", state, FIRST, ended)
    return Run("etl", "r", *when, reason, {}, {"success": 2}, {}, {})


def test_reasons_are_shown_unless_it_succeeded() -> None:
    assert run_row(run("failed", "b is failed"))[-3:] == ("1:30", "2 success", "b is failed")
    assert run_row(run("success", "every leaf succeeded"))[-1] == ""
    assert shown(run("success", "every leaf succeeded"))["reason"] == "every leaf succeeded"


def test_the_data_interval_of_a_run_is_the_stored_one() -> None:
    """apache/airflow#25408: a triggered run has another logical date than its interval begins with."""
    begin, end = FIRST - timedelta(days=1), FIRST - timedelta(hours=7)
    found = shown(replace(run("success", ""), data_interval=(begin, end)))
    assert (found["logical_date"], found["data_interval"]) == (FIRST.isoformat(), [begin.isoformat(), end.isoformat()])
    assert interval_text(begin, end).startswith(f"data interval {begin:%Y-%m-%d %H:%M:%S}Z to ")
    assert "without a data interval" in interval_text(FIRST, FIRST)


def test_a_success_with_failures_inside_reports_it() -> None:
    line = replace(run("success", "every leaf succeeded"), failed_tasks={"a": 1}, upstream_failed_tasks={"b": 2})
    assert run_row(line)[-1] == "1 task failed inside: a; 2 tasks upstream_failed: b (2)"
    assert run_row(replace(line, state="failed", reason="c is failed"))[-1] == "c is failed"
    answer = shown(line)
    assert (answer["failed_tasks"], answer["upstream_failed_tasks"]) == ({"a": 1}, {"b": 2})
    wanting = backfill(failed_inside=FailedTasks({}, {"b": 2}))
    assert backfill_row(wanting)[-1] == "2 tasks upstream_failed inside: b (2)"


def test_task_instances_that_never_started_and_mapped_ones() -> None:
    line = TaskInstanceLine("a", 2, "upstream_failed", 0, None, None, "b failed")
    assert task_instance_row(line) == ("a[2]", "upstream_failed", "0", "", "", "b failed")


def test_what_nobody_drives_is_said() -> None:
    assert backfill_row(backfill(state="interrupted", driven_by=()))[-1].startswith(
        "no job drives it; the same command"
    )
    assert backfill_row(backfill(state="queued", driven_by=()))[-1].startswith("no job drives it; `tailrace scheduler`")
    assert run_row(run("queued", ""))[-1] == "no job drives it"
    assert run_row(replace(run("running", ""), driven_by=(7,)))[-1] == ""


def test_what_was_marked_is_no_success_like_another() -> None:
    assert run_row(replace(run("success", "every leaf succeeded"), marked=2))[-1] == "2 task instances marked, not run"
    line = TaskInstanceLine("a", -1, "success", 1, FIRST, FIRST, "marked success", marked=True)
    assert task_instance_row(line)[-1] == "marked success"
    assert task_instance_row(replace(line, marked=False))[-1] == ""
    of_run = TaskInstanceOfRun("a", 2, "failed", 1, None, None, "said so", dag_id="etl", run_id="r", logical_date=FIRST)
    assert task_instance_of_run_row(of_run) == ("etl", "r", "a[2]", "failed", "1", "", "", "said so")


def test_an_unfinished_task_instance_says_where_nobody_drives_its_run() -> None:
    line = TaskInstanceOfRun("a", -1, "running", 1, None, None, "", dag_id="etl", run_id="r", logical_date=FIRST)
    assert task_instance_of_run_row(replace(line, run_state="running"))[-1] == "no job drives it"
    queued = replace(line, state="queued", run_state="running", reason="cleared")
    assert task_instance_of_run_row(queued)[-1] == "cleared; no job drives it"
    assert task_instance_of_run_row(replace(line, run_state="running", driven_by=(7,)))[-1] == ""
    assert task_instance_of_run_row(replace(line, state="none", run_state="deadlocked"))[-1] == ""
    assert task_instance_of_run_row(replace(line, state="success", run_state="running"))[-1] == ""


def test_whose_command_a_state_is_stands_beside_it_while_it_is() -> None:
    marked = PersonsCommand("ana@here", FIRST, "marked failed")
    text = "marked failed by ana@here at 2024-01-01 00:00:00Z"
    assert run_row(replace(run("failed", "marked failed"), last_command=marked))[-1] == text
    assert run_row(replace(run("failed", "b is failed"), last_command=marked))[-1] == f"b is failed; {text}"
    assert (
        run_row(replace(run("failed", "b is failed"), last_command=replace(marked, stands=False)))[-1] == "b is failed"
    )
    created = PersonsCommand("ana@here", FIRST, "created")
    assert run_row(replace(run("queued", ""), last_command=created))[-1] == "no job drives it"
    line = TaskInstanceLine("a", -1, "failed", 1, FIRST, FIRST, "marked failed", marked=True, last_command=marked)
    assert task_instance_row(line)[-1] == text
    cancelled = PersonsCommand("ana@here", FIRST, "cancelled")
    assert backfill_row(backfill(state="cancelled", last_command=cancelled))[-1].startswith("cancelled by ana@here at ")
    assert shown(backfill(last_command=cancelled))["last_command"] == {
        "by": "ana@here",
        "at": "2024-01-01T00:00:00+00:00",
        "what": "cancelled",
        "stands": True,
    }
    assert pause_text(True, replace(cancelled, what="paused")) == "paused by ana@here at 2024-01-01 00:00:00Z"
    assert (pause_text(True, None), pause_text(False, replace(cancelled, what="resumed"))) == ("paused", "")


def test_a_job_as_a_row() -> None:
    job = Job(
        4, "scheduler", "lost", "here", 77, None, None, FIRST, FIRST, None, "", {"a.py": "line 1", "b.py": "x"}, {}
    )
    assert job_row(job)[:6] == ("4", "scheduler", "lost", "schedules", "here", "77")
    assert job_row(replace(job, started_by="ana@here"))[-3:] == ("", "ana@here", "a.py: line 1; 1 more")
    assert job_row(replace(job, backfill_id=3, dag_id="etl", files={}))[3] == "backfill 3 of etl"
