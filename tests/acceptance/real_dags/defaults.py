"""default_args, dates, schedules, catchup, tags and documentation, as real DAG files write them."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tailrace import DAG, BashOperator, EmptyOperator

ONCE = {"schedule": "@once", "start_date": datetime(2024, 1, 1)}

default_args = {"owner": "data", "depends_on_past": False, "retries": 1, "retry_delay": timedelta(seconds=0)}
with DAG("default_args", default_args=default_args, catchup=False, **ONCE):
    BashOperator(task_id="own", bash_command="exit $((1 - (TAILRACE_TRY_NUMBER - 1)))")

with DAG("default_args_start_date", default_args={"start_date": datetime(2024, 1, 1)}, schedule="@once", catchup=False):
    EmptyOperator(task_id="a")

with DAG("text_start_date", default_args={"start_date": "2024-01-01"}, schedule="@once"):
    EmptyOperator(task_id="a")

with DAG("named_zone", start_date=datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Paris")), schedule="@once"):
    EmptyOperator(task_id="a")

with DAG("catchup", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 3), schedule="@daily", catchup=True):
    BashOperator(task_id="a", bash_command="echo {{ ds }}")

with DAG(
    "cron", start_date=datetime(2024, 1, 1), end_date=datetime(2024, 1, 1, 12), schedule="0 */6 * * *", catchup=True
):
    EmptyOperator(task_id="a")

with DAG(
    "timedelta",
    start_date=datetime(2024, 1, 1),
    end_date=datetime(2024, 1, 2),
    schedule=timedelta(hours=12),
    catchup=True,
):
    EmptyOperator(task_id="a")

with DAG("described", description="What it is.", tags=["team:data", "tier-1"], doc_md="# It\n\nis documented.", **ONCE):
    EmptyOperator(task_id="a", doc_md="So is this.")

with DAG("limits", max_active_runs=1, max_active_tasks=2, **ONCE) as dag:
    first = EmptyOperator(task_id="first", priority_weight=3, pool="default_pool")
    first >> [EmptyOperator(task_id=f"t{n}", execution_timeout=timedelta(minutes=1)) for n in range(3)]

EXPECTED = {
    "default_args": {"own": "success"},
    "default_args_start_date": {"a": "success"},
    "text_start_date": {"a": "success"},
    "named_zone": {"a": "success"},
    "catchup": {"a": "success"},
    "cron": {"a": "success"},
    "timedelta": {"a": "success"},
    "described": {"a": "success"},
    "limits": {"first": "success", "t0": "success", "t1": "success", "t2": "success"},
}
