"""Params reach templates and functions, and a conf that does not fit them is refused before anything is written."""

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Run

DAGS = """
import json
from datetime import datetime
from tailrace import DAG, BashOperator, Param, task

with DAG("load", schedule="@daily", start_date=datetime(2024, 1, 1), params={
    "table": Param("orders", type="string"), "rows": Param(5, type="integer", minimum=1),
}):
    shell = "echo {{ params.table }} {{ params.rows }} {{ params.own }}"
    BashOperator(task_id="shell", bash_command=shell, params={"own": "mine"})

    @task
    def called(params, dag_run):
        assert json.loads(json.dumps([params, dag_run.conf])) == [params, dag_run.conf]
        return [params["table"], params["rows"], params.get("own"), params.get("extra")]

    called()

with DAG("asked", start_date=datetime(2024, 1, 1), params={"table": Param(type="string")}):
    BashOperator(task_id="shell", bash_command="echo {{ params.table }}")
"""


@pytest.fixture
def dags(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAGS)


def returned(tailrace: Run, task_id: str, run: str) -> object:
    got = tailrace("xcom", "get", "load", task_id, run, "-o", "json")
    assert got.returncode == 0, got.stderr
    return json.loads(got.stdout)


def test_a_run_has_the_defaults_and_over_them_its_conf(tailrace: Run, dags: None) -> None:
    assert tailrace("backfill", "load", "-s", "2024-01-01", "-e", "2024-01-01", "-q").returncode == 0
    assert returned(tailrace, "shell", "2024-01-01") == "orders 5 mine"
    assert returned(tailrace, "called", "2024-01-01") == ["orders", 5, None, None]
    conf = '{"rows": 7, "own": "theirs", "extra": null}'
    assert tailrace("backfill", "load", "-s", "2024-01-02", "-e", "2024-01-02", "--conf", conf, "-q").returncode == 0
    assert returned(tailrace, "shell", "2024-01-02") == "orders 7 theirs"
    assert returned(tailrace, "called", "2024-01-02") == ["orders", 7, "theirs", None]
    rendered = tailrace("tasks", "render", "load", "shell", "2024-01-02")
    assert "echo orders 7 theirs" in rendered.stdout, rendered.stderr


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ("backfill", "load", "-s", "2024-01-01", "-e", "2024-01-01", "--conf", '{"rows": 0}'),
            "error: a run of load needs other params: param 'rows': 0 is less than the minimum of 1\n",
        ),
        (
            ("backfill", "load", "-s", "2024-01-01", "-e", "2024-01-01", "-n", "--conf", '{"table": 3}'),
            "error: a run of load needs other params: param 'table': 3 is not of type 'string'\n",
        ),
        (
            ("dags", "trigger", "asked"),
            "error: a run of asked needs other params: param 'table' has no default: "
            "give it with --conf '{\"table\": …}'\n",
        ),
        (
            ("backfill", "asked", "-s", "2024-01-01", "-e", "2024-01-01", "--detach"),
            "error: a run of asked needs other params: param 'table' has no default: "
            "give it with --conf '{\"table\": …}'\n",
        ),
    ],
)
def test_a_conf_that_does_not_fit_makes_no_run(tailrace: Run, dags: None, typed: tuple[str, ...], said: str) -> None:
    refused = tailrace(*typed)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", said)
    listed = tailrace("runs", "list", "-o", "json")
    assert listed.returncode != 0 or json.loads(listed.stdout) == [], listed.stdout


def test_a_triggered_run_is_given_what_it_must_have(tailrace: Run, dags: None) -> None:
    assert tailrace("dags", "trigger", "asked", "--run-id", "first", "--conf", '{"table": "orders"}').returncode == 0
    assert tailrace("scheduler", "--until-idle").returncode == 0
    assert "orders" in tailrace("tasks", "logs", "asked", "shell", "first").stdout


NATIVE = """
from datetime import datetime
from tailrace import DAG, BashOperator, task

with DAG(
    "native",
    start_date=datetime(2024, 1, 1),
    render_template_as_native_obj=True,
    params={"ids": [1, 2]},
    user_defined_filters={"twice": lambda value: value * 2},
):
    @task
    def given(ids, day, text):
        return [ids, day, text]

    given("{{ params.ids | twice }}", "{{ logical_date }}", "{{ ds }}") >> BashOperator(
        task_id="shell", bash_command="echo {{ params.ids | twice }}", render_template_as_native_obj=False
    )
"""


def test_templates_that_give_values_and_filters_of_the_dags_own(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "native.py").write_text(NATIVE)
    assert tailrace("dags", "trigger", "native", "--logical-date", "2024-01-02").returncode == 0
    assert tailrace("scheduler", "--until-idle").returncode == 0

    def got(task_id: str) -> object:
        return json.loads(tailrace("xcom", "get", "native", task_id, "2024-01-02", "-o", "json").stdout)

    assert got("given") == [[1, 2, 1, 2], "2024-01-02T00:00:00+00:00", "2024-01-02"]
    assert got("shell") == "[1, 2, 1, 2]"
