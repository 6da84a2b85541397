"""What Airflow's authors find in the context of a task: dates around it, the runs before it, loggers."""

import json
from pathlib import Path

from tests.acceptance.conftest import Run

DAG = """
from datetime import datetime
from tailrace import DAG, BaseOperator, BashOperator, PythonOperator, get_current_context, task

class Own(BaseOperator):
    def execute(self, context):
        self.log.info("own says %s", context["prev_ds"])
        context["ti"].log.warning("ti on %s is %s", context["ti"].hostname != "", context["ti"].state)

def gathered(**context):
    return [context["prev_ds"], context["tomorrow_ds_nodash"]]

with DAG("d", schedule="0 6 * * 1-5", start_date=datetime(2024, 1, 1)):
    Own(task_id="own")
    BashOperator(
        task_id="shell",
        bash_command="echo {{ prev_ds }} {{ next_ds_nodash }} {{ macros.json.dumps([yesterday_ds]) }}",
    )
    PythonOperator(task_id="gathered", python_callable=gathered)

    @task
    def asked(next_ds):
        context = get_current_context()
        past = context["prev_start_date_success"], context["prev_end_date_success"]
        assert past == (None, None) or past[0] <= past[1] <= context["dag_run"].start_date
        return [next_ds, context["prev_execution_date"].isoformat(), past[0] is not None]

    asked()
"""


def test_names_of_the_context(tailrace: Run, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "d.py").write_text(DAG)
    run = tailrace("backfill", "d", "-s", "2024-01-05", "-e", "2024-01-08", "-q", "--max-active-runs", "1")
    assert run.returncode == 0, run.stderr

    def returned(task_id: str, date: str) -> object:
        return json.loads(tailrace("xcom", "get", "d", task_id, date, "-o", "json").stdout)

    assert returned("shell", "2024-01-08") == "2024-01-05 20240109 [2024-01-07]"
    assert returned("gathered", "2024-01-08") == ["2024-01-05", "20240109"]
    assert returned("asked", "2024-01-05") == ["2024-01-08", "2024-01-04T06:00:00+00:00", False]
    assert returned("asked", "2024-01-08") == ["2024-01-09", "2024-01-05T06:00:00+00:00", True]
    log = tailrace("tasks", "logs", "d", "own", "2024-01-08").stdout
    assert "INFO tailrace.task.Own: own says 2024-01-05" in log
    assert "WARNING tailrace.task: ti on True is running" in log
