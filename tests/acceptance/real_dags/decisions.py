"""Trigger rules, branches, short circuits, failures, skips, retries and the past."""

from datetime import datetime, timedelta

from tailrace import (
    DAG,
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
    TriggerRule,
    task,
)
from tailrace.exceptions import TaskFailed, TaskSkipped

ONCE = {"schedule": "@once", "start_date": datetime(2024, 1, 1)}


def fail():
    raise ValueError("no")


def skip():
    raise TaskSkipped("nothing new")


with DAG("all_done", **ONCE):
    PythonOperator(task_id="fails", python_callable=fail) >> EmptyOperator(task_id="cleans", trigger_rule="all_done")

with DAG("none_failed", **ONCE):
    [EmptyOperator(task_id="works"), PythonOperator(task_id="skips", python_callable=skip)] >> EmptyOperator(
        task_id="goes_on", trigger_rule=TriggerRule.NONE_FAILED
    )

with DAG("one_failed", **ONCE):
    failing = [EmptyOperator(task_id="works"), PythonOperator(task_id="fails", python_callable=fail)]
    failing >> EmptyOperator(task_id="alerts", trigger_rule="one_failed")
    failing >> EmptyOperator(task_id="reports", trigger_rule="all_success")

with DAG("branch", **ONCE):
    chosen = BranchPythonOperator(task_id="choose", python_callable=lambda: ["left"])
    left, right = EmptyOperator(task_id="left"), EmptyOperator(task_id="right")
    chosen >> [left, right] >> EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")

with DAG("task_branch", **ONCE):

    @task.branch
    def weekday(logical_date):
        return "monday" if logical_date.weekday() == 0 else "other"

    weekday() >> [EmptyOperator(task_id="monday"), EmptyOperator(task_id="other")]

with DAG("short_circuit", **ONCE):
    off = ShortCircuitOperator(task_id="off", python_callable=lambda: False)
    off >> EmptyOperator(task_id="b") >> EmptyOperator(task_id="c", trigger_rule="all_done")

with DAG("short_circuit_direct", **ONCE):
    off = ShortCircuitOperator(task_id="off", python_callable=lambda: False, ignore_downstream_trigger_rules=False)
    off >> EmptyOperator(task_id="b") >> EmptyOperator(task_id="c", trigger_rule="all_done")

with DAG("retried", default_args={"retries": 2, "retry_delay": timedelta(0)}, **ONCE):
    BashOperator(task_id="third_time", bash_command="[ {{ ti.try_number }} = 3 ]")

with DAG("backoff", **ONCE):
    BashOperator(
        task_id="second_time",
        bash_command="[ {{ ti.try_number }} = 2 ]",
        retries=2,
        retry_delay=0.1,
        retry_exponential_backoff=True,
        max_retry_delay=timedelta(seconds=1),
    )

with DAG("failed_for_good", default_args={"retries": 5}, **ONCE):

    @task
    def gives_up():
        raise TaskFailed("no use")

    gives_up() >> EmptyOperator(task_id="after")

with DAG("past", schedule="@daily", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 3), catchup=True):
    EmptyOperator(task_id="a", depends_on_past=True) >> EmptyOperator(task_id="b", wait_for_downstream=True)

with DAG("timed_out", **ONCE):
    BashOperator(task_id="slow", bash_command="sleep 60", execution_timeout=timedelta(seconds=0.2))

EXPECTED = {
    "all_done": {"fails": "failed", "cleans": "success"},
    "none_failed": {"works": "success", "skips": "skipped", "goes_on": "success"},
    "one_failed": {"works": "success", "fails": "failed", "alerts": "success", "reports": "upstream_failed"},
    "branch": {"choose": "success", "left": "success", "right": "skipped", "join": "success"},
    "task_branch": {"weekday": "success", "monday": "success", "other": "skipped"},
    "short_circuit": {"off": "success", "b": "skipped", "c": "skipped"},
    "short_circuit_direct": {"off": "success", "b": "skipped", "c": "success"},
    "retried": {"third_time": "success"},
    "backoff": {"second_time": "success"},
    "failed_for_good": {"gives_up": "failed", "after": "upstream_failed"},
    "past": {"a": "success", "b": "success"},
    "timed_out": {"slow": "failed"},
}
FAILED_RUNS = {"one_failed", "failed_for_good", "timed_out"}
