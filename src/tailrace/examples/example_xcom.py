"""Values from task to task: returned, pushed by name, taken apart, and read in a template."""

from datetime import datetime
from typing import Any

from tailrace import BashOperator, dag, task


@dag(schedule="@daily", start_date=datetime(2024, 1, 1), tags=["example"])
def example_xcom() -> None:
    """Hand values from task to task"""

    @task
    def measure(ds: str) -> dict[str, Any]:
        return {"day": ds, "values": [len(ds), int(ds[-2:])]}

    @task
    def total(values: list[int], ti: Any) -> int:
        ti.xcom_push(key="largest", value=max(values))
        return sum(values)

    @task
    def check(day: str, result: int, ti: Any) -> str:
        largest = ti.xcom_pull(task_ids="total", key="largest")
        expected = 10 + int(day[-2:])
        if result != expected or largest != max(10, int(day[-2:])):
            raise ValueError(f"expected {expected}, found {result}, largest {largest}")
        return f"{day}: {result}"

    measured = measure()
    checked = check(measured["day"], total(measured["values"]))
    show = BashOperator(task_id="show", bash_command="echo '{{ ti.xcom_pull(task_ids=\"check\") }}'")
    checked >> show


example_xcom()
