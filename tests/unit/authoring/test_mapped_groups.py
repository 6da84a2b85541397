"""Mapped task groups as authors write them: what they compile to, the items of an index, and what cannot be."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import DAG, BashOperator, EmptyOperator, TaskGroup, task, task_group
from tailrace.authoring.loading.load import load_dags
from tailrace.authoring.relations.xcom_args import PullFor, resolve
from tailrace.errors import TaskFailed
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.spec import DagSpec, Together, XComRef
from tests.unit.authoring.test_mapping import compiled


@task
def found() -> list[int]:
    return []


@task
def use(x: Any) -> Any:
    return x


def pulling(task_: Any, index: int, **left: Any) -> PullFor:
    """Pulls as the instance of this index does, from tasks that have left this."""

    def xcom_pull(task_ids: str, key: str) -> Any:
        return left.get(task_ids)

    return PullFor(SimpleNamespace(map_index=index, task=task_, xcom_pull=xcom_pull))


def test_all_tasks_of_a_group_are_expanded_over_the_same_and_its_first_come_after_that() -> None:
    with DAG("d") as dag:

        @task_group
        def load(name: Any, table: str) -> Any:
            """Loads."""
            read = use.override(task_id="read")(name)
            with TaskGroup("inner"):
                shell = BashOperator(task_id="shell", bash_command=name)
            checked = use.override(task_id="check")(read)
            shell >> checked
            return checked

        EmptyOperator(task_id="start") >> load.partial(table="t").expand(name=found()) >> EmptyOperator(task_id="end")
    specs = compiled(dag)
    grouped = {name: each for name, each in specs.items() if each.mapped_group}
    assert sorted(grouped) == ["load.check", "load.inner.shell", "load.read"]
    assert {(each.mapped_group, each.mapped_over) for each in grouped.values()} == {("load", (XComRef("found"),))}
    assert specs["load.read"].upstream == specs["load.inner.shell"].upstream == ("found",)
    assert specs["load.check"].upstream == ("load.inner.shell", "load.read", "start")
    assert (specs["end"].upstream, specs["end"].mapped_over) == (("load.check",), None)
    assert dag.task_group_dict["load"].tooltip == "Loads."


def test_what_comes_before_a_group_comes_before_all_its_first_tasks() -> None:
    with DAG("d") as dag:

        @task_group
        def pair(x: Any) -> None:
            use(x)
            use.override(task_id="other")(1)

        EmptyOperator(task_id="start") >> pair.expand(x=found().zip(found()))
    specs = compiled(dag)
    assert specs["pair.other"].upstream == ("found", "found__1", "start")
    assert specs["pair.use"].mapped_over == (Together("shortest", (XComRef("found"), XComRef("found__1"))),)


@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=3))
def test_each_index_has_one_combination_of_items(over: dict[str, list[int]]) -> None:
    with DAG("d") as dag:

        @task_group
        def g(a: Any = 0, b: Any = 0, c: Any = 0) -> None:
            use([a, {"b": b}, c])

        g.expand(**over)
        g.expand_kwargs([dict(zip(over, each, strict=True)) for each in product(*over.values())])
    specs = compiled(dag)
    combinations = list(product(*over.values()))
    assert specs["g.use"].mapped_over == tuple(map(len, over.values()))
    assert specs["g__1.use"].mapped_over == (len(combinations),)
    for name in ("g.use", "g__1.use"):
        used: Any = dag.task_dict[name]
        for index, combination in enumerate(combinations):
            values = {**dict.fromkeys("abc", 0), **dict(zip(over, combination, strict=True))}
            expected = [[values["a"], {"b": values["b"]}, values["c"]]]
            assert resolve(used.op_args, pulling(used, index)) == expected
        with pytest.raises(TaskFailed, match="no item of this index"):
            resolve(used.op_args, pulling(used, len(combinations)))


def test_items_have_parts_and_outputs_are_mapped_item_by_item() -> None:
    with DAG("d") as dag:

        @task_group
        def g(row: Any, n: Any) -> None:
            use(row["name"][0])
            use(n)

        g.expand(row=found(), n=found.override(task_id="numbers")().map(lambda n: n + 1))
    compiled(dag)
    left = {"found": [{"name": "ann"}, {"name": "bob"}], "numbers": [10, 20]}
    first: Any = dag.task_dict["g.use"]
    other: Any = dag.task_dict["g.use__1"]
    assert [resolve(first.op_args, pulling(first, at, **left)) for at in range(4)] == [["a"], ["a"], ["b"], ["b"]]
    assert [resolve(other.op_args, pulling(other, at, **left)) for at in range(4)] == [[11], [21], [11], [21]]
    with pytest.raises(LookupError, match=r"<item of g: row\['name'\]\[0\]>: the item is {}, which has no 'name'"):
        resolve(first.op_args, pulling(first, 0, found=[{}], numbers=[1]))


def test_an_output_is_one_value_inside_its_group_and_a_list_outside() -> None:
    with DAG("d") as dag:

        @task_group
        def g(x: Any) -> Any:
            return use.override(task_id="last")(use(x))

        made = g.expand(x=[1, 2])
        use.override(task_id="outside")(made)
        g.override(group_id="h").expand(x=made)
    compiled(dag)
    last: Any = dag.task_dict["g.last"]
    outside: Any = dag.task_dict["outside"]
    assert resolve(last.op_args, pulling(last, 1, **{"g.use": 7})) == [7]
    assert resolve(last.op_args, pulling(last, 1)) == [None]
    assert resolve(outside.op_args, pulling(outside, -1, **{"g.last": [7, 8]})) == [[7, 8]]
    assert resolve(outside.op_args, pulling(outside, -1)) == [[]]
    beside: Any = dag.task_dict["h.use"]
    assert resolve(beside.op_args, pulling(beside, 1, **{"g.last": [7, 8]})) == [8]


def test_a_structure_without_mapped_groups_says_nothing_of_them() -> None:
    with DAG("d") as dag:
        use.expand(x=[1])

        @task_group
        def plain() -> None:
            use(1)

        plain()
    specs = compiled(dag)
    assert "mapped_group" not in spec_text(DagSpec("d", tuple(specs.values())))
    with DAG("e") as other:
        plain.expand_kwargs([{}, {}])
    tasks = tuple(compiled(other).values())
    assert [each.mapped_group for each in tasks] == ["plain"]
    assert spec_from(spec_text(DagSpec("e", tasks))).tasks == tasks


HEAD = """
from tailrace import *
@task
def add(x, y=0): return x + y
@task
def numbers(): return [1, 2]
@task_group
def g(x, y=0): add(x, y)
@task_group
def nested(x): g.expand(x=[1])
@task_group
def with_mapped(x): add.expand(x=[1])
@task_group
def returns_item(x):
    add(x)
    return x
@task_group
def starred(*x): add(1)
with DAG("d"):
"""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("g.expand(x=5)", "task group g: expanded over 5: that must be a list, a dict or the output of a task"),
        ("g.expand()", "task group g: expand needs at least one argument to expand over"),
        ("g.partial(x=1).expand(x=[1])", "task group g: x is given to partial(…) and to expand(…)"),
        ("g.expand(y=[1])", "task group g: its function cannot be called: missing a required argument: 'x'"),
        ("g.expand(z=[1])", "task group g: its function cannot be called: "),
        ("g.expand(x=list(range(1025)))", "task group g: it would have 1,025 instances; at most 1,024 are allowed"),
        ("g.expand(x=numbers()[0])", "its length is not known; let the task return that part"),
        ("g.expand_kwargs([{'x': 1}, 5])", "task group g: expand_kwargs needs dicts of arguments, and item 1 is 5"),
        ("g.expand_kwargs({'x': 1})", "task group g: expand_kwargs needs a list of dicts of arguments, not {'x': 1}"),
        ("g.expand_kwargs([{'y': 1}])", "task group g: expand_kwargs: item 0 has no 'x'"),
        ("g.partial(y=1).expand_kwargs([{'x': 1, 'y': 1}])", "'y' of item 0 is given to partial(…) too"),
        ("g.expand_kwargs([{'x': 1, 'z': 1}])", "'z' of item 0 is no argument of the function"),
        ("starred.expand_kwargs([{}])", "task group starred: expand_kwargs needs a function without *x"),
    ],
)
def test_what_cannot_be_is_a_mistake_where_it_is_written(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    {line}\n")
    mistakes = load_dags(tmp_path).mistakes
    assert any(said in str(each) for each in mistakes), mistakes
    assert all(str(each).startswith(f"{tmp_path}/d.py:{HEAD.count(chr(10)) + 1}: ") for each in mistakes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "nested.expand(x=[1])",
            "10: task group nested.g: it is in the mapped task group nested, and a mapped group in",
        ),
        ("with_mapped.expand(x=[1])", "12: task with_mapped.add: it is in the mapped task group with_mapped, and a"),
        ("add(returns_item.expand(x=[1]))", "20: task add: <item of returns_item: x> is known to the tasks of that"),
        ("add.expand(x=returns_item.expand(x=[1]))", "20: task add: expanded over <item of returns_item: x>, of which"),
    ],
)
def test_what_is_not_possible_in_a_mapped_group_is_one_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    {line}\n")
    mistakes = [str(each) for each in load_dags(tmp_path).mistakes]
    assert any(each.startswith(f"{tmp_path}/d.py:{said}") for each in mistakes), mistakes
    assert len(mistakes) == 1


def test_a_cycle_through_what_a_group_is_expanded_over_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    n = numbers()\n    g.expand(x=n) >> n\n")
    [mistake] = load_dags(tmp_path).mistakes
    assert "cycle: g.add >> numbers >> g.add (by g >> numbers and numbers >> g)" in str(mistake)


def test_one_that_is_never_expanded_is_noted(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    add(1)\n    g.partial(y=1)\n")
    loaded = load_dags(tmp_path)
    assert [each.message for each in loaded.notes] == [
        "g.partial(…) makes no task: nothing calls .expand(…) or .expand_kwargs(…) on it"
    ]


def test_kwargs_that_are_known_only_in_a_run_are_looked_at_there() -> None:
    with DAG("d") as dag:

        @task_group
        def g(x: Any, y: Any = 5) -> None:
            use([x, y])

        g.expand_kwargs(found())
    compiled(dag)
    used: Any = dag.task_dict["g.use"]

    def of(*left: Any) -> Any:
        return resolve(used.op_args, pulling(used, 0, found=list(left)))

    assert of({"x": 1}) == [[1, 5]]
    for left, said in (
        (5, "expand_kwargs needs dicts of arguments, and item 0 is 5"),
        ({"y": 1}, "expand_kwargs: item 0 has no 'x', which g needs"),
        ({"x": 1, "z": 1}, "expand_kwargs: g has no argument 'z' (item 0)"),
    ):
        with pytest.raises(TaskFailed) as wrong:
            of(left)
        assert str(wrong.value) == said
