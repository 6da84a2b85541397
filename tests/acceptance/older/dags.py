"""The DAGs of the stored metastores."""

from datetime import datetime, timedelta

from tailrace import DAG, BashOperator, BranchPythonOperator, task

START = datetime(2024, 1, 1)

with DAG("etl", schedule="@daily", start_date=START, catchup=False):
    a = BashOperator(task_id="a", bash_command="echo {{ ds }}", do_xcom_push=True)

    @task(retries=1, retry_delay=timedelta(0))
    def b(ds=None, ti=None):
        if ds == "2024-01-02" and ti.try_number == 1:
            raise ValueError("the first try of ü")
        return {"n": 1, "text": "ü", "ds": ds}

    @task(pool="small")
    def d(given):
        return given["n"]

    e = BashOperator(task_id="e", bash_command="true")
    choose = BranchPythonOperator(task_id="choose", python_callable=lambda ds: "d" if ds < "2024-01-03" else "e")
    join = BashOperator(task_id="join", bash_command="true", trigger_rule="none_failed_min_one_success")
    given = b()
    a >> given >> choose
    choose >> [d(given), e] >> join

with DAG("strict", schedule="@daily", start_date=START, catchup=False):
    fails = '[ {{ ds }} != 2024-01-03 ] || [ -n "$GOES_WELL" ]'
    BashOperator(task_id="p", bash_command=fails, depends_on_past=True) >> BashOperator(
        task_id="q", bash_command="true"
    )

with DAG("slow", schedule="@daily", start_date=START, catchup=False, max_active_runs=2):
    BashOperator(task_id="s", bash_command="sleep $SECONDS_OF_SLOW") >> BashOperator(task_id="t", bash_command="true")

with DAG("failing", schedule="@daily", start_date=START, catchup=False):
    BashOperator(task_id="f", bash_command="exit 3") >> BashOperator(task_id="g", bash_command="true")

with DAG("quiet", schedule=None, start_date=START):
    BashOperator(task_id="x", bash_command="true")
