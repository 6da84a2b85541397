"""Relations of groups: a random DAG of nested groups has the edges that a second, flat computation finds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import DAG, EmptyOperator, Label, TaskGroup
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.relations.edges import Node
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.spec import DagSpec
from tests.unit.authoring.conftest import Load, noted, said
from tests.unit.authoring.random_groups import Written, build, related, within, written


def flat(dag: Written) -> set[tuple[int, int]] | None:
    """The edges between tasks, by asking again and again until nothing is new; None for a circle.

    An empty group is taken for a task. Who has nothing above it within its group is first there, so an edge to a group
    goes to all of whom that holds; the more edges there are the fewer they are, so inner pairs come before outer ones.
    """
    groups = {at for at, kind in enumerate(dag.kinds) if kind}
    nodes = [at for at in range(len(dag.kinds)) if at not in groups or at not in dag.parents]
    inside = {thing: {node for node in nodes if thing in within(dag, node)} for thing in range(len(dag.kinds))}

    def depth(pair: tuple[int, int]) -> int:
        return len(within(dag, pair[0]) & within(dag, pair[1]))

    edges: set[tuple[int, int]] = set()
    for level in sorted({depth(pair) for pair in related(dag)}, reverse=True):
        new = set()
        for up, down in (pair for pair in related(dag) if depth(pair) == level):
            lasts = {node for node in inside[up] if not any((node, other) in edges for other in inside[up])}
            firsts = {node for node in inside[down] if not any((other, node) in edges for other in inside[down])}
            new |= {(last, first) for last in lasts for first in firsts}
        edges |= new
    reach = set(edges)
    while more := {(a, d) for a, b in reach for c, d in edges if b == c} - reach:
        reach |= more
    if any(a == b for a, b in reach):
        return None
    for empty in groups & set(nodes):
        above = {up for up, down in edges if down == empty}
        below = {down for up, down in edges if up == empty}
        edges = {edge for edge in edges if empty not in edge} | {(up, down) for up in above for down in below}
    return edges


@settings(max_examples=400, deadline=None)
@given(written(), st.data())
def test_nested_groups_have_the_edges_of_the_flat_dag(dag: Written, data: st.DataObject) -> None:
    """Wherever in the file a relation stands, before or after the groups are filled."""
    count = len(related(dag))
    order = data.draw(st.lists(st.integers(0, len(dag.kinds)), min_size=count, max_size=count))
    found, made = build(dag, order)
    spec = compile_dag(found, "d.py", "")
    expected = flat(dag)
    if expected is None:
        assert spec is None
        assert [mistake.message.startswith("cycle: ") for mistake in found.mistakes] == [True]
        return
    assert spec is not None, found.mistakes
    names = {(made[up].node_id, made[down].node_id) for up, down in expected}
    assert {(up, task.task_id) for task in spec.tasks for up in task.upstream} == names
    assert {(task.task_id, down) for task in spec.tasks for down in task.downstream} == names


def spec_of(load: Load, body: str) -> DagSpec:
    loaded = load(body)
    assert said(loaded) == []
    return next(iter(loaded.specs.values()))


def edges(spec: DagSpec) -> set[str]:
    return {f"{up} {task.task_id}" for task in spec.tasks for up in task.upstream}


BODY = """
with DAG("x"):
    a, b = EmptyOperator(task_id="a"), EmptyOperator(task_id="b")
    with TaskGroup("g") as g:
        c, d, e = (EmptyOperator(task_id=name) for name in "cde")
        c >> [d, e]
    {0}
"""


def edges_with(load: Load, line: str) -> set[str]:
    return edges(spec_of(load, BODY.format(line))) - {"g.c g.d", "g.c g.e"}


def test_each_way_to_write_it(load: Load) -> None:
    around = {"a g.c", "g.d b", "g.e b"}
    for line in (
        "a >> g >> b",
        "b << g << a",
        "chain(a, g, b)",
        "chain([a], [g], [b])",
        "g.set_upstream(a); g.set_downstream(b)",
        "a.set_downstream(g); b.set_upstream([g])",
        "cross_downstream([a], [g]); cross_downstream(g, b)",
        "a >> Label('x') >> g >> Label('y') >> b",
        "[a] >> Label('x') >> [g]; chain(g, [Label('y')], [b])",
        "b << Label('y') << g << Label('x') << a",
        "[a] >> g; [b] << g",
    ):
        assert edges_with(load, line) == around, line
    assert edges_with(load, "[a, b] >> g") == {"a g.c", "b g.c"}
    assert edges_with(load, "g >> [a, b]") == {"g.d a", "g.e a", "g.d b", "g.e b"}


def test_a_group_is_related_as_it_is_in_the_end(load: Load) -> None:
    """In Airflow `start >> g` before the group is filled relates nothing, in silence."""
    spec = spec_of(
        load,
        """
        with DAG("x"):
            start = EmptyOperator(task_id="start")
            with TaskGroup("g") as g:
                start >> g
                one = EmptyOperator(task_id="one")
            two = EmptyOperator(task_id="two", task_group=g)
            two >> one
        """,
    )
    assert edges(spec) == {"start g.two", "g.two g.one"}


def test_an_empty_group_lets_relations_through_and_is_noted(load: Load) -> None:
    loaded = load(
        """
        with DAG("x"):
            a, b, c = (EmptyOperator(task_id=name) for name in "abc")
            with TaskGroup("outer") as outer:
                inner = TaskGroup("inner")
            a >> Label("in") >> outer >> Label("out") >> b
            inner >> c
        """
    )
    spec = loaded.specs["x"]
    assert edges(spec) == {"a b", "a c"}
    assert [(each.upstream, each.downstream, each.label) for each in spec.labels] == [
        ("a", "b", "in, out"),
        ("a", "c", "in"),
    ]
    assert noted(loaded) == ["task group outer.inner is empty: relations go through it"]


def test_labels_are_kept(load: Load) -> None:
    spec = spec_of(load, BODY.format("[a, b] >> Label('both') >> g; c >> Label('far') >> d"))
    assert [(each.upstream, each.downstream, each.label) for each in spec.labels] == [
        ("a", "g.c", "both"),
        ("b", "g.c", "both"),
        ("g.c", "g.d", "far"),
    ]


def test_a_thousand_nested_groups(load: Load) -> None:
    spec = spec_of(
        load,
        """
        with DAG("x"):
            a = EmptyOperator(task_id="a")
            parent = None
            for i in range(1000):
                parent = TaskGroup(f"g{i}", parent_group=parent, prefix_group_id=False)
                if i == 0:
                    a >> parent
            EmptyOperator(task_id="b", task_group=parent)
        """,
    )
    assert edges(spec) == {"a b"}


@given(written(), st.data())
def test_whatever_is_written_is_a_dag_or_its_mistakes(dag: Written, data: st.DataObject) -> None:
    """Ids that are there already, things related to themselves and to what they are in, labels anywhere."""
    made: list[Node] = []
    with DAG("d") as found:
        for at, kind in enumerate(dag.kinds):
            parent: Any = None if dag.parents[at] is None else made[dag.parents[at] or 0]
            name = data.draw(st.sampled_from("abc"))
            suffixed = data.draw(st.booleans())
            made.append(
                TaskGroup(name, parent_group=parent, prefix_group_id=dag.prefixes[at], add_suffix_on_collision=suffixed)
                if kind
                else EmptyOperator(task_id=name, task_group=parent)
            )
        labels = [Label("x"), Label("y"), found.task_group]
        for pair in dag.pairs:
            up, down = (data.draw(st.sampled_from([made[at], made[at], *labels])) for at in pair)
            up >> down
    spec = compile_dag(found, "d.py", "")
    assert (spec is None) is bool(found.mistakes)
    if spec is not None:
        assert set(spec.by_id) == set(found.task_dict)
        assert {group.group_id for group in spec.groups} == found.task_group_dict.keys()
        assert spec_from(spec_text(spec)) == spec


@pytest.mark.parametrize(
    "body", ["async def made(): EmptyOperator(task_id='a')", "def made(): yield EmptyOperator(task_id='a')"]
)
@pytest.mark.parametrize("decorator", ["task_group", "dag(start_date=datetime(2024, 1, 1))"])
def test_a_function_whose_code_never_runs_makes_nothing_and_is_a_mistake(load: Load, decorator: str, body: str) -> None:
    loaded = load(f"""
        @{decorator}
        {body}
        with DAG("d"):
            made()
        """)
    assert len(said(loaded)) == 1
    assert "whose code has not run: write it without async and yield" in said(loaded)[0]


def test_a_group_of_one_decorated_task_has_that_task(load: Load) -> None:
    loaded = load("""
        with DAG("d"):
            @task_group
            @task(retries=3)
            def one():
                return 1
            one()
        """)
    assert said(loaded) == []
    assert [(each.task_id, each.retries) for each in loaded.specs["d"].tasks] == [("one.one", 3)]
