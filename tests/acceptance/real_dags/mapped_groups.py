"""Mapped task groups: each index is a copy of the tasks; branches and failures stay in it, what is below joins."""

from datetime import datetime

from tailrace import DAG, EmptyOperator, TaskGroup, task, task_group

ONCE = {"schedule": "@once", "start_date": datetime(2024, 1, 1)}


@task
def files():
    return ["a", "b", "c"]


@task
def size(name):
    return len(name) * 10


with DAG("mapped_group", **ONCE):

    @task
    def check(found, unit, ti):
        assert (found, unit) == (10, "MB"), (found, unit)
        assert ti.xcom_pull(task_ids="load.inner.size") == 10
        return ti.map_index

    @task
    def total(checked):
        assert list(checked) == [0, 1, 2]

    @task_group
    def load(name, unit):
        with TaskGroup("inner"):
            found = size(name)
        return check(found, unit)

    total(load.partial(unit="MB").expand(name=files()))

with DAG("mapped_group_one_fails", **ONCE):

    @task
    def picky(x):
        assert x != 2

    @task_group
    def steps(x):
        picky(x) >> EmptyOperator(task_id="then")

    steps.expand(x=[1, 2]) >> [
        EmptyOperator(task_id="end"),
        EmptyOperator(task_id="some", trigger_rule="one_success"),
    ]

with DAG("mapped_group_branches", **ONCE):

    @task.branch
    def way(n, m=None):
        return ["each.even"] if n % 2 == 0 else ["each.odd", "each.both"]

    @task_group
    def each(n, m):
        join = EmptyOperator(task_id="join", trigger_rule="none_failed_min_one_success")
        (
            way(n, m)
            >> [EmptyOperator(task_id="even"), EmptyOperator(task_id="odd"), EmptyOperator(task_id="both")]
            >> join
        )

    each.expand_kwargs([{"n": 1, "m": 0}, {"n": 2, "m": 0}]) >> EmptyOperator(task_id="end")

with DAG("mapped_group_over_nothing", **ONCE):

    @task
    def none():
        return []

    @task_group
    def nobody(x):
        size(x) >> EmptyOperator(task_id="then", trigger_rule="all_done")

    nobody.expand(x=none()) >> EmptyOperator(task_id="end", trigger_rule="none_failed")

with DAG("mapped_group_short_circuit", **ONCE):

    @task.short_circuit
    def goes_on(x):
        return x > 1

    @task_group
    def some(x):
        goes_on(x) >> EmptyOperator(task_id="then")

    some.expand(x=[1, 2]) >> EmptyOperator(task_id="end", trigger_rule="none_failed_min_one_success")


EXPECTED = {
    "mapped_group": {
        "files": "success",
        **{f"load.{name}[{at}]": "success" for name in ("inner.size", "check") for at in range(3)},
        "total": "success",
    },
    "mapped_group_one_fails": {
        "steps.picky[0]": "success",
        "steps.picky[1]": "failed",
        "steps.then[0]": "success",
        "steps.then[1]": "upstream_failed",
        "end": "upstream_failed",
        "some": "success",
    },
    "mapped_group_branches": {
        **{f"each.{name}[{at}]": "success" for name in ("way", "join") for at in range(2)},
        "each.even[0]": "skipped",
        "each.odd[0]": "success",
        "each.both[0]": "success",
        "each.even[1]": "success",
        "each.odd[1]": "skipped",
        "each.both[1]": "skipped",
        "end": "success",
    },
    "mapped_group_over_nothing": {
        "none": "success",
        "nobody.size": "skipped",
        "nobody.then": "skipped",
        "end": "success",
    },
    "mapped_group_short_circuit": {
        "some.goes_on[0]": "success",
        "some.goes_on[1]": "success",
        "some.then[0]": "skipped",
        "some.then[1]": "success",
        "end": "success",
    },
}
FAILED_RUNS = {"mapped_group_one_fails"}
