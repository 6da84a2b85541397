"""Template variables, macros, filters, native values, files, params, Variables, Connections and the context."""

import os
from datetime import datetime

from tailrace import DAG, BashOperator, Connection, Param, PythonOperator, Variable, get_current_context, task

START = datetime(2024, 1, 1)
DAILY = {"schedule": "@daily", "start_date": START, "end_date": datetime(2024, 1, 2), "catchup": True}


def equal(one, other):
    assert one == other, (one, other)


with DAG("dates", schedule="@daily", start_date=START, end_date=START, catchup=True):
    BashOperator(
        task_id="ds",
        bash_command="[ '{{ ds }} {{ ds_nodash }} {{ ts_nodash }}' = '2024-01-01 20240101 20240101T000000' ]",
    )
    BashOperator(task_id="interval", bash_command="[ {{ data_interval_end | ds }} = 2024-01-02 ]")
    BashOperator(task_id="around", bash_command="[ '{{ prev_ds }} {{ next_ds }}' = '2023-12-31 2024-01-02' ]")
    BashOperator(task_id="macros", bash_command="[ {{ macros.ds_add(ds, 7) }} = 2024-01-08 ]")
    BashOperator(
        task_id="formats",
        bash_command="[ {{ macros.ds_format(ds, '%Y-%m-%d', '%d/%m') }}{{ macros.json.dumps([1]) }} = '01/01[1]' ]",
    )
    BashOperator(
        task_id="months",
        bash_command="[ {{ (logical_date + macros.timedelta(days=31)) | ds }} = 2024-02-01 ]",
    )

with DAG("last_success", **DAILY):
    BashOperator(
        task_id="incremental",
        bash_command="[ '{{ prev_data_interval_start_success | ds if prev_data_interval_start_success else 'none' }}' "
        "= '{{ prev_ds if ds > '2024-01-01' else 'none' }}' ]",
        depends_on_past=True,
    )

with DAG(
    "native",
    schedule="@once",
    start_date=START,
    render_template_as_native_obj=True,
    user_defined_macros={"tables": ["a", "b"]},
    user_defined_filters={"shout": str.upper},
):
    PythonOperator(task_id="list", python_callable=equal, op_args=["{{ tables }}", ["a", "b"]])
    PythonOperator(task_id="filter", python_callable=equal, op_kwargs={"one": "{{ 'x' | shout }}", "other": "X"})

with DAG("searchpath", schedule="@once", start_date=START, template_searchpath=[os.path.dirname(__file__) + "/sql"]):
    BashOperator(task_id="file", bash_command="query.sh")

with DAG("params", schedule="@once", start_date=START, params={"n": Param(3, type="integer", minimum=1), "who": "me"}):
    BashOperator(task_id="of_dag", bash_command="[ {{ params.n }}{{ params['who'] }} = 3me ]")
    BashOperator(task_id="of_task", bash_command="[ {{ params.n }} = 4 ]", params={"n": 4})

    @task
    def in_python(params):
        equal(params["n"], 3)

    in_python()

with DAG("variables", schedule="@once", start_date=START):
    BashOperator(task_id="template", bash_command="[ {{ var.value.region }}{{ var.json.config.size }} = eu7 ]")
    BashOperator(task_id="default", bash_command="[ {{ var.value.get('none', 'x') }} = x ]")

    @task
    def get():
        equal(Variable.get("config", deserialize_json=True), {"size": 7})
        equal(Variable.get("none", default_var="x"), "x")
        Variable.set("seen", "yes")

    get() >> BashOperator(task_id="after", bash_command="[ {{ var.value.seen }} = yes ]")

with DAG("connections", schedule="@once", start_date=START):
    BashOperator(task_id="template", bash_command="[ {{ conn.db.host }}:{{ conn.db.port }} = example.org:5432 ]")

    @task
    def hook():
        found = Connection.get("db")
        equal((found.login, found.password, found.schema), ("me", "secret", "shop"))
        equal(found.extra_dejson, {"sslmode": "require"})

    hook()

with DAG("context", schedule="@once", start_date=START):

    def of_kwargs(**context):
        equal(context["dag"].dag_id, "context")
        equal(context["task_instance"].task_id, context["task"].task_id)
        equal(context["run_id"], context["dag_run"].run_id)

    PythonOperator(task_id="kwargs", python_callable=of_kwargs, provide_context=True)

    @task
    def current():
        context = get_current_context()
        context["ti"].xcom_push(key="day", value=context["ds"])

    current() >> BashOperator(
        task_id="pulls", bash_command="[ {{ ti.xcom_pull(task_ids='current', key='day') }} = {{ ds }} ]"
    )

    @task(templates_dict={"day": "{{ ds }}"})
    def dictionary(templates_dict, ds):
        equal(templates_dict["day"], ds)

    dictionary()

EXPECTED = {
    "dates": dict.fromkeys(("ds", "interval", "around", "macros", "formats", "months"), "success"),
    "last_success": {"incremental": "success"},
    "native": {"list": "success", "filter": "success"},
    "searchpath": {"file": "success"},
    "params": {"of_dag": "success", "of_task": "success", "in_python": "success"},
    "variables": dict.fromkeys(("template", "default", "get", "after"), "success"),
    "connections": {"template": "success", "hook": "success"},
    "context": dict.fromkeys(("kwargs", "current", "pulls", "dictionary"), "success"),
}
