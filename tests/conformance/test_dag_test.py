"""``DAG.test``: a run in this process, by the real loops, over a metastore that is thrown away."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tailrace import (
    DAG,
    BashOperator,
    EmptyOperator,
    Param,
    PythonOperator,
    ShortCircuitOperator,
    TriggerRule,
    Variable,
    task,
)
from tailrace.authoring.loading.load import load_dags
from tailrace.errors import AuthoringError, CommandError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is nobody's project, and a place for temporary files that must be empty again."""
    monkeypatch.chdir(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    yield tmp_path
    assert not list(scratch.iterdir())
    DAG.collect()


def python(task_id: str, does: Any, **arguments: Any) -> PythonOperator:
    return PythonOperator(task_id=task_id, python_callable=does, **arguments)


def test_the_planner_decides_and_the_tasks_run_here() -> None:
    seen: list[tuple[str, int]] = []

    @task
    def lengths(ds: str, params: dict[str, int]) -> list[int]:
        seen.append((ds, os.getpid()))
        return list(range(params["n"]))

    @task
    def double(x: int) -> int:
        return 2 * x

    with DAG("dag", schedule="@daily", start_date=datetime(2024, 1, 1), params={"n": Param(2, type="integer")}) as dag:
        doubled = double.expand(x=lengths())
        python("sum", lambda ti: sum(ti.xcom_pull(task_ids="double")), depends_on_past=True) << doubled

    run = dag.test(datetime(2024, 2, 1), {"n": 3})
    assert (run.state, run.logical_date, seen) == (
        "success",
        datetime(2024, 2, 1, tzinfo=UTC),
        [("2024-02-01", os.getpid())],
    )
    assert [run.xcom("double", map_index=index) for index in range(3)] == [0, 2, 4]
    assert run.xcom("sum") == 6 and run.xcom("sum", "other") is None
    assert dag.test("2024-02-02").xcom("sum") == 2, "it may be called again"
    with pytest.raises(KeyError, match="has no task 'double'"):
        run.get_task_instance("double")


def test_tasks_may_ask_what_is_recorded_of_the_run() -> None:
    def asks(ti: Any, dag_run: Any) -> list[Any]:
        return [ti.get_task_states("dag")[ti.run_id], dag_run.get_previous_dagrun(), ti.get_dr_count("dag")]

    with DAG("dag", schedule=None) as dag:
        EmptyOperator(task_id="first") >> python("asks", asks)
    run = dag.test()
    assert run.state == "success"
    assert run.xcom("asks") == [{"first": "success", "asks": "running"}, None, 1]


def test_the_callbacks_of_a_run_know_its_state() -> None:
    seen: list[Any] = []

    def note(context: Any) -> None:
        seen.append((context["dag_run"].get_state(), context["ti"].get_dagrun().state))

    def fail() -> None:
        raise ValueError("no")

    with DAG("dag", schedule=None, on_failure_callback=note) as dag:
        python("fails", fail)
    assert dag.test().state == "failed"
    assert seen == [("failed", "failed")]


def test_a_failure_is_final_and_what_follows_is_as_in_any_run() -> None:
    def fail() -> None:
        raise ValueError("no")

    with DAG("dag", schedule=None, default_args={"retries": 3}) as dag:
        python("fails", fail, pool="of none", pool_slots=9) >> EmptyOperator(task_id="after")
        ShortCircuitOperator(task_id="off", python_callable=lambda: False) >> EmptyOperator(task_id="skipped")
        EmptyOperator(task_id="always", trigger_rule=TriggerRule.ALL_DONE) << dag.get_task("fails")
        python("exits", lambda: sys.exit(3))
    run = dag.test()
    states = {each.task_id: each.state for each in run.task_instances}
    assert run.state == "failed"
    assert states == {
        "fails": "failed",
        "after": "upstream_failed",
        "off": "success",
        "skipped": "skipped",
        "always": "success",
        "exits": "failed",
    }
    assert run.get_task_instance("fails").reason == "ValueError: no"
    marked = dag.test(mark_success_pattern="^(fails|exits)$")
    assert marked.state == "success" and "marked" in marked.get_task_instance("fails").reason


def test_variables_are_those_of_the_project_and_what_is_set_is_thrown_away(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change() -> list[str]:
        Variable.set("set", "by the task")
        return [Variable.get("env"), Variable.get("filed"), Variable.get("set")]

    with DAG("dag", schedule=None) as dag:
        first = python("first", change)
        BashOperator(task_id="second", bash_command="echo {{ var.value.set }} $TAILRACE_TASK_ID") << first
    monkeypatch.setenv("AIRFLOW_VAR_ENV", "1")
    (project / "given.json").write_text('{"filed": {"a": 1}}')
    run = dag.test(variable_file_path="given.json")
    assert run.xcom("first") == ["1", '{"a": 1}', "by the task"]
    assert run.xcom("second") == "by the task second"
    assert not {name for name in os.environ if name.startswith("TAILRACE_TASK") or name == "TAILRACE_VAR_FILED"}
    assert Variable.get("set", None) is None and list(project.iterdir()) == [
        project / "given.json",
        project / "scratch",
    ]


@pytest.mark.parametrize("ends", [KeyboardInterrupt])
def test_ctrl_c_ends_all_of_it(ends: type[BaseException]) -> None:
    def interrupted() -> None:
        raise ends

    with DAG("dag", schedule=None) as dag:
        python("a", interrupted) >> EmptyOperator(task_id="b", trigger_rule="all_done")
    with pytest.raises(ends):
        dag.test()


def test_what_a_task_forks_ends_with_its_function() -> None:
    def fork() -> int:
        if (pid := os.fork()) == 0:
            raise RuntimeError("in the child")
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    with DAG("dag", schedule=None) as dag:
        python("forks", fork)
    assert dag.test().xcom("forks") == 1


def test_what_cannot_be_run_is_said_in_one_line(project: Path) -> None:
    with DAG("dag", schedule=None, params={"n": Param(1, type="integer")}) as dag:
        EmptyOperator(task_id="a")
        with pytest.raises(AuthoringError, match=r"^dag\.test\(\) is called inside its own `with` block"):
            dag.test()
    for wrong, says in (
        ({"logical_date": "yesterdy"}, "not a date: 'yesterdy'"),
        ({"run_conf": {"n": "x"}}, "a run of dag needs other params: "),
        ({"run_conf": {"n": object()}}, "run_conf must be JSON"),
        ({"run_conf": [1]}, "must be a JSON object"),
        ({"mark_success_pattern": "("}, "mark_success_pattern is no regular expression"),
        ({"variable_file_path": "none.json"}, "none.json cannot be read"),
    ):
        with pytest.raises(CommandError, match=says) as raised:
            dag.test(**wrong)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value)
    with dag:
        EmptyOperator(task_id="a")
    with pytest.raises(AuthoringError, match="duplicate task_id 'a'"):
        dag.test()


def test_it_does_not_run_as_the_file_is_loaded(project: Path) -> None:
    (project / "dags").mkdir()
    (project / "dags" / "a.py").write_text("from tailrace import DAG\nDAG('a', schedule=None).test()\n")
    [mistake] = load_dags(project / "dags").mistakes
    assert mistake.line == 2 and 'put it below `if __name__ == "__main__":`' in mistake.message
