"""Three ways to be skipped: a short circuit, TaskSkipped, and bash exit code 99; and what each leaves below it."""

from datetime import date, datetime

from tailrace import DAG, BashOperator, EmptyOperator, PythonOperator, ShortCircuitOperator
from tailrace.exceptions import TaskSkipped


def is_even(ds: str) -> bool:
    """Whether the day of the month is even."""
    return date.fromisoformat(ds).day % 2 == 0


def skip_on_odd_days(ds: str) -> None:
    """Give up politely on odd days."""
    if not is_even(ds):
        raise TaskSkipped(f"{ds} is odd")


with DAG(
    "example_skip",
    schedule="@daily",
    start_date=datetime(2024, 1, 1),
    description="Skips, and what becomes of the tasks below them",
    tags=["example"],
):
    only_even = ShortCircuitOperator(task_id="only_even", python_callable=is_even)
    after_even = EmptyOperator(task_id="after_even", trigger_rule="all_done")
    only_even >> after_even

    by_exception = PythonOperator(task_id="by_exception", python_callable=skip_on_odd_days)
    skipped_with_it = EmptyOperator(task_id="skipped_with_it")
    runs_anyway = EmptyOperator(task_id="runs_anyway", trigger_rule="none_failed")
    by_exception >> [skipped_with_it, runs_anyway]

    by_exit_code = BashOperator(task_id="by_exit_code", bash_command="exit 99")
    only_if_skipped = EmptyOperator(task_id="only_if_skipped", trigger_rule="all_skipped")
    by_exit_code >> only_if_skipped
