"""Task groups, nested and decorated; tasks expanded over lists, XComs, keyword arguments and products."""

from datetime import datetime

from tailrace import DAG, BashOperator, EmptyOperator, Label, PythonOperator, TaskGroup, task, task_group

ONCE = {"schedule": "@once", "start_date": datetime(2024, 1, 1)}


def fail():
    raise ValueError("no")


with DAG("groups", **ONCE):
    start = EmptyOperator(task_id="start")
    with TaskGroup("extract", default_args={"retries": 1}) as extract:
        with TaskGroup(group_id="inner", tooltip="both") as inner:
            EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
        inner >> EmptyOperator(task_id="c")
    start >> Label("daily") >> extract >> EmptyOperator(task_id="end")

with DAG("group_without_prefix", **ONCE):
    with TaskGroup("g", prefix_group_id=False) as g:
        PythonOperator(task_id="fails", python_callable=fail)
        EmptyOperator(task_id="works")
    g >> [EmptyOperator(task_id="after"), EmptyOperator(task_id="always", trigger_rule="all_done")]

with DAG("decorated_group", **ONCE):

    @task
    def one(x):
        return x + 1

    @task_group
    def twice(x):
        return one(one(x))

    @task
    def is_three(x):
        assert x == 3

    is_three(twice(1))

with DAG("expand", **ONCE):

    @task
    def files():
        return ["a", "b", "c"]

    @task
    def size(name, unit):
        return f"{name}{unit}"

    @task
    def collect(sizes):
        assert list(sizes) == ["aMB", "bMB", "cMB"]

    collect(size.partial(unit="MB").expand(name=files()))

with DAG("expand_kwargs", **ONCE):
    BashOperator.partial(task_id="run").expand_kwargs([{"bash_command": "true"}, {"bash_command": "exit 99"}])

with DAG("expand_product", **ONCE):

    @task
    def add(x, y):
        return x + y

    add.expand(x=[1, 2], y=[10, 20]) >> EmptyOperator(task_id="end")

with DAG("expand_nothing", **ONCE):

    @task
    def none():
        return []

    @task
    def each(x): ...

    each.expand(x=none()) >> EmptyOperator(task_id="end", trigger_rule="none_failed")

with DAG("expand_mapped", **ONCE):

    @task
    def numbers():
        return [1, 2]

    @task
    def double(x):
        return 2 * x

    @task
    def check(x):
        assert x in (3, 5)

    check.expand(x=double.expand(x=numbers()).map(lambda x: x + 1))

with DAG("expand_one_fails", **ONCE):

    @task
    def picky(x):
        assert x != 2

    picky.expand(x=[1, 2, 3]) >> EmptyOperator(task_id="end")

with DAG("expand_zip", **ONCE):

    @task
    def pair(both):
        assert tuple(both) in ((1, "a"), (2, "b"))

    @task
    def ones():
        return [1, 2]

    @task
    def letters():
        return ["a", "b"]

    pair.expand(both=ones().zip(letters()))

EXPECTED = {
    "groups": dict.fromkeys(("start", "extract.inner.a", "extract.inner.b", "extract.c", "end"), "success"),
    "group_without_prefix": {"fails": "failed", "works": "success", "after": "upstream_failed", "always": "success"},
    "decorated_group": {"twice.one": "success", "twice.one__1": "success", "is_three": "success"},
    "expand": {"files": "success", **{f"size[{n}]": "success" for n in range(3)}, "collect": "success"},
    "expand_kwargs": {"run[0]": "success", "run[1]": "skipped"},
    "expand_product": {**{f"add[{n}]": "success" for n in range(4)}, "end": "success"},
    "expand_nothing": {"none": "success", "each": "skipped", "end": "success"},
    "expand_mapped": {
        "numbers": "success",
        **{f"{name}[{n}]": "success" for name in ("double", "check") for n in range(2)},
    },
    "expand_one_fails": {"picky[0]": "success", "picky[1]": "failed", "picky[2]": "success", "end": "upstream_failed"},
    "expand_zip": {"ones": "success", "letters": "success", "pair[0]": "success", "pair[1]": "success"},
}
FAILED_RUNS = {"group_without_prefix", "expand_one_fails"}
