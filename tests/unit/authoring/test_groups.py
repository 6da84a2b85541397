"""Task groups as authors write them: ids, default_args, decorated functions, branches, and what is wrong with them."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace import DAG, EmptyOperator, Label, TaskGroup, task, task_group
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.dags.group_arguments import GROUP_ARGUMENTS
from tailrace.authoring.operators.shipped import followed_ids
from tailrace.errors import TaskFailed
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.spec import DagSpec, GroupSpec, TaskSpec
from tests.unit.authoring.conftest import FIRST_LINE, Load, noted, said
from tests.unit.model.anything import json_values


def spec_of(load: Load, body: str) -> DagSpec:
    loaded = load(body)
    assert said(loaded) == []
    return next(iter(loaded.specs.values()))


def ids(spec: DagSpec) -> list[str]:
    return sorted(spec.by_id)


def test_ids_begin_with_those_of_the_groups_around_them(load: Load) -> None:
    spec = spec_of(
        load,
        """
        with DAG("x") as x:
            with TaskGroup("outer", tooltip="all of it") as outer:
                EmptyOperator(task_id="a")
                with TaskGroup("inner", prefix_group_id=False) as inner:
                    EmptyOperator(task_id="b")
                    with TaskGroup("deep"):
                        @task
                        def c(): pass
                        c() >> c()
            EmptyOperator(task_id="a", task_group=inner)
            EmptyOperator(task_id="d", task_group=outer)
            TaskGroup("late", parent_group=outer)
        with TaskGroup("by_dag", dag=x):
            EmptyOperator(task_id="e")
        EmptyOperator(task_id="f", task_group=outer)
        with DAG("y"):
            EmptyOperator(task_id="g", dag=x)
        """,
    )
    assert ids(spec) == ["a", "b", "by_dag.e", "deep.c", "deep.c__1", "g", "outer.a", "outer.d", "outer.f"]
    assert spec.groups == (
        GroupSpec("by_dag", ("by_dag.e",)),
        GroupSpec("deep", ("deep.c", "deep.c__1"), "outer.inner"),
        GroupSpec("outer", ("outer.a", "outer.d", "outer.f"), "", "all of it"),
        GroupSpec("outer.inner", ("a", "b"), "outer"),
        GroupSpec("outer.late", (), "outer"),
    )
    assert spec.groups_around("deep.c") == ("deep", "outer.inner", "outer")
    assert spec.groups_around("g") == ()


def test_a_block_that_is_opened_again_goes_on_where_it_was(load: Load) -> None:
    spec = spec_of(
        load,
        """
        with DAG("x") as x:
            with TaskGroup("g") as g:
                with DAG("y"), x:
                    EmptyOperator(task_id="of_dag")
                EmptyOperator(task_id="a")
            with g:
                EmptyOperator(task_id="b")
            EmptyOperator(task_id="c")
        """,
    )
    assert ids(spec) == ["c", "g.a", "g.b", "of_dag"]


def test_a_block_that_raises_is_closed(load: Load) -> None:
    spec = spec_of(
        load,
        """
        with DAG("x"):
            try:
                with TaskGroup("g"):
                    raise KeyError
            except KeyError:
                EmptyOperator(task_id="a")
        """,
    )
    assert ids(spec) == ["a"]


def test_default_args_of_the_innermost_group_win(load: Load) -> None:
    loaded = load(
        """
        class Own(BaseOperator):
            def __init__(self, *, table=None, **more):
                super().__init__(**more)
                self.table = table
        with DAG("x", default_args={"retries": 1, "pool": "p", "table": "of dag"}):
            with TaskGroup("outer", default_args={"retries": 2, "owner": "me"}):
                with TaskGroup("inner", default_args={"retries": 3, "table": "of group"}):
                    a = Own(task_id="a")
                    b = Own(task_id="b", retries=4, table="its own")
                c = EmptyOperator(task_id="c")
            d = Own(task_id="d")
        """
    )
    assert said(loaded) == []
    found = loaded.dags["x"].task_dict
    assert [(each.retries, each.pool, each.owner) for each in found.values()] == [
        (3, "p", "me"),
        (4, "p", "me"),
        (2, "p", "me"),
        (1, "p", ""),
    ]
    assert [found[each].table for each in ("outer.inner.a", "outer.inner.b", "d")] == ["of group", "its own", "of dag"]


@pytest.mark.parametrize(
    ("default_args", "mistake", "note"),
    [
        ('{"retires": 2}', "task group g: default_args has no argument 'retires'; did you mean 'retries'?", ""),
        ('{"retries": "two"}', "task group g: default_args: retries must be a whole number, at least 0, not 'two'", ""),
        ('{"catchup": True}', "task group g: default_args are for tasks, and catchup is the DAG's: give it to", ""),
        ('{"sla": 5}', "task group g: default_args: sla is not watched yet; leave it out", ""),
        ('{"bash_command": "x"}', "", "no task of task group g takes bash_command of default_args"),
        ('{"start_date": datetime(2024, 1, 1)}', "", ""),
        ('{"start_date": datetime(2024, 1, 2)}', "task group g: default_args: start_date 2024-01-02", ""),
        ('{"end_date": datetime(2024, 1, 2)}', "task group g: default_args: end_date is the DAG's: give it to", ""),
        ("7", "task group g: default_args must be a dict, not 7", ""),
        ('{"task_id": "x"}', "", "no task of task group g takes task_id of default_args"),
    ],
)  # fmt: skip
def test_default_args_are_taken_or_told_of(load: Load, default_args: str, mistake: str, note: str) -> None:
    loaded = load(
        f"""
        with DAG("x", start_date=datetime(2024, 1, 1)):
            BashOperator(task_id="b", bash_command="true")
            with TaskGroup("g", default_args={default_args}):
                EmptyOperator(task_id="a")
        """
    )
    assert [each[: len(mistake)] for each in said(loaded)] == [mistake] * bool(mistake)
    assert noted(loaded) == [note] * bool(note)


def test_a_function_makes_a_group_with_each_call(load: Load) -> None:
    spec = spec_of(
        load,
        '''
        with DAG("x"):
            @task
            def numbers(): return [1]
            @task
            def add(values): return values
            @task_group
            def total(values, more=None):
                """Adds them up.

                At length.
                """
                return add(values)
            @task_group(group_id="other", default_args={"retries": 2}, tooltip="otherwise")
            def nothing():
                add(1)
            end = EmptyOperator(task_id="end")
            add.override(task_id="last")(total(numbers(), more=3)) >> end
            total(2)
            total.override(group_id="again", prefix_group_id=False)(numbers())
            nothing() >> end
            with TaskGroup("within"):
                total(3)
                total(4)
            @task_group("named")
            def unnamed(): add(1)
            unnamed()
        ''',
    )
    assert ids(spec) == [
        *("add", "end", "last", "named.add", "numbers", "numbers__1", "other.add", "total.add", "total__1.add"),
        *("within.total.add", "within.total__1.add"),
    ]
    assert [(group.group_id, group.tooltip) for group in spec.groups if "within" not in group.group_id] == [
        ("again", "Adds them up."),
        ("named", ""),
        ("other", "otherwise"),
        ("total", "Adds them up."),
        ("total__1", "Adds them up."),
    ]
    assert spec.by_id["other.add"].retries == 2
    assert spec.by_id["end"].upstream == ("last", "other.add")
    assert spec.by_id["last"].upstream == ("total.add",)
    assert spec.by_id["total.add"].upstream == ("numbers",)
    assert spec.by_id["add"].upstream == ("numbers__1",)


def test_a_suffix_is_for_ids_of_tasks_and_groups_alike() -> None:
    with DAG("x") as dag:
        EmptyOperator(task_id="g")
        groups = [TaskGroup("g", add_suffix_on_collision=True) for _ in range(2)]
        with groups[0]:
            EmptyOperator(task_id="h")
            groups.append(TaskGroup("h", add_suffix_on_collision=True))
    assert [each.group_id for each in groups] == ["g__1", "g__2", "g__1.h__1"]
    assert dag.mistakes == []


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ('TaskGroup("g")', "task group g: its id is that of the task group at line {4}; take another one"),
        ('TaskGroup("a")', "task group a: its id is that of the task at line {2}; take another one"),
        ('EmptyOperator(task_id="g")', "task g: its id is that of the task group at line {4}; take another one"),
        ('EmptyOperator(task_id="g.b")', "duplicate task_id 'g.b'; the first is at line {5}"),
        ("g >> g", "task group g cannot be related to itself"),
        ("g >> b", "task group g cannot be related to g.b, which is in it"),
        ("b >> Label('x') >> g", "task group g cannot be related to g.b, which is in it"),
        ("g << h", "task group g cannot be related to g.h, which is in it"),
        ("x.task_group >> a", "the group of a whole DAG is before and after nothing"),
        ("a >> g >> a", "cycle: a >> g.b >> a (by a >> g and g >> a)"),
        ("g >> TaskGroup('e') >> g", "cycle: g.b >> e >> g.b (by g >> e and e >> g)"),
        ("a >> b; g >> a", "cycle: a >> g.b >> a (by g >> a)"),
        ("e = TaskGroup('e'); f = TaskGroup('f'); e >> f >> e", "cycle: e >> f >> e (by e >> f and f >> e)"),
        ("a >> 7", "task a: only tasks, task groups and lists of them can be related by >> and <<, not 7"),
        ("g >> 7", "task group g: only tasks, task groups and lists of them can be related by >> and <<, not 7"),
        ("a >> Label('x')", "Label('x') stands between two tasks or groups, a >> Label('x') >> b, and here one of the"),
        ("a >> Label(7) >> g", "Label(7) must be text in one line, not 7"),
        ("a >> Label('x') >> Label('y') >> g", "Label('x') >> Label('y'): a label stands between tasks or groups"),
        ("TaskGroup('a.b')", "task group 'a.b': group_id must be a name without dots, which stand between a group and"),
        ("TaskGroup('a b')", "task group 'a b': group_id must be a name without spaces or slashes, not 'a b'"),
        ("TaskGroup('a[0]')", "task group 'a[0]': group_id must be a name without brackets, which are for the index o"),
        ("TaskGroup('')", "task group '': group_id must be a name without spaces or slashes, not ''"),
        ("TaskGroup(7)", "task group 7: group_id must be a name without spaces or slashes, not 7"),
        ("TaskGroup('g' * 300)", "task group 'ggg"),
        ("EmptyOperator(task_id='e' * 219, task_group=g)", "task 'g.eee"),
        ("EmptyOperator(task_id='a[0]')", "task 'a[0]': task_id must be a name without brackets, which are for the in"),
        ("EmptyOperator(task_id='e', task_group='g')", "task e: task_group must be a TaskGroup, not 'g'"),
        ("EmptyOperator(task_id='e', task_group=g, dag=DAG('y'))", "task g.e: task_group is in another DAG, x, than d"),
        ("TaskGroup('e', parent_group=a)", "task group e: parent_group must be a TaskGroup, not <Task(EmptyOperator):"),
        ("TaskGroup('e', dag='x')", "task group e: dag must be a DAG, not 'x'"),
        ("TaskGroup('e', parent_group=g, dag=DAG('y'))", "task group g.e: parent_group is in another DAG, x, than dag"),
        ("TaskGroup('e', tooltips='t')", "task group e: TaskGroup has no argument 'tooltips'; did you mean 'tooltip'?"),
        ("TaskGroup('e', tooltip=7)", "task group e: tooltip must be text, not 7"),
        ("TaskGroup('e', prefix_group_id='no')", "task group e: prefix_group_id must be True or False, not 'no'"),
        ("a >> TaskGroup('e', dag=DAG('y'))", "task group e: a and e are in different DAGs and cannot be related"),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line_with_its_place(load: Load, line: str, mistake: str) -> None:
    loaded = load(
        f"""
        with DAG("x") as x:
            a = EmptyOperator(task_id="a")
            c = EmptyOperator(task_id="c")
            with TaskGroup("g") as g:
                b = EmptyOperator(task_id="b")
                h = TaskGroup("h")
            {line}
        """
    )
    expected = mistake.format(*range(FIRST_LINE - 1, FIRST_LINE + 8))
    assert [each[: len(expected)] for each in said(loaded)] == [expected]
    assert "\n" not in said(loaded)[0]
    assert loaded.mistakes[0].line in (FIRST_LINE + 6, FIRST_LINE + 1, FIRST_LINE + 3)


def test_a_group_outside_any_dag_is_one_mistake(load: Load) -> None:
    loaded = load(
        """
        with TaskGroup("g"):
            EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")
        @task_group
        def h(): pass
        h()
        """
    )
    assert said(loaded) == [
        "task group g: it is in no DAG; write it inside `with DAG(…):` or give it dag=",
        "task group h: it is in no DAG; write it inside `with DAG(…):` or give it dag=",
    ]


def test_a_branch_follows_a_group_into_its_first_tasks(load: Load) -> None:
    loaded = load(
        """
        with DAG("x"):
            @task.branch
            def choose(): return "g"
            with TaskGroup("g") as g:
                a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
                c = EmptyOperator(task_id="c")
                [a, b] >> c
            with TaskGroup("part") as part:
                d, e = EmptyOperator(task_id="d"), EmptyOperator(task_id="e")
            empty, more, far = TaskGroup("empty"), TaskGroup("more"), TaskGroup("far")
            end = EmptyOperator(task_id="end")
            choose() >> [g, d, empty]
            empty >> more >> end >> far
        """
    )
    assert said(loaded) == []
    choose = loaded.dags["x"].get_task("choose")
    assert followed_ids(choose, "g") == ("g.a", "g.b")
    assert followed_ids(choose, ["g", "part.d"]) == ("g.a", "g.b", "part.d")
    assert followed_ids(choose, "part") == ("part.d",)
    assert followed_ids(choose, "empty") == ("end",)
    assert followed_ids(choose, None) == ()
    for wrong in ("a", "g.c", "far", "nobody", ["g", "nobody"]):
        with pytest.raises(TaskFailed, match="not directly downstream of it; those are: end, g.a, g.b, part.d"):
            followed_ids(choose, wrong)


def test_what_real_files_ask_of_groups() -> None:
    with DAG("x") as dag, TaskGroup("g") as g:
        a = EmptyOperator(task_id="a")
        with TaskGroup("h") as h:
            b = EmptyOperator(task_id="b")
    assert dag.task_group.children == {"g": g}
    assert g.children == {"g.a": a, "g.h": h}
    assert g.get_child_by_label("a") is a
    assert g.get_child_by_label("h") is h
    assert list(g) == list(dag.task_group) == [a, b]
    assert dag.task_group_dict == {"g": g, "g.h": h}
    assert (g.node_id, h.group_id, b.node_id, b.task_group) == ("g", "g.h", "g.h.b", h)


def test_a_structure_without_groups_is_stored_as_ever() -> None:
    plain = DagSpec("d", (TaskSpec("a"),))
    assert '"groups"' not in spec_text(plain)
    assert '"labels"' not in spec_text(plain)
    assert spec_from(spec_text(plain)) == plain


def test_groups_and_labels_come_back_from_the_metastore(load: Load) -> None:
    spec = spec_of(
        load,
        """
        with DAG("x"):
            with TaskGroup("g", tooltip="why") as g:
                @task_group
                def inner(): EmptyOperator(task_id="a")
                inner() >> Label("on") >> EmptyOperator(task_id="b")
        """,
    )
    assert spec_from(spec_text(spec)) == spec
    assert (len(spec.groups), len(spec.labels)) == (2, 1)


def test_outputs_relate_tasks_through_groups() -> None:
    with DAG("x") as dag:

        @task
        def make() -> int:
            return 1

        @task_group
        def use(value: int) -> None:
            task(task_id="put")(print)(value)

        use(make())
    assert dag.get_task("use.put").upstream_task_ids == {"make"}


@given(st.sampled_from(["group_id", "label", *GROUP_ARGUMENTS]), st.one_of(json_values, st.just(print), st.binary()))
@example("group_id", "g" * 221)
@example("label", "\ud800")
@example("default_args", {"\0": 1})
def test_whatever_it_is_given_is_taken_or_one_mistake(name: str, value: Any) -> None:
    with DAG("d") as dag:
        arguments: dict[str, Any] = {"group_id": "g", **({} if name == "label" else {name: value})}
        with TaskGroup(**arguments) as group:
            EmptyOperator(task_id="a") >> Label(value if name == "label" else "x") >> EmptyOperator(task_id="b")
    spec = compile_dag(dag, "d.py", "")
    assert isinstance(group.group_id, str)
    assert (spec is None) is bool(dag.mistakes)
    if name != "default_args":
        assert len(dag.mistakes) <= 1
    assert all("\n" not in mistake.message for mistake in dag.mistakes)
    if spec is not None:
        assert spec_from(spec_text(spec)) == spec
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(spec), type=DagSpec) == spec
