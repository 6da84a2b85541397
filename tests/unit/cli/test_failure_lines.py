"""A line for each failed try with the command for its log; of many alike only the first few, which is said once."""

from datetime import UTC, datetime, timedelta

import pytest

from tailrace.cli.failure_lines import FailureLines, failure_lines, run_named, run_text
from tailrace.cli.fitting import width_of
from tailrace.effects.tries import FailedTry
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.states import TaskInstanceState

RUN = "backfill__2024-01-01T00:00:00+00:00"
FAILED, RETRY = TaskInstanceState.FAILED, TaskInstanceState.UP_FOR_RETRY


def a_try(task_id: str = "load", error: str = "bash exited 1: boom", **more: object) -> FailedTry:
    run_id, number = str(more.pop("run_id", RUN)), int(str(more.pop("number", 1)))
    facts: dict[str, object] = {"state": FAILED, "lost": False, "error": error, "max_tries": 1, **more}
    return FailedTry(TryKey(TaskInstanceKey("etl", run_id, task_id), number), **facts)  # type: ignore[arg-type]


def test_it_says_what_failed_why_and_where_its_log_is() -> None:
    assert failure_lines(a_try(), 300) == [
        "failed: load @ 2024-01-01: bash exited 1: boom; log: tailrace tasks logs etl load 2024-01-01T00:00Z"
    ]
    again = a_try(state=RETRY, max_tries=3, retry_seconds=3.0, number=2)
    assert failure_lines(again, 300, named_dag=True) == [
        "failed, again in 3 s: etl.load @ 2024-01-01 (try 2 of 3): bash exited 1: boom; "
        "log: tailrace tasks logs etl load 2024-01-01T00:00Z --try 2"
    ]
    lost = a_try(error="try 1 was lost: its worker died", state=RETRY, lost=True, max_tries=2)
    assert failure_lines(lost, 300)[0].startswith("lost, again at once: load @ 2024-01-01 (try 1 of 2): try 1 was lost")


def test_an_error_of_which_hardly_anything_fits_has_a_line_of_its_own() -> None:
    failed = a_try("t" * 50, error="no such table: orders, nor any other")
    what, error, *_ = failure_lines(failed, 80)
    assert (what, error) == (f"failed: {'t' * 50} @ 2024-01-01", "    no such table: orders, nor any other")


def test_on_a_narrow_terminal_the_command_has_lines_of_its_own() -> None:
    failed = a_try(error="a long story " * 20 + "\nmore", run_id="manual__" + "x" * 40)
    what, error, *command = failure_lines(failed, 60)
    assert what.endswith("…") and error.endswith("…") and width_of(what) == width_of(error) == 60
    assert command == ["  tailrace tasks logs etl load \\", f"    manual__{'x' * 40}"]


@pytest.mark.parametrize(
    ("run_id", "named", "text"),
    [
        (RUN, "2024-01-01T00:00Z", "2024-01-01"),
        ("scheduled__2024-01-01T06:30:00+00:00", "2024-01-01T06:30Z", "2024-01-01T06:30Z"),
        ("backfill__2024-01-01T00:00:00.000001+00:00", "2024-01-01T00:00:00.000001+00:00", None),
        ("manual__2024-01-01T00:00:00+00:00", "manual__2024-01-01T00:00:00+00:00", None),
        ("backfill__$(boom)", "backfill__$(boom)", None),
        ("scheduled__", "scheduled__", None),
    ],
)
def test_a_run_is_named_by_its_date_where_its_id_tells_it(run_id: str, named: str, text: str | None) -> None:
    assert (run_named(run_id), run_text(run_id)) == (named, text or named)


def test_of_many_alike_the_first_few_are_told_and_that_is_said_once() -> None:
    lines = FailureLines()
    said = [line for n in range(1000) for line in lines.lines(a_try(error=f"row {n} is wrong"), 300)]
    assert len(said) == 6
    assert said[-1] == "further such failures of load are counted and not listed until the end"
    assert len(lines.lines(a_try(error="another"), 300)) == 1
    assert len(lines.lines(a_try("other", error="row 1 is wrong"), 300)) == 1


def test_of_many_that_differ_a_few_of_each_task_are_told_and_some_hundreds_in_all() -> None:
    lines = FailureLines()
    letters = ["".join(chr(ord("g") + int(digit)) for digit in str(n)) for n in range(10_000)]
    said = [line for word in letters for line in lines.lines(a_try(error=word), 300)]
    assert len(said) == 21
    said += [line for word in letters for line in lines.lines(a_try(word, error=word), 300)]
    assert len(said) == 202
    assert said[-1] == "further failures are counted and not listed until the end"


def test_a_scheduler_counts_anew_each_hour_and_says_what_it_did_not_list() -> None:
    now = datetime(2024, 1, 1, 10, tzinfo=UTC)
    lines = FailureLines(of_many=True, clock=lambda: now)
    for _ in range(10):
        lines.lines(a_try(), 300)
    assert lines.left_out() == []
    now += timedelta(hours=1)
    assert lines.left_out() == ["5 more failures since 10:00:00Z, counted and not listed"]
    assert lines.left_out() == []
    assert lines.lines(a_try(), 300)[0].startswith("failed: etl.load @ ")
