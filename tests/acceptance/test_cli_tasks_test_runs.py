"""``tasks test`` and ``tasks render``: for a run that is recorded, with its XComs and conf; what is missing is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tailrace.metastore.store import Metastore
from tests.acceptance.conftest import Run
from tests.conformance.test_reading import selecting_role

DAG = """
import os
from datetime import datetime
from tailrace import DAG, BashOperator, task

with DAG("par", schedule="@daily", start_date=datetime(2024, 1, 1)):
    @task
    def a():
        return {"k": 1}

    @task
    def b(value, ti=None, dag_run=None):
        print("got", value, dag_run.conf, dag_run.run_id)
        print("own", ti.xcom_pull(task_ids="b"))
        print("of another run", ti.xcom_pull(task_ids="a", run_id="backfill__2024-01-02T00:00:00+00:00"))
        return value

    @task
    def many(ti=None):
        print(ti.xcom_pull(task_ids=[f"t{n}" for n in range(50)]))

    @task
    def in_a_thread(ti=None):
        import threading
        thread = threading.Thread(target=lambda: print("thread got", ti.xcom_pull(task_ids="a")))
        thread.start()
        thread.join()

    @task
    def twice(ti=None):
        os.closerange(3, 256)
        ti.xcom_pull(task_ids="a")

    b(a())
    many()
    in_a_thread()
    twice()
    BashOperator(task_id="shell", bash_command="echo {{ ds }} {{ ti.xcom_pull('a')['k'] }}",
                 env={"CONF": "{{ dag_run.conf.get('x') }}"})
    BashOperator(task_id="broken", bash_command="echo {{ ti.xcom_pull('many').thing }}")
"""
RUN = "backfill__2024-01-01T00:00:00+00:00"


@pytest.fixture
def typed(tailrace: Run, tmp_path: Path) -> Run:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "par.py").write_text(DAG)
    return tailrace


def backfilled(typed: Run, *more: str, **environment: Any) -> None:
    done = typed("backfill", "par", "-s", "2024-01-01", "-e", "2024-01-02", "-q", *more, **environment)
    assert done.returncode in (0, 1), done.stderr


@pytest.mark.parametrize("run", ["2024-01-01", "2024-01-01T00:00", RUN])
def test_what_the_run_recorded_is_pulled(typed: Run, tmp_path: Path, run: str) -> None:
    backfilled(typed, "--conf", '{"x": 5}')
    done = typed("tasks", "test", "par", "b", run)
    assert done.returncode == 0, done.stderr
    assert f"got {{'k': 1}} {{'x': 5}} {RUN}\n" in done.stdout
    assert "own None\n" in done.stdout, "a try begins without what an earlier one left"
    assert "of another run {'k': 1}\n" in done.stdout
    assert "missing" not in done.stderr
    assert sorted(path.name for path in (tmp_path / ".tailrace").iterdir()) == ["logs", "tailrace.db"]


def test_a_role_that_may_select_is_enough(typed: Run, postgres_server: Any) -> None:
    url = postgres_server.new_database()
    Metastore.open(url).close()
    backfilled(typed, TAILRACE_DATABASE_URL=url)
    done = typed("tasks", "test", "par", "b", "2024-01-01", TAILRACE_DATABASE_URL=selecting_role(url))
    assert "got {'k': 1}" in done.stdout, done.stderr


def test_what_is_missing_is_said_in_a_line(typed: Run, tmp_path: Path) -> None:
    done = typed("tasks", "test", "par", "b", "2024-01-01")
    assert (done.returncode, "got None {}" in done.stdout) == (0, True)
    said = (
        "note: missing XComs: return_value of a; return_value of a in backfill__2024-01-02T00:00:00+00:00: "
        "par has no run of 2024-01-01T00:00+00:00; "
    )
    assert said + "`tailrace backfill par -s 2024-01-01T00:00+00:00` makes one\n" in done.stderr
    assert not (tmp_path / ".tailrace").exists()
    backfilled(typed)
    [said] = [line for line in typed("tasks", "test", "par", "many", RUN).stderr.splitlines() if "missing" in line]
    assert said == (
        f"note: missing XComs: return_value of t0, t1, t2 and 47 more: {RUN} has not recorded them; "
        f"`tailrace runs explain par {RUN}` says what it did"
    )


def test_it_is_pulled_in_threads_and_not_where_the_task_has_closed_all(typed: Run) -> None:
    backfilled(typed)
    assert "thread got {'k': 1}" in typed("tasks", "test", "par", "in_a_thread", RUN).stdout
    closed = typed("tasks", "test", "par", "twice", RUN)
    assert closed.returncode == 1
    assert "closed the connection to its worker" in closed.stderr + closed.stdout


def test_a_metastore_that_cannot_be_read_is_said(typed: Run, tmp_path: Path) -> None:
    (tmp_path / ".tailrace").mkdir()
    (tmp_path / ".tailrace" / "tailrace.db").write_text("no database at all, but some text that is long enough" * 20)
    done = typed("tasks", "test", "par", "b", "2024-01-01")
    assert done.returncode == 0, done.stderr
    assert "note: what runs have recorded cannot be read: metastore " in done.stderr
    assert "got None" in done.stdout


def test_templates_are_rendered_and_nothing_runs(typed: Run, backfill: Callable[..., dict[str, Any]]) -> None:
    backfilled(typed, "--conf", '{"x": 5}')
    done = typed("tasks", "render", "par", "shell", "2024-01-01")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == '# bash_command\necho 2024-01-01 1\n# env\n{\n  "CONF": "5"\n}\n'
    shown = json.loads(typed("tasks", "render", "par", "shell", RUN, "-o", "json").stdout)
    assert shown["bash_command"] == "echo 2024-01-01 1"
    python = json.loads(typed("tasks", "render", "par", "b", RUN, "-o", "json").stdout)
    assert python["op_args"] == [{"k": 1}]


def test_what_cannot_be_rendered_is_a_line(typed: Run) -> None:
    done = typed("tasks", "render", "par", "broken", "2024-01-01")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: broken @ 2024-01-01T00:00+00:00: failed: " in done.stderr
    assert "'None' has no attribute 'thing'" in done.stderr
    assert "no task 'shel' in DAG par; did you mean shell?" in typed("tasks", "render", "par", "shel", "x").stderr


def test_a_day_of_several_runs_is_no_run(tailrace: Run, tmp_path: Path) -> None:
    """And what makes a run is named where that can: a backfill only of points of the schedule."""
    (tmp_path / "dags").mkdir(exist_ok=True)
    (tmp_path / "dags" / "two.py").write_text(
        "from datetime import datetime\nfrom tailrace import DAG, task\n"
        'with DAG("two", schedule="0 6,18 * * *", start_date=datetime(2024, 1, 1)):\n'
        "    @task\n    def pulls(ti=None):\n        ti.xcom_pull(task_ids='gone', run_id='another')\n"
        "    pulls()\n"
    )
    assert tailrace("backfill", "two", "-s", "2024-01-01").returncode in (0, 1)
    for words in (("tasks", "test", "two", "pulls"), ("tasks", "render", "two", "pulls"), ("runs", "show", "two")):
        done = tailrace(*words, "2024-01-01")
        assert done.returncode == 2 and "2024-01-01 is the day of several runs of two: " in done.stderr, done.stderr
