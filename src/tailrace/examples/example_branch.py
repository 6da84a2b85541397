"""A branch by weekday: one of two paths runs, the other is skipped, and the paths join again.

``join`` runs whichever path was taken, because its rule asks for no failure and one success.
"""

from datetime import date, datetime

from tailrace import DAG, BranchPythonOperator, EmptyOperator, PythonOperator


def choose(ds: str) -> str:
    """Saturday and Sunday go one way, the other days another."""
    return "weekend" if date.fromisoformat(ds).weekday() >= 5 else "weekday"


def say(word: str, ds: str) -> None:
    """Leave a line in the log."""
    print(f"{ds} is a {word}")


with DAG(
    "example_branch",
    schedule="@daily",
    start_date=datetime(2024, 1, 1),
    description="One path on weekends, another on weekdays",
    tags=["example"],
):
    which = BranchPythonOperator(task_id="which", python_callable=choose)
    weekday = PythonOperator(task_id="weekday", python_callable=say, op_args=["weekday"])
    weekend = PythonOperator(task_id="weekend", python_callable=say, op_args=["weekend day"])
    join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
    which >> [weekday, weekend] >> join
