"""What earlier runs did, and what a run may take: history calls, dagrun_timeout, fail_fast."""

from datetime import datetime, timedelta

from tailrace import DAG, BashOperator, EmptyOperator, get_dag_runs, get_task_states, task
from tailrace.exceptions import TaskFailed

START = datetime(2024, 1, 1)

with DAG("asks", schedule="@daily", start_date=START, end_date=datetime(2024, 1, 2), catchup=True, max_active_runs=1):

    @task(depends_on_past=True)
    def look(ti, dag_run, ds):
        before = ti.get_previous_dagrun()
        assert (before is None) == (ds == "2024-01-01")
        assert len(get_dag_runs("asks")) == ti.get_dr_count("asks")
        assert get_task_states("asks", run_ids=[dag_run.run_id])[dag_run.run_id]["look"] == "running"
        assert ti.xcom_pull(task_ids="look", key="day", include_prior_dates=True) == (before and "2024-01-01")
        ti.xcom_push(key="day", value=ds)

    look()

with DAG("run_timeout", schedule="@once", start_date=START, dagrun_timeout=timedelta(seconds=1)):
    BashOperator(task_id="slow", bash_command="sleep 120") >> EmptyOperator(task_id="after")

with DAG("fails_fast", schedule="@once", start_date=START, fail_fast=True):

    @task
    def fails():
        raise TaskFailed("no use")

    fails()
    BashOperator(task_id="first", bash_command="sleep 1") >> EmptyOperator(task_id="later")

EXPECTED = {
    "asks": {"look": "success"},
    "run_timeout": {"after": "skipped"},
    "fails_fast": {"fails": "failed", "later": "skipped"},
}
FAILED_RUNS = {"run_timeout", "fails_fast"}
EITHER = {"fails_fast": {"first"}, "run_timeout": {"slow"}}  # they may have ended before, or not begun
