"""Sensors, in both modes: functions, files, moments, databases, other DAGs; timeouts, soft failures, backoff."""

import os
from datetime import datetime, timedelta

from tailrace import (
    DAG,
    BaseSensorOperator,
    BashOperator,
    DateTimeSensor,
    EmptyOperator,
    ExternalTaskSensor,
    FileSensor,
    PokeReturnValue,
    PythonSensor,
    TaskGroup,
    TimeDeltaSensor,
    task,
)
from tailrace.exceptions import TaskRescheduled

START = datetime(2024, 1, 1)
QUICK = {"poke_interval": 0.2, "timeout": 60}


class Third(BaseSensorOperator):
    """Found at its third look."""

    def poke(self, context):
        return context["ti"].reschedules >= 2


def not_yet():
    return False


for mode in ("poke", "reschedule"):
    with DAG(f"sensors_{mode}", schedule="@once", start_date=START, default_args={**QUICK, "mode": mode}) as each:
        DateTimeSensor(task_id="moment", target_time="{{ data_interval_end }}")
        TimeDeltaSensor(task_id="span", delta=timedelta(hours=2))
        FileSensor(task_id="file", filepath=os.path.dirname(__file__), fs_conn_id="fs_default")
        PythonSensor(task_id="gives_up", python_callable=not_yet, timeout=0.5, retries=2)
        PythonSensor(task_id="soft", python_callable=not_yet, timeout=0.5, soft_fail=True)
        PythonSensor(task_id="silent", python_callable=lambda: 1 / 0, timeout=0.5, silent_fail=True, soft_fail=True)

        @task.sensor(exponential_backoff=True, max_wait=timedelta(seconds=1))
        def found(ds) -> PokeReturnValue:
            return PokeReturnValue(is_done=True, xcom_value=f"orders of {ds}")

        @task
        def uses(value):
            assert value == "orders of 2024-01-01", value

        uses(found())
    globals()[each.dag_id] = each

with DAG("goes_on", schedule="@once", start_date=START, default_args=QUICK):
    Third(task_id="third", mode="reschedule") >> EmptyOperator(task_id="after")

    @task(retries=0)
    def polls(ti):
        if ti.reschedules < 2:
            raise TaskRescheduled(ti.start_date)

    polls()

with DAG("watched", schedule="@once", start_date=START):
    BashOperator(task_id="slow", bash_command="sleep 0.5") >> EmptyOperator(task_id="last")
    BashOperator(task_id="fails", bash_command="exit 1")
    with TaskGroup("group"):
        EmptyOperator(task_id="inner")

with DAG("watches", schedule="@once", start_date=START, default_args={**QUICK, "mode": "reschedule"}):
    ExternalTaskSensor(task_id="one", external_dag_id="watched", external_task_id="last")
    ExternalTaskSensor(task_id="two", external_dag_id="watched", external_task_ids=["slow", "last"])
    ExternalTaskSensor(task_id="all", external_dag_id="watched", external_task_group_id="group")
    ExternalTaskSensor(
        task_id="sees_failure", external_dag_id="watched", external_task_id="fails", failed_states=["failed"]
    )
    ExternalTaskSensor(
        task_id="whole",
        external_dag_id="watched",
        allowed_states=["success", "failed"],
        execution_date_fn=lambda logical_date: logical_date,
    )
    ExternalTaskSensor(task_id="nowhere", external_dag_id="not_a_dag", check_existence=True, soft_fail=True)

EXPECTED = {
    **{
        dag_id: {
            **dict.fromkeys(["moment", "span", "file", "found", "uses"], "success"),
            "gives_up": "failed",
            "soft": "skipped",
            "silent": "skipped",
        }
        for dag_id in ["sensors_poke", "sensors_reschedule"]
    },
    "goes_on": {"third": "success", "after": "success", "polls": "success"},
    "watched": {"slow": "success", "last": "success", "fails": "failed", "group.inner": "success"},
    "watches": {
        "one": "success",
        "two": "success",
        "all": "success",
        "sees_failure": "failed",
        "whole": "success",
        "nowhere": "skipped",
    },
}
FAILED_RUNS = {"sensors_poke", "sensors_reschedule", "watched", "watches"}
