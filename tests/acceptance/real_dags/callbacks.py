"""Callbacks of tasks and DAGs, in default_args and one by one, functions and notifiers."""

from datetime import datetime, timedelta

from tailrace import DAG, BashOperator, PythonOperator, task
from tailrace.exceptions import TaskSkipped
from tailrace.notifiers import ShellCommand

ONCE = {"schedule": "@once", "start_date": datetime(2024, 1, 1)}
TOLD = ShellCommand("echo {{ dag.dag_id }} $TAILRACE_EVENT $TAILRACE_STATE >> told.txt")


def tell(context):
    with open("told.txt", "a") as file:
        ti = context["task_instance"]
        file.write(f"{context['dag'].dag_id}.{ti.task_id} {context['event']} {ti.state} {ti.try_number}\n")


def hangs_up(context):
    raise RuntimeError("its own fault changes no state")


default_args = {"on_failure_callback": tell, "retries": 1, "retry_delay": timedelta(0), "on_retry_callback": [tell]}
with DAG("callbacks", default_args=default_args, on_failure_callback=TOLD, **ONCE):
    BashOperator(task_id="fails", bash_command="exit 1")

with DAG("callbacks_of_success", on_success_callback=[TOLD], **ONCE):

    @task(on_success_callback=tell, on_execute_callback=hangs_up)
    def works(): ...

    def skip():
        raise TaskSkipped("nothing new")

    works()
    PythonOperator(task_id="skips", python_callable=skip, on_skipped_callback=[tell, hangs_up])

EXPECTED = {"callbacks": {"fails": "failed"}, "callbacks_of_success": {"works": "success", "skips": "skipped"}}
FAILED_RUNS = {"callbacks"}
SAID = {
    "callbacks.fails on_retry_callback up_for_retry 1",
    "callbacks.fails on_failure_callback failed 2",
    "callbacks on_failure_callback failed",
    "callbacks_of_success.works on_success_callback success 1",
    "callbacks_of_success.skips on_skipped_callback skipped 1",
    "callbacks_of_success on_success_callback success",
}
