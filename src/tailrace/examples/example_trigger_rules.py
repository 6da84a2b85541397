"""Every trigger rule below the same three upstreams: one succeeds, one fails, one is skipped. The run succeeds.

Its leaf looks only at whether everything above is done, so that the failure on purpose does not fail the run.
"""

from datetime import datetime

from tailrace import DAG, EmptyOperator, PythonOperator, TriggerRule
from tailrace.exceptions import TaskFailed, TaskSkipped


def fail() -> None:
    """Fail for good."""
    raise TaskFailed("on purpose, to show what trigger rules make of it")


def skip() -> None:
    """Be skipped."""
    raise TaskSkipped("on purpose")


with DAG(
    "example_trigger_rules",
    schedule="@daily",
    start_date=datetime(2024, 1, 1),
    description="Every trigger rule below a success, a failure and a skip",
    tags=["example"],
):
    upstreams = [
        EmptyOperator(task_id="succeeds"),
        PythonOperator(task_id="fails", python_callable=fail),
        PythonOperator(task_id="is_skipped", python_callable=skip),
    ]
    everything_done = EmptyOperator(task_id="everything_done", trigger_rule="all_done")
    for rule in TriggerRule:
        below = EmptyOperator(task_id=f"when_{rule}", trigger_rule=rule)
        upstreams >> below >> everything_done
