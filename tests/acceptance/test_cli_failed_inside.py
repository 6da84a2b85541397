"""A run whose last tasks succeed is a success, and what failed inside of it is said wherever the run is shown."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.conftest import answer

Run = Callable[..., subprocess.CompletedProcess[str]]

SYNC = """
from datetime import datetime
from tailrace import DAG, BashOperator, EmptyOperator

with DAG("sync", schedule="@daily", start_date=datetime(2024, 1, 1)):
    done = EmptyOperator(task_id="done", trigger_rule="all_done")
    for i in range(4):
        BashOperator(task_id=f"t{i}", bash_command="exit {{ 1 if dag_run.conf.get('breaks', True) else 0 }}") >> done
"""
RANGE = ("backfill", "sync", "-s", "2024-01-01", "-e", "2024-01-02")
INSIDE = {"t0": 2, "t1": 2, "t2": 2, "t3": 2}
SAID = "8 tasks failed inside: t0 (2), t1 (2), t2 (2), t3 (2)"


@pytest.fixture
def sync(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "sync.py").write_text(SYNC)


@pytest.mark.usefixtures("sync")
def test_it_is_reported_in_the_summary_in_every_list_and_as_json(tailrace: Run) -> None:
    done = tailrace(*RANGE)
    assert done.returncode == 0
    first, names, *_, repair = done.stdout.splitlines()
    assert first.startswith("backfill 1 of sync: success, 8 tasks failed inside in ")
    assert names.startswith("failed inside: t0 (2), t1 (2), t2 (2), t3 (2) ")
    assert repair == f"  tailrace {' '.join(RANGE)} --reprocess failed"
    assert answer(tailrace(*RANGE, "-o", "json"))["failed_tasks"] == INSIDE
    assert SAID in tailrace("backfill", "list").stdout
    assert answer(tailrace("backfill", "list", "-o", "json"))[0]["failed_tasks"] == INSIDE
    assert f"success, {SAID}" in tailrace("backfill", "show", "1").stdout
    assert answer(tailrace("backfill", "show", "1", "-o", "json"))["failed_tasks"] == INSIDE
    assert tailrace("runs", "list").stdout.count("4 tasks failed inside: t0, t1, t2, t3") == 2
    one = dict.fromkeys(INSIDE, 1)
    assert [run["failed_tasks"] for run in answer(tailrace("runs", "list", "-o", "json"))] == [one, one]
    assert "success, 4 tasks failed inside: t0, t1, t2, t3" in tailrace("runs", "show", "sync", "2024-01-01").stdout
    assert answer(tailrace("runs", "show", "sync", "2024-01-01", "-o", "json"))["failed_tasks"] == one
    preview = tailrace(*RANGE, "-n").stdout
    assert "its run is success already, 4 tasks failed inside: t0, t1, t2, t3" in preview
    mended = tailrace(*repair.split()[1:], "--conf", '{"breaks": false}')
    assert mended.returncode == 0
    assert mended.stdout.count("\n") == 1 and "inside" not in mended.stdout


@pytest.mark.usefixtures("sync")
@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_it_is_exit_code_1_where_that_is_asked_for(tailrace: Run, tmp_path: Path, how: str) -> None:
    option = ("--fail-on-task-failure",) if how == "option" else ()
    environment = {"TAILRACE_FAIL_ON_TASK_FAILURE": "true"} if how == "variable" else {}
    if how == "file":
        (tmp_path / "tailrace.toml").write_text("fail_on_task_failure = true\n")
    first = tailrace(*RANGE, *option, "-q", **environment)
    assert first.returncode == 1
    assert "exit code 1 for that, as fail_on_task_failure asks" in first.stdout
    again = tailrace(*RANGE, *option, "-o", "json", **environment)
    assert answer(again, 1)["state"] == "success", "there is nothing to do, and what failed inside still failed"
    assert tailrace(*RANGE, "--no-fail-on-task-failure", **environment).returncode == 0
    mended = tailrace(*RANGE, *option, "--reprocess", "failed", "--conf", '{"breaks": false}', **environment)
    assert mended.returncode == 0, mended.stdout
    assert tailrace(*RANGE, *option, **environment).returncode == 0


@pytest.mark.usefixtures("sync")
def test_it_does_not_make_another_backfill(tailrace: Run) -> None:
    detached = tailrace(*RANGE, "--detach", "--fail-on-task-failure")
    assert detached.returncode == 0
    assert "nothing has run yet: --fail-on-task-failure counts where this is driven to its end" in detached.stderr
    continued = tailrace(*RANGE, "--fail-on-task-failure", "-o", "json")
    assert answer(continued, 1)["backfill_id"] == 1


@pytest.mark.usefixtures("sync")
def test_a_scheduler_says_it_of_runs_and_of_backfills(tailrace: Run) -> None:
    assert tailrace(*RANGE, "--detach").returncode == 0
    done = tailrace("scheduler", "--until-idle")
    assert done.returncode == 0
    said = "sync / backfill__2024-01-02T00:00:00+00:00 success, 4 tasks failed inside: t0, t1, t2, t3"
    assert said in done.stderr
    assert f"backfill 1 of sync: success, {SAID}" in done.stderr
