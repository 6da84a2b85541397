"""XComs of every kind, arguments that are templates, outputs of groups, mapped values, DAG factories, schedules."""

import dataclasses
from datetime import date, datetime, timedelta
from decimal import Decimal

from tailrace import DAG, BashOperator, EmptyOperator, PythonOperator, TaskGroup, dag, task, task_group

START = datetime(2024, 1, 1)
ONCE = {"schedule": "@once", "start_date": START}


@dataclasses.dataclass
class Order:
    day: date
    price: Decimal


with DAG("typed_xcoms", **ONCE):

    @task
    def orders(logical_date):
        return [Order(logical_date.date(), Decimal("1.10")), Order(logical_date.date(), Decimal("2.20"))]

    @task
    def price(order):
        return order.price

    @task
    def total(prices):
        assert sum(prices) == Decimal("3.30")

    total(price.expand(order=orders()))

with DAG("multiple_outputs", **ONCE):

    @task(multiple_outputs=True)
    def halves(n):
        return {"one": n // 2, "other": n - n // 2}

    @task
    def same(one, other):
        assert one == other == 3

    both = halves(6)
    same(both["one"], both["other"])
    BashOperator(task_id="template", bash_command="[ {{ ti.xcom_pull('halves', key='one') }} = 3 ]").set_upstream(both)

with DAG("pushed_and_pulled", **ONCE):

    def push(ti, **context):
        ti.xcom_push("rows", 3)
        ti.xcom_push(key="file", value=f"{context['ds']}.csv")

    def pull(**context):
        ti = context["ti"]
        assert ti.xcom_pull(task_ids="push", key="rows") == 3
        assert ti.xcom_pull(task_ids=["push", "unknown"], key="file", default="none") == ["2024-01-01.csv", "none"]

    PythonOperator(task_id="push", python_callable=push) >> PythonOperator(task_id="pull", python_callable=pull)

with DAG("outputs_of_operators", **ONCE):
    listed = BashOperator(task_id="list", bash_command="echo 5")
    PythonOperator(task_id="double", python_callable=lambda n: 2 * int(n), op_args=[listed.output])
    BashOperator(task_id="silent", bash_command="echo secret", do_xcom_push=False)

with DAG("expand_operators", **ONCE):

    @task
    def commands():
        return ["true", "[ {{ ds }} = 2024-01-01 ]"]

    ran = BashOperator.partial(task_id="run", retries=1, retry_delay=timedelta(0)).expand(bash_command=commands())
    ran >> EmptyOperator(task_id="after", trigger_rule="all_done")
    PythonOperator.partial(task_id="call", python_callable=lambda a, b: a + b).expand(op_args=[[1, 2], [3, 4]])

with DAG("expand_dict_and_concat", **ONCE):

    @task
    def regions():
        return {"eu": 1, "us": 2}

    @task
    def letters():
        return ["a"]

    @task
    def known(item):
        assert tuple(item) in (("eu", 1), ("us", 2))

    @task
    def one_of(item):
        assert item in ("a", "b", "c")

    known.expand(item=regions())
    one_of.expand(item=letters().concat(["b", "c"]))

with DAG("expand_some_skipped", **ONCE):

    @task.bash
    def maybe(n):
        return f"exit $(({n} % 2 * 99))"

    @task(trigger_rule="none_failed")
    def count(lines):
        assert len(list(lines)) == 2, lines

    count(maybe.expand(n=[1, 2, 3, 4]))

with DAG("mapped_in_a_group", **ONCE):

    @task
    def numbers():
        return [1, 2, 3]

    @task_group(group_id="work")
    def work(items):
        @task
        def square(n):
            return n * n

        return square.expand(n=items)

    @task
    def check(squares):
        assert list(squares) == [1, 4, 9]

    check(work(numbers()))

with DAG("groups_in_a_loop", **ONCE):
    before = EmptyOperator(task_id="before")
    for name in ("orders", "customers"):
        with TaskGroup(name, default_args={"retries": 1, "retry_delay": timedelta(0)}) as group:
            load = BashOperator(task_id="load", bash_command="[ $TAILRACE_TRY_NUMBER = 2 ]")
            load >> [EmptyOperator(task_id=f"check_{n}") for n in range(2)]
        before >> group >> EmptyOperator(task_id=f"{name}_done")


@dag(schedule=None, start_date=START, params={"unused": 1})
def never_scheduled():
    EmptyOperator(task_id="a")


never_scheduled()


@dag(dag_id="weekdays", start_date=START, end_date=datetime(2024, 1, 9), schedule="0 3 * * 1-5", catchup=True)
def on_weekdays(owner="data"):
    @task
    def is_weekday(data_interval_end, logical_date):
        assert logical_date.weekday() < 5 and data_interval_end > logical_date

    is_weekday()


on_weekdays()

with DAG("presets", schedule="@hourly", start_date=START, end_date=START + timedelta(hours=2), catchup=True):
    BashOperator(task_id="hour", bash_command="[ {{ data_interval_end - data_interval_start }} = 1:00:00 ]")

EXPECTED = {
    "typed_xcoms": {"orders": "success", "price[0]": "success", "price[1]": "success", "total": "success"},
    "multiple_outputs": {"halves": "success", "same": "success", "template": "success"},
    "pushed_and_pulled": {"push": "success", "pull": "success"},
    "outputs_of_operators": {"list": "success", "double": "success", "silent": "success"},
    "expand_operators": {
        **dict.fromkeys(("commands", "run[0]", "run[1]", "after", "call[0]", "call[1]"), "success"),
    },
    "expand_dict_and_concat": {
        **dict.fromkeys(("regions", "letters", "known[0]", "known[1]"), "success"),
        **{f"one_of[{n}]": "success" for n in range(3)},
    },
    "expand_some_skipped": {
        **{f"maybe[{n}]": ("skipped", "success")[n % 2] for n in range(4)},
        "count": "success",
    },
    "mapped_in_a_group": {
        "numbers": "success",
        **{f"work.square[{n}]": "success" for n in range(3)},
        "check": "success",
    },
    "groups_in_a_loop": {
        "before": "success",
        **{
            f"{name}{task}": "success"
            for name in ("orders", "customers")
            for task in (".load", ".check_0", ".check_1", "_done")
        },
    },
    "weekdays": {"is_weekday": "success"},
    "presets": {"hour": "success"},
}
