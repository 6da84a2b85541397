"""A DAG with task groups, as a user has it: it runs like the flat one, and commands mean all tasks of a group."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run, asked

DAGS = """
from datetime import datetime
from tailrace import DAG, BashOperator, EmptyOperator, Label, TaskGroup, task, task_group

with DAG("grouped", schedule="@daily", start_date=datetime(2024, 1, 1)):
    with TaskGroup("extract") as extract:
        north = BashOperator(task_id="north", bash_command="echo {{ ti.task_id }}")
        with TaskGroup("deep"):
            south = BashOperator(task_id="south", bash_command="echo {{ ti.xcom_pull(task_ids='extract.north') }}!")
        north >> south

    @task.branch
    def choose():
        return "right"

    @task
    def put(value, ti):
        return [value, ti.task_id, ti.xcom_pull(task_ids="extract.deep.south")]

    @task_group
    def right(value):
        put(value) >> put("again")

    @task_group
    def left():
        put("never")

    nothing = TaskGroup("nothing")
    end = EmptyOperator(task_id="end", trigger_rule="none_failed_min_one_success")
    extract >> Label("read") >> choose() >> [right(north.output), left()] >> nothing >> end
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAGS)
    return tmp_path


def states(tailrace: Run, *words: str) -> dict[str, str]:
    listed = asked(tailrace, "tasks", "list", "grouped", "-s", "2024-01-01", "-e", "2024-01-01", *words)
    return {each["task_id"]: each["state"] for each in listed}


def test_a_grouped_dag_runs_like_the_flat_one(tailrace: Run, project: Path) -> None:
    checked = tailrace("dags", "check")
    assert checked.stdout.count("note:") == 1, checked.stdout
    assert "task group nothing is empty: relations go through it" in checked.stdout
    done = tailrace("backfill", "grouped", "-s", "2024-01-01", "-e", "2024-01-02")
    assert done.returncode == 0, done.stderr
    succeeded = ["choose", "end", "extract.deep.south", "extract.north", "right.put", "right.put__1"]
    assert states(tailrace, "--state", "success") == dict.fromkeys(succeeded, "success")
    assert states(tailrace, "--task", "left") == {"left.put": "skipped"}
    put = tailrace("xcom", "get", "grouped", "right.put", "2024-01-01")
    assert json.loads(put.stdout) == ["extract.north", "right.put", "extract.north!"]


def test_commands_take_groups_and_patterns(tailrace: Run, project: Path) -> None:
    assert tailrace("backfill", "grouped", "-s", "2024-01-01", "-q").returncode == 0
    cleared = asked(tailrace, "tasks", "clear", "grouped", "extract", "2024-01-01", "--only", "-n")
    assert [each["task_id"] for each in cleared["task_instances"]] == ["extract.north", "extract.deep.south"]
    marked = asked(tailrace, "tasks", "mark", "grouped", "right.*", "2024-01-01", "--state", "failed", "-y")
    assert [each["task_id"] for each in marked["task_instances"]] == ["right.put", "right.put__1"]
    assert states(tailrace, "--task", "right", "--task", "e?d") == {
        "right.put": "failed",
        "right.put__1": "failed",
        "end": "success",
    }
    explained = asked(tailrace, "runs", "explain", "grouped", "2024-01-01", "--task", "extract.d*", "--task", "left")
    assert [each["task_id"] for each in explained["task_instances"]] == ["extract.deep.south", "left.put"]
    explained = asked(tailrace, "tasks", "explain", "grouped", "left", "2024-01-01")
    assert [each["task_id"] for each in explained] == ["left.put"]
    for words in (
        ("tasks", "clear", "grouped", "north", "2024-01-01"),
        ("tasks", "list", "grouped", "--task", "north"),
        ("runs", "explain", "grouped", "2024-01-01", "--task", "north"),
        ("tasks", "explain", "grouped", "north", "2024-01-01"),
    ):
        refused = tailrace(*words)
        assert refused.returncode == 2
        assert "extract.north" in refused.stderr, refused.stderr
        assert refused.stderr.count("\n") == 1
