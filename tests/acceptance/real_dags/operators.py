"""Bash, Python and empty operators, one's own operator classes, @task and @dag, DAGs made in loops and by functions."""

from datetime import datetime

from tailrace import DAG, BaseOperator, BashOperator, EmptyOperator, PythonOperator, chain, cross_downstream, dag, task

START = datetime(2024, 1, 1)


class Copy(BaseOperator):
    template_fields = ("source",)

    def __init__(self, source, target="lake", **kwargs):
        super().__init__(**kwargs)
        self.source, self.target = source, target

    def execute(self, context):
        self.log.info("copying %s of %s to %s", self.source, context["ds"], self.target)
        return self.source


def check(value, ds, **context):
    assert value == "orders/2024-01-01" and ds == "2024-01-01" and context["ti"].task_id == "check", (value, ds)


with DAG("own_operator", schedule="@once", start_date=START):
    copied = Copy(task_id="copy", source="orders/{{ ds }}")
    copied >> PythonOperator(task_id="check", python_callable=check, op_args=["{{ ti.xcom_pull(task_ids='copy') }}"])

with DAG("bash", schedule="@once", start_date=START):
    BashOperator(
        task_id="env", bash_command='[ "$WHO" = me ] && echo {{ ds_nodash }}', env={"WHO": "me"}, append_env=True
    )
    BashOperator(task_id="skips", bash_command="exit 99")
    BashOperator(task_id="last_line", bash_command="echo one; echo two") >> BashOperator(
        task_id="reads", bash_command="[ {{ ti.xcom_pull('last_line') }} = two ]"
    )


@dag(schedule="@once", start_date=START)
def taskflow():
    @task
    def extract():
        return {"a": 1, "b": 2}

    @task(multiple_outputs=True)
    def split(data):
        return {"total": sum(data.values()), "count": len(data)}

    @task(retries=2)
    def load(total, count):
        assert (total, count) == (3, 2)

    parts = split(extract())
    load(parts["total"], parts["count"])
    load.override(task_id="again", trigger_rule="all_done")(parts["total"], 2)


taskflow()

for table in ("orders", "customers"):
    with DAG(f"loop_{table}", schedule="@once", start_date=START):
        BashOperator(task_id="load", bash_command=f"echo {table}")


def make(name):
    with DAG(name, schedule="@once", start_date=START) as made:
        EmptyOperator(task_id="a")
    return made


globals()["made_by_function"] = make("made_by_function")

with DAG("relations", schedule="@once", start_date=START):
    a, b, c, d, e, f = (EmptyOperator(task_id=name) for name in "abcdef")
    chain(a, [b, c], d)
    cross_downstream([d], [e, f])
    e.set_upstream(a)
    f.set_downstream(EmptyOperator(task_id="g"))

EXPECTED = {
    "own_operator": {"copy": "success", "check": "success"},
    "bash": {"env": "success", "skips": "skipped", "last_line": "success", "reads": "success"},
    "taskflow": {"extract": "success", "split": "success", "load": "success", "again": "success"},
    "loop_orders": {"load": "success"},
    "loop_customers": {"load": "success"},
    "made_by_function": {"a": "success"},
    "relations": dict.fromkeys("abcdefg", "success"),
}
