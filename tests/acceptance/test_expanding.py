"""Mapped tasks as an author writes them, run as a user runs them."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Run
from tests.acceptance.test_interruptions import Place, below, finished

DAG = """
from datetime import datetime
from tailrace import DAG, BashOperator, EmptyOperator, task
from tailrace.exceptions import TaskSkipped

with DAG("m", schedule="@daily", start_date=datetime(2024, 1, 1)):
    @task
    def numbers(ds_nodash):
        return list(range(1, int(ds_nodash[-1]) + 1))

    @task
    def add(x, y):
        return x + y

    @task
    def total(values):
        return sum(values)

    def no_twos(n):
        if n == 2:
            raise TaskSkipped("no twos")
        return f"echo {n}"

    found = numbers()
    sums = add.partial(y=10).expand(x=found)
    total(sums)
    add.override(task_id="again").partial(y=1).expand(x=sums)
    BashOperator.partial(task_id="shell", append_env=True).expand(bash_command=found.map(no_twos), env=[{"A": "1"}])
    add.override(task_id="kwargs").expand_kwargs([{"x": 1, "y": 2}, {"x": "a", "y": "{{ ds }}"}])
    add.override(task_id="none").partial(y=0).expand(x=[]) >> EmptyOperator(task_id="below", trigger_rule="all_done")
"""


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "m.py").write_text(DAG)
    return tmp_path


def test_what_is_expanded_has_its_values(tailrace: Run, dags: Path) -> None:
    done = tailrace("backfill", "m", "-s", "2024-01-01", "-e", "2024-01-03", "-q")
    assert done.returncode == 0, done.stderr
    listed = json.loads(tailrace("xcom", "list", "m", "2024-01-03", "-o", "json").stdout)
    values: dict[str, list[Any]] = {}
    for each in listed:
        values.setdefault(each["task_id"], []).append(json.loads(each["begins"]))
    assert values == {
        "numbers": [[1, 2, 3]],
        "add": [11, 12, 13],
        "total": [36],
        "again": [12, 13, 14],
        "shell": ["1", "3"],
        "kwargs": [3, "a2024-01-03"],
    }
    shown = json.loads(tailrace("runs", "show", "m", "2024-01-03", "-o", "json").stdout)["task_instances"]
    states = {(each["task_id"], each["map_index"]): each["state"] for each in shown}
    assert (states["shell", 1], states["none", -1], states["below", -1]) == ("skipped", "skipped", "success")
    tried = tailrace("tasks", "test", "m", "again", "2024-01-03", "--map-index", "2")
    assert "would push return_value = 14" in tried.stdout + tried.stderr
    unnamed = tailrace("tasks", "test", "m", "again", "2024-01-03")
    assert unnamed.stderr == "error: again is mapped: name one of its task instances with --map-index, such as 0\n"


SLOW = """
from datetime import datetime
from tailrace import DAG, task

with DAG("slow", schedule="@daily", start_date=datetime(2024, 1, 1), default_args={"retries": 1, "retry_delay": 0}):
    @task
    def rows():
        return [1, 2, 3]

    @task.bash
    def work(row, ds):
        return f"sleep 0.2; echo {ds} {row} >> $LEDGER"

    @task
    def all_of(values, ds):
        return len(values)

    all_of(work.expand(row=rows()))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_killed_worker_and_a_killed_job_lose_no_instance(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "slow.py").write_text(SLOW)
    (tmp_path / "ledger").touch()
    place = Place(tmp_path, "" if kind == "sqlite" else request.getfixturevalue("postgres_url"))
    first = place.start()
    place.wait_for_lines(2)
    below(first)  # its workers are there
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    assert finished(place.start())["runs"] == {"success": 6}
    assert len(set(place.lines())) == 18 and len(place.lines()) <= 20
    assert place.causes()["retry"] == 0


#: After users' DAGs whose backfills deadlocked: apache/airflow#25730 (mapped over what is mapped, dates side by side),
#: #33994 (over keyword arguments made in the run, many dates) and #34012 (a mapped group over such).
DEADLOCKED = """
from datetime import datetime, timedelta
from tailrace import DAG, PythonOperator, task, task_group

with DAG("races", schedule="@daily", start_date=datetime(2022, 1, 1), max_active_runs=7):
    @task
    def names():
        return [f"t{n}" for n in range(8)]

    @task
    def first(name):
        return name * 2

    @task
    def second(name):
        return len(name)

    second.expand(name=first.expand(name=names()))

def dates(data_interval_end):
    return [{"day": str((data_interval_end - timedelta(days=n)).date())} for n in range(2, 5)]

def put(day):
    return day

with DAG("arguments", schedule="0 6 * * *", start_date=datetime(2023, 7, 1), max_active_runs=8, max_active_tasks=4):
    made = PythonOperator(task_id="dates", python_callable=dates)
    insert = PythonOperator.partial(task_id="insert", python_callable=put).expand(op_kwargs=made.output)
    insert >> PythonOperator(task_id="end", python_callable=put, op_args=["end"])

with DAG("stale", schedule="0 6 * * *", start_date=datetime(2023, 7, 1), max_active_runs=8):
    made = PythonOperator(task_id="dates", python_callable=dates)

    @task_group
    def insert_new_data(day):
        delete = PythonOperator(task_id="delete", python_callable=put, op_kwargs={"day": day})
        delete >> PythonOperator(task_id="insert", python_callable=put, op_kwargs={"day": day})

    insert_new_data.expand_kwargs(made.output)
"""


def test_backfills_of_dags_that_deadlocked_elsewhere_end_in_success(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "deadlocked.py").write_text(DEADLOCKED)
    ranges = {"races": ("2022-01-01", "2022-01-07"), "arguments": ("2023-07-01", "2023-07-10")}
    for dag_id in ("races", "arguments", "stale"):
        first, last = ranges.get(dag_id, ranges["arguments"])
        done = tailrace("backfill", dag_id, "-s", first, "-e", last, "-q", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    counts: dict[str, int] = {}
    for each in json.loads(tailrace("tasks", "list", "-s", "2022-01-01", "--limit", "5000", "-o", "json").stdout):
        assert each["state"] == "success"
        counts[each["dag_id"]] = counts.get(each["dag_id"], 0) + 1
    assert counts == {"races": 7 * 17, "arguments": 10 * 5, "stale": 10 * 7}
