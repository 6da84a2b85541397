"""Which failures are tried again, a deadline, and a pause after failures: retry_policy, deadline, max_consecutive_…."""

from datetime import datetime, timedelta

from tailrace import (
    DAG,
    BashOperator,
    DeadlineAlert,
    DeadlineReference,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    task,
)

START = datetime(2024, 1, 1)
POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception="builtins.LookupError", action=RetryAction.FAIL, reason="it will not be there later either"
        ),
        RetryRule(exception=[ConnectionError, "urllib.error.URLError"], retry_delay=timedelta(0)),
    ],
)

with DAG("by_exception", schedule="@once", start_date=START, default_args={"retries": 2, "retry_policy": POLICY}):

    @task(retry_delay=timedelta(days=1))
    def refused(ti):
        if ti.try_number < 3:
            raise ConnectionRefusedError("not yet")

    @task
    def looks_up():
        raise KeyError("no such row")

    @task(trigger_rule="all_done")
    def after(ti):
        assert ti.try_number == 1

    [refused(), looks_up()] >> after()

with DAG(
    "late",
    schedule="@once",
    start_date=START,
    deadline=DeadlineAlert(reference=DeadlineReference.DAGRUN_LOGICAL_DATE, interval=timedelta(hours=1)),
):
    BashOperator(task_id="write", bash_command="true")

with DAG("paused_by_failures", schedule="@once", start_date=START, max_consecutive_failed_dag_runs=1):
    BashOperator(task_id="load", bash_command="exit 1")

EXPECTED = {
    "by_exception": {"refused": "success", "looks_up": "failed", "after": "success"},
    "late": {"write": "success"},
    "paused_by_failures": {"load": "failed"},
}
FAILED_RUNS = {"paused_by_failures"}
