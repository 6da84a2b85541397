"""Mapped tasks as authors write them: their lengths in the spec, their values by map index, and what cannot be."""

from itertools import product, zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import DAG, BaseOperator, BashOperator, BranchPythonOperator, PythonOperator, TaskGroup, task
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.loading.load import load_dags
from tailrace.authoring.relations.xcom_args import outputs_in, resolve
from tailrace.errors import TaskFailed
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.spec import DagSpec, Over, TaskSpec, Together, XComRef

HEAD = """
from tailrace import *
@task
def add(x, y): return x + y
@task
def numbers(): return [1, 2]
@task(multiple_outputs=True)
def parts(): return {"a": [1], "b": [2]}
def f(x): pass
with DAG("d"):
"""


def compiled(dag: DAG) -> dict[str, TaskSpec]:
    spec = compile_dag(dag, "d.py", "hash")
    assert spec is not None, dag.mistakes
    return dict(spec.by_id)


def nothing(task_id: str, key: str) -> Any:
    raise AssertionError("nothing is pulled")


@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=3)
)
def test_each_index_is_one_combination_and_the_last_name_varies_fastest(over: dict[str, list[int]]) -> None:
    with DAG("d") as dag:
        PythonOperator.partial(task_id="t", python_callable=lambda **kwargs: None).expand(
            op_kwargs=[dict(zip(over, values, strict=True)) for values in product(*over.values())]
        )

        @task
        def called(**kwargs: Any) -> None: ...

        called.expand(**over)
    by_hand, by_name = dag.task_dict["t"], dag.task_dict["called"]
    specs = compiled(dag)
    count = len(list(product(*over.values())))
    assert specs["t"].mapped_over == (count,)
    assert specs["called"].mapped_over == tuple(map(len, over.values()))
    for index in range(count):
        one: Any = by_name.for_index(index, nothing)
        other: Any = by_hand.for_index(index, nothing)
        assert one.op_kwargs == other.op_kwargs
    with pytest.raises(TaskFailed, match="no item of this index"):
        by_name.for_index(count, nothing)


def test_outputs_are_pulled_when_the_instance_is_made() -> None:
    with DAG("d") as dag:

        @task
        def rows() -> list[int]:
            return []

        @task
        def work(row: Any, scale: int, more: Any) -> None: ...

        found = rows()
        work.partial(scale=2, more=found).expand(row=found.map(lambda n: n * 10).map(str))
        BashOperator.partial(task_id="shell").expand_kwargs(found.map(lambda n: {"bash_command": f"exit {n}"}))
        work.override(task_id="pairs").partial(scale=1, more=0).expand(row=found)
    specs = compiled(dag)
    assert specs["work"].mapped_over == specs["shell"].mapped_over == (XComRef("rows"),)
    assert specs["work"].upstream == ("rows",)
    assert specs["shell"].operator == "BashOperator"
    pulled = {("rows", "return_value"): [3, 4]}
    made: Any = dag.task_dict["work"].for_index(1, lambda *asked: pulled[asked])
    assert made.op_kwargs["row"] == "40" and made.upstream_task_ids == {"rows"} and made.dag is dag
    shell: Any = dag.task_dict["shell"].for_index(0, lambda *asked: pulled[asked])
    assert (type(shell), shell.bash_command) == (BashOperator, "exit 3")
    pair: Any = dag.task_dict["pairs"].for_index(0, lambda *asked: {"k": "v"})
    assert pair.op_kwargs["row"] == ("k", "v")


def test_an_operator_of_the_authors_own_is_made_of_its_own_values() -> None:
    class Copy(BaseOperator):
        def __init__(self, *, table: str, size: int, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.path = f"{table}/{size:03}"

    with DAG("d", default_args={"size": 7, "retries": 2}) as dag:
        Copy.partial(task_id="copy").expand(table=["a", "b"])
    specs = compiled(dag)
    assert (specs["copy"].mapped_over, specs["copy"].retries) == ((2,), 2)
    made: Any = dag.task_dict["copy"].for_index(1, nothing)
    assert (made.path, made.task_id, made.retries) == ("b/007", "copy", 2)
    assert [note.message for note in dag.notes] == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("add.partial(y=1).expand(x=5)", "task add: expanded over 5: that must be a list, a dict or the output of a"),
        ("add.partial(y=1).expand()", "task add: expand needs at least one argument to expand over"),
        ("add.partial(y=1).expand(x=[1], y=[2])", "task add: y is given to partial(…) and to expand(…)"),
        ("add.expand(x=[1])", "task add: python_callable cannot be called: missing a required argument: 'y'"),
        ("add.partial(y=1).expand(z=[1])", "task add: python_callable cannot be called: "),
        (
            "BashOperator.partial(task_id='t', bash_command='x').expand(retries=[1, 2])",
            "task t: retries is the same for all instances: give it to partial(…)",
        ),
        (
            "BashOperator.partial(task_id='t', bash_comand='x').expand(env=[{}])",
            "task t: BashOperator has no argument 'bash_comand'; did you mean 'bash_command'?",
        ),
        (
            "BashOperator.partial(task_id='t').expand(bash_command=['x', 5])",
            "task t: bash_command must be text, not 5",
        ),
        (
            "BashOperator.partial(task_id='t', env=5).expand(bash_command=['x'])",
            "task t: env must be a dict of texts, not 5",
        ),
        ("BashOperator.partial().expand(bash_command=['x'])", "task_id must be"),
        ("add.partial(y=1).expand(x=numbers()['a'])", "its length is not known; let the task return that part"),
        ("task.branch(f).expand(x=[1])", "task f: a task that decides between others is not mapped"),
        ("task.short_circuit(f).expand(x=[1])", "task f: a task that decides between others is not mapped"),
        ("add.partial(y=1).expand(x=list(range(1025)))", "task add: it would have 1,025 instances; at most 1,024 are"),
        ("add.expand(x=list(range(64)), y=list(range(64)))", "task add: it would have 4,096 instances; at most 1,024"),
        ("add.expand_kwargs([{}, 5])", "task add: expand_kwargs needs dicts of arguments, and item 1 is 5"),
        ("add.expand_kwargs({'x': 1})", "task add: expand_kwargs needs a list of dicts of arguments, not {'x': 1}"),
        (
            "add.partial(y=1).expand_kwargs([{'x': 1, 'y': 2}])",
            "task add: y is given to partial(…) and to expand_kwargs(…) (item 0)",
        ),
        (
            "BashOperator.partial(task_id='t').expand_kwargs([numbers(), {'bash_command': 'x', 'retries': 3}])",
            "task t: retries is the same for all instances: give it to partial(…) (item 1)",
        ),
        (
            "add.partial(y=1).expand(x=numbers().map('text'))",
            "map(…) needs a plain function, which is called with each item, not 'text'",
        ),
        ("add.partial(y=1).expand(x=numbers().map(add))", "map(…) needs a plain function, which is called with each"),
    ],
)
def test_what_cannot_be_is_a_mistake_where_it_is_written(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    {line}\n")
    mistakes = load_dags(tmp_path).mistakes
    assert any(said in str(each) for each in mistakes), mistakes
    assert all(str(each).startswith(f"{tmp_path}/d.py:{HEAD.count(chr(10)) + 1}: ") for each in mistakes)


def test_more_may_be_written_out_where_the_settings_allow_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    add.partial(y=1).expand(x=list(range(2000)))\n")
    monkeypatch.setenv("TAILRACE_MAX_MAP_LENGTH", "2000")
    assert load_dags(tmp_path).specs["d"].by_id["add"].mapped_over == (2000,)
    monkeypatch.setenv("TAILRACE_MAX_MAP_LENGTH", "1999")
    [mistake] = load_dags(tmp_path).mistakes
    assert mistake.message.endswith("it would have 2,000 instances; at most 1,999 are allowed (max_map_length)")


def test_one_xcom_of_several_may_be_expanded_over(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(f"{HEAD}    add.partial(y=1).expand(x=parts()['a'])\n")
    loaded = load_dags(tmp_path)
    assert loaded.specs["d"].by_id["add"].mapped_over == (XComRef("parts", "a"),)


@pytest.mark.parametrize("values", [None, 5, "text", [1], {}, []])
def test_values_that_cannot_be_arguments_fail_the_instance(values: Any) -> None:
    with DAG("d") as dag:
        source = PythonOperator(task_id="rows", python_callable=list).output
        BashOperator.partial(task_id="t").expand_kwargs(source)
        BranchPythonOperator(task_id="x", python_callable=list)
    with pytest.raises((TaskFailed, LookupError)):
        dag.task_dict["t"].for_index(0, lambda *asked: values)


items = st.recursive(
    st.lists(st.integers(), max_size=4),
    lambda inner: st.tuples(st.sampled_from(["zip", "fill", "concat"]), inner, inner),
)


def of_output(written: Any, source: Any) -> Any:
    """The same of outputs: a list is what a task returns."""
    if isinstance(written, list):
        return source(written)
    how, left, right = written
    left, right = of_output(left, source), of_output(right, source)
    if how == "concat":
        return left.concat(right)
    return left.zip(right, **({"fillvalue": 0} if how == "fill" else {}))


def by_hand(written: Any) -> list[Any]:
    if isinstance(written, list):
        return written
    how, left, right = written[0], by_hand(written[1]), by_hand(written[2])
    if how == "concat":
        return left + right
    return list(zip_longest(left, right, fillvalue=0) if how == "fill" else zip(left, right, strict=False))


@given(items)
def test_zip_and_concat_have_the_length_and_the_items_that_python_gives_them(written: Any) -> None:
    lists: dict[str, list[int]] = {}
    with DAG("d") as dag:

        @task
        def called(x: Any) -> None: ...

        def source(values: list[int]) -> Any:
            name = f"s{len(lists)}"
            lists[name] = values
            return PythonOperator(task_id=name, python_callable=list).output

        called.expand(x=of_output(written, source).map(str))
    spec = compiled(dag)["called"]
    assert {ref.task_id for ref in spec.length_sources} == set(spec.upstream) == lists.keys()
    assert spec_from(spec_text(DagSpec("d", (spec,)))).tasks[0] == spec
    expected = by_hand(written)
    assert spec.mapped_over is not None
    assert length(spec.mapped_over[0], lists) == len(expected)
    for index, value in enumerate(expected):
        made: Any = dag.task_dict["called"].for_index(index, lambda task_id, key: lists[task_id])
        assert made.op_kwargs["x"] == str(value)


def length(over: Over, lists: dict[str, list[int]]) -> int:
    if isinstance(over, Together):
        return over.length(length(each, lists) for each in over.of)
    return over if isinstance(over, int) else len(lists[over.task_id])


def test_what_a_function_makes_of_an_item_is_made_of_that_item_only() -> None:
    with DAG("d") as dag:

        @task
        def called(x: Any) -> None: ...

        called.expand(x=PythonOperator(task_id="s", python_callable=list).output.map(lambda n: 1 // n).zip(["a", "b"]))
    made: Any = dag.task_dict["called"].for_index(1, lambda *asked: [0, 1])
    assert made.op_kwargs["x"] == (1, "b")
    with pytest.raises(ZeroDivisionError):
        dag.task_dict["called"].for_index(0, lambda *asked: [0, 1])


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"bash_command": "x", "retries": 3}, "retries is the same for all instances"),
        ({"bash_command": "x", "task_id": "u"}, "task_id is the same for all instances"),
        ({"bash_command": "x", "env": {}}, "env is given to partial"),
    ],
)
def test_what_an_instance_cannot_have_of_its_own_fails_it_and_is_not_passed_over(
    kwargs: dict[str, Any], said: str
) -> None:
    with DAG("d") as dag:
        source = PythonOperator(task_id="rows", python_callable=list).output
        BashOperator.partial(task_id="t", env={"A": "1"}).expand_kwargs(source)
    with pytest.raises(TaskFailed, match=said):
        dag.task_dict["t"].for_index(0, lambda *asked: [kwargs])


def test_what_is_made_of_outputs_may_be_handed_over_whole() -> None:
    with DAG("d") as dag:

        @task
        def numbers() -> list[int]:
            return []

        found = numbers()
        texts = found.map(str)
    assert resolve({"all": [texts, found.zip(texts)]}, lambda *asked: [1, 2]) == {
        "all": [["1", "2"], [(1, "1"), (2, "2")]]
    }
    assert [output.operator for output in outputs_in(texts)] == [dag.task_dict["numbers"]]


def test_a_mapped_task_that_left_nothing_gives_an_empty_list() -> None:
    with DAG("d"):

        @task
        def one(x: int) -> None: ...

        mapped, plain = one.expand(x=[1]), one(1)
    assert resolve([mapped, plain], lambda *asked: None) == [[], None]
    assert resolve(mapped, lambda *asked: [5]) == [5]


def test_an_operator_that_never_calls_its_base_says_so() -> None:
    class Forgets(BaseOperator):
        def __init__(self, *, table: str, **arguments: Any) -> None:
            self.table = table

    with DAG("d") as dag:
        Forgets.partial(task_id="t").expand(table=["a"])
    with pytest.raises(TaskFailed, match=r"Forgets\.__init__ does not call super\(\)\.__init__"):
        dag.task_dict["t"].for_index(0, nothing)


def test_one_xcom_of_several_of_a_mapped_task_is_a_list_of_its_own() -> None:
    with DAG("d") as dag:

        @task(multiple_outputs=True)
        def parts(x: int) -> dict[str, int]:
            return {"a": x}

        @task
        def one(x: int) -> None: ...

        found = parts.expand(x=[1, 2])
        one.expand(x=found["a"])
    assert compiled(dag)["one"].mapped_over == (XComRef("parts", "a"),)
    pulled = {("parts", "a"): [1, 2], ("parts", "return_value"): [{"a": 1}, {"a": 2}]}
    assert resolve([found["a"], found[1]["a"]], lambda *asked: pulled.get(asked)) == [[1, 2], 2]
    with pytest.raises(LookupError, match="has no 7"):
        resolve(found[7], lambda *asked: pulled.get(asked))


def test_a_mapped_task_may_be_put_into_a_group_by_its_argument() -> None:
    with DAG("d") as dag:
        group = TaskGroup("g")

        @task(task_group=group)
        def called(x: int) -> None: ...

        called.expand(x=[1, 2])
        BashOperator.partial(task_id="shell", task_group=group).expand(bash_command=["true"])
    assert compiled(dag).keys() == {"g.called", "g.shell"}
    made: Any = dag.task_dict["g.shell"].for_index(0, nothing)
    assert (made.task_id, made.task_group) == ("g.shell", group)


def test_what_is_never_expanded_is_noted_where_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "d.py").write_text(
        HEAD
        + """
    add.partial(x=1)
    half = BashOperator.partial(task_id="b", bash_command="x")
    whole = add.partial(x=1)
    whole.expand(y=[1])
    whole.expand_kwargs([{"y": 1}])
    numbers.expand_kwargs([{}])
add.override(task_id="outside").partial(x=1)
"""
    )
    loaded = load_dags(tmp_path)
    first = HEAD.count("\n") + 2
    assert loaded.mistakes == ()
    assert sorted((note.line, note.dag_id, note.message.partition(":")[0]) for note in loaded.notes) == [
        (first, "d", "add.partial(…) makes no task"),
        (first + 1, "d", "BashOperator.partial(…) makes no task"),
        (first + 6, None, "add.partial(…) makes no task"),
    ]
