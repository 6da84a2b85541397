"""The summary leads with the root failure and says what to type; the JSON is exactly what docs/commands.md shows."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tailrace.cli.command_line import command_line
from tailrace.cli.remedies import command_of
from tailrace.cli.summary import log_tail, summary
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.states import TaskInstanceState
from tailrace.planning.backfills import Reprocess
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.planning.failure_groups import Failed
from tailrace.planning.messages import Sentence
from tailrace.planning.plan import Blocker, Dependency, DependencyStatus
from tailrace.service.backfill_report import BackfillCommand, BackfillEnding, BackfillReport, Repair, RootFailure, ended
from tailrace.service.encoding import json_of

RUN_ID = "backfill__2016-01-02T00:00:00+00:00"
COMMAND = BackfillCommand("etl", "2016-01-01", "2016-01-03")


def report_json(report: BackfillReport) -> dict[str, Any]:
    return dict(json.loads(json_of(ended(report, command_of))))


def report(state: BackfillEnding, code: int, **more: object) -> BackfillReport:
    return BackfillReport(
        backfill_id=7,
        dag_id="etl",
        state=state,
        exit_code=code,
        runs={"success": 2, "failed": 1},
        task_instances={"success": 17, "failed": 1},
        seconds=0.4123,
        **more,  # type: ignore[arg-type]
    )


def failed(log: Path | None, **more: object) -> BackfillReport:
    key = TryKey(TaskInstanceKey("etl", RUN_ID, "load"), 2)
    root = RootFailure(key, "failed", "exit code 3", None if log is None else str(log))
    return report(BackfillEnding.FAILED, 1, root_failure=root, **more)


def blocker(dependency: str, reason: str) -> Blocker:
    key = TaskInstanceKey("etl", RUN_ID, "load")
    return Blocker(key, TaskInstanceState.NONE, (DependencyStatus(Dependency(dependency), False, Sentence(reason)),))


def test_json_of_success() -> None:
    answer = report_json(report(BackfillEnding.SUCCESS, 0))
    assert answer == {
        "schema": 1,
        "backfill_id": 7,
        "dag_id": "etl",
        "state": "success",
        "runs": {"success": 2, "failed": 1},
        "task_instances": {"success": 17, "failed": 1},
        "seconds": 0.41,
        "blocked": [],
        "failed_tasks": {},
        "upstream_failed_tasks": {},
        "failures": [],
        "root_failure": None,
    }
    assert list(answer)[:8] == [
        *("schema", "backfill_id", "dag_id", "state", "runs", "task_instances", "seconds", "blocked")
    ]


def test_json_of_what_is_blocked() -> None:
    answer = report_json(report(BackfillEnding.DEADLOCKED, 3, blocked=(blocker("Trigger Rule", "never"),)))
    assert answer["blocked"] == [
        {
            "task_instance": {"dag_id": "etl", "run_id": RUN_ID, "task_id": "load", "map_index": -1},
            "state": "none",
            "reasons": [
                {
                    "dependency": "Trigger Rule",
                    "reason": "never",
                    "code": "sentence",
                    "fields": {"sentence": "never"},
                }
            ],
        }
    ]


def test_failure_leads_with_the_root_its_log_and_ends_with_the_repair(tmp_path: Path) -> None:
    log = tmp_path / "2.log"
    log.write_text("".join(f"line {n}\n" for n in range(40)))
    lines = summary(failed(log), COMMAND, {"dags": "my dags"}).splitlines()
    assert lines[0] == f"load of {RUN_ID} failed: exit code 3"
    assert lines[1] == f"last lines of its log, {log}:"
    assert lines[2:12] == [f"  | line {n}" for n in range(30, 40)]
    assert lines[12] == (
        "backfill 7 of etl: failed in 0.41 s: 3 runs (2 success, 1 failed), task instances: 17 success, 1 failed"
    )
    assert lines[13:15] == ["whole log:", "  tailrace tasks logs etl load 2016-01-02T00:00Z"]
    assert lines[-1] == ("  tailrace backfill etl -s 2016-01-01 -e 2016-01-03 --reprocess failed --dags 'my dags'")


def test_the_root_failure_is_said_whole_at_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.cli.summary.columns_of", lambda stream: 80)
    reason = "ValueError: no such table: orders"
    key = TryKey(TaskInstanceKey("etl", "scheduled__2015-12-20T00:00:00+00:00", "load"), 1)
    root = RootFailure(key, "failed", reason, is_own=False, repair=Repair(datetime(2015, 12, 20, tzinfo=UTC)))
    lines = summary(report(BackfillEnding.FAILED, 1, root_failure=root), COMMAND, {}).splitlines()
    assert lines[:2] == [f"before this range: load of {key.task_instance.run_id} failed", f"    {reason}"]


def test_failure_whose_log_is_gone(tmp_path: Path) -> None:
    text = summary(failed(tmp_path / "gone.log"), COMMAND, {})
    assert "last lines" not in text and "--reprocess failed" in text


def before(repair: Repair) -> BackfillReport:
    key = TryKey(TaskInstanceKey("etl", "scheduled__2015-12-20T00:00:00+00:00", "load"), 1)
    root = RootFailure(key, "failed", "x", is_own=False, repair=repair)
    return report(BackfillEnding.DEADLOCKED, 3, root_failure=root)


def test_root_failure_before_the_range_is_reached_by_the_repair() -> None:
    deadlocked = before(Repair(datetime(2015, 12, 20, tzinfo=UTC)))
    text = summary(deadlocked, COMMAND, {})
    assert text.startswith("before this range: load of scheduled__2015-12-20T00:00:00+00:00 failed: x\n")
    assert text.endswith("\n  tailrace backfill etl -s 2015-12-20T00:00:00+00:00 -e 2016-01-03 --reprocess failed")
    one = BackfillCommand("etl", "2016-01-01")
    assert summary(deadlocked, one, {}).endswith(" -s 2015-12-20T00:00:00+00:00 -e 2016-01-01 --reprocess failed")


def test_dates_that_nobody_asked_for_are_left_out_of_the_repair() -> None:
    dates = (datetime(2015, 12, 20, tzinfo=UTC), datetime(2015, 12, 24, tzinfo=UTC))
    assert summary(before(Repair(dates[0], dates)), COMMAND, {"workers": 3}).splitlines()[-3:] == [
        "  tailrace backfill etl -s 2015-12-20T00:00:00+00:00 --reprocess failed --workers 3",
        "  tailrace backfill etl -s 2015-12-24T00:00:00+00:00 --reprocess failed --workers 3",
        "  tailrace backfill etl -s 2016-01-01 -e 2016-01-03 --reprocess failed --workers 3",
    ]


def test_all_failures_are_said_by_task_and_error_and_what_lists_them() -> None:
    first, last = datetime(2016, 1, 1, tzinfo=UTC), datetime(2016, 1, 3, 6, tzinfo=UTC)
    groups = (Failed("load", "no table", 118, first, last), Failed("a", "row 1 is wrong " * 40, 2, last, last))
    more = report(BackfillEnding.FAILED, 1, failures=groups, failed=FailedTasks({"load": 118, "a": 2}))
    lines = summary(more, COMMAND, {}).splitlines()
    at = lines.index("120 task instances of 2 tasks failed:")
    assert lines[at + 1] == "  118 × load  2016-01-01 to 2016-01-03T06:00Z  no table"
    assert lines[at + 2].startswith("    2 × a     2016-01-03T06:00Z                row 1 is wrong")
    assert lines[at + 2].endswith("…") and max(map(len, lines)) == 300
    assert lines[at + 4] == "  tailrace tasks list --state failed etl -s 2016-01-01 -e 2016-01-03 --limit 120"
    many = tuple(Failed(f"t{n}", "x", 2, first, last) for n in range(80))
    counted = FailedTasks({group.task_id: 2 for group in many})
    text = summary(report(BackfillEnding.FAILED, 1, failures=many, failed=counted), COMMAND, {})
    assert "\n160 task instances of 80 tasks failed:\n" in text
    assert "\n  and 30 more kinds, 60 task instances\n" in text
    assert " --state failed etl -s 2016-01-01 -e 2016-01-03 --limit 160\n" in text
    assert len(report_json(more)["failures"]) == 2


def test_a_pool_that_is_too_small_is_repaired_by_a_larger_pool() -> None:
    why = "The task needs 3 slots and pool 'small' has 2 in all."
    text = summary(report(BackfillEnding.DEADLOCKED, 3, blocked=(blocker("Pool Slots Available", why),)), COMMAND, {})
    assert "1 task instance can never run:" in text
    assert f"{why}; make it larger with `tailrace pools set`" in text


def test_failures_left_alone_are_named() -> None:
    text = summary(report(BackfillEnding.FAILED, 1, left_failed=2), COMMAND, {})
    assert "2 runs had failed before and stayed so" in text
    assert "--reprocess failed" in text


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (BackfillEnding.INTERRUPTED, "the same command continues it:"),
        (BackfillEnding.PAUSED, "the same command continues it:"),
        (BackfillEnding.RUNNING, "the same command goes on with it:"),
        (BackfillEnding.CANCELLED, "the same command does what was left:"),
    ],
)
def test_every_other_ending_says_what_goes_on(state: BackfillEnding, says: str) -> None:
    text = summary(report(state, 6), COMMAND, {})
    assert says in text
    assert "tailrace backfill etl -s 2016-01-01 -e 2016-01-03" in text.splitlines()[-1]


def test_success_is_one_line() -> None:
    assert len(summary(report(BackfillEnding.SUCCESS, 0), COMMAND, {}).splitlines()) == 1


INSIDE = FailedTasks({"t0": 1, "t1": 3}, {"x": 1})


def test_a_success_with_failures_inside_reports_it_and_how_to_run_them_again() -> None:
    done = report(BackfillEnding.SUCCESS, 0, failed=INSIDE, failed_inside=INSIDE)
    lines = summary(done, COMMAND, {"fail_on_task_failure": None}).splitlines()
    assert lines[0].startswith("backfill 7 of etl: success, 4 tasks failed inside, 1 task upstream_failed in 0.41 s: ")
    assert lines[1] == "failed inside: t0, t1 (3); upstream_failed: x (a run is judged by its last tasks)"
    assert lines[-1] == "  tailrace backfill etl -s 2016-01-01 -e 2016-01-03 --reprocess failed"
    answer = report_json(done)
    assert (answer["failed_tasks"], answer["upstream_failed_tasks"]) == ({"t0": 1, "t1": 3}, {"x": 1})


@pytest.mark.parametrize(("typed", "option"), [(True, "--fail-on-task-failure"), (False, "--no-fail-on-task-failure")])
def test_an_exit_code_for_failures_inside_is_explained(typed: bool, option: str) -> None:
    done = report(BackfillEnding.SUCCESS, int(typed), failed=INSIDE, failed_inside=INSIDE)
    text = summary(done, COMMAND, {"fail_on_task_failure": typed})
    assert ("exit code 1 for that, as fail_on_task_failure asks" in text) is typed
    assert text.endswith(f"--reprocess failed {option}")


def test_failures_inside_are_reported_beside_runs_that_failed() -> None:
    text = summary(report(BackfillEnding.FAILED, 1, failed=INSIDE, failed_inside=INSIDE), COMMAND, {})
    assert "\nin runs that succeeded, 4 tasks failed inside: t0, t1 (3); 1 task upstream_failed: x\n" in text


def test_log_tail_of_a_long_log_without_line_ends(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"\xff" * 1_000_000)
    [line] = log_tail(log)
    assert len(line) == 65_536


def test_log_tail_is_without_the_colours_of_its_log(tmp_path: Path) -> None:
    """They stood there as ``\\x1b[31m``: what others wrote steers no terminal."""
    log = tmp_path / "x.log"
    log.write_text("\x1b[1;31mno such host\x1b[0m\n")
    assert log_tail(log) == ["no such host"]


def test_command_line_repeats_every_option_but_new() -> None:
    command = BackfillCommand(
        dag_id="etl",
        start="2016-01-01",
        reprocess=Reprocess.ALL,
        new=True,
        max_active_runs=2,
        pool="p",
        backwards=True,
        stop_on_failure=True,
        disable_retry=True,
        mark_success=True,
        ignore_first_depends_on_past=True,
        conf='{"a":1}',
    )
    assert command_line(command, {"workers": 3, "dags": None}) == (
        "tailrace backfill etl -s 2016-01-01 --reprocess all --max-active-runs 2 --pool p --backwards "
        "--stop-on-failure --disable-retry --mark-success --ignore-first-depends-on-past --conf '{\"a\":1}' "
        "--workers 3"
    )
