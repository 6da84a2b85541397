"""How a DAG is drawn as a graph: everything of it once, nothing over another, whatever its texts hold."""

from itertools import combinations
from xml.etree import ElementTree as xml

from hypothesis import given
from hypothesis import strategies as st

from tailrace import DAG, EmptyOperator, Label, task, task_group
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.graphs.layers import placed
from tailrace.graphs.mermaid import mermaid
from tailrace.graphs.svg import svg
from tailrace.model.spec import DagSpec, TaskSpec
from tests.unit.authoring.random_groups import Written, build, related, written
from tests.unit.cli.test_tree import grouped

SVG = "{http://www.w3.org/2000/svg}"


def compiled(dag: DAG) -> DagSpec:
    spec = compile_dag(dag, "d.py", "")
    assert spec is not None, dag.mistakes
    return spec


def titles(picture: str) -> list[str]:
    return [each.text or "" for each in xml.fromstring(picture).iterfind(f".//{SVG}g/{SVG}title")]


def test_groups_are_subgraphs_and_labels_stand_on_arrows() -> None:
    assert mermaid(grouped()).split("\n") == [
        "flowchart LR",
        '    t0["start<br/><small>EmptyOperator</small>"]',
        '    subgraph g5["g"]',
        '        t1["g.a<br/><small>EmptyOperator</small>"]',
        '        subgraph g6["g.h"]',
        '            t2["g.h.b<br/><small>EmptyOperator</small>"]',
        '            t3["g.h.c<br/><small>EmptyOperator</small>"]',
        "        end",
        "    end",
        '    t4["end<br/><small>EmptyOperator</small>"]',
        "    t0 --> t1",
        '    t1 -- "found" --> t2',
        '    t1 -- "found" --> t3',
        '    t2 -- "done" --> t4',
        '    t3 -- "done" --> t4',
    ]


def test_mapped_tasks_have_a_second_edge() -> None:
    @task
    def each(x: int) -> int:
        return x

    with DAG("d", schedule=None) as dag:
        each.expand(x=[1, 2])
        EmptyOperator(task_id="one")
    spec = compiled(dag)
    assert 't0[["each<br/><small>PythonOperator, mapped</small>"]]' in mermaid(spec)
    assert svg(spec).count("<rect") == 3


def test_a_mapped_group_has_a_second_edge_and_its_tasks_none() -> None:
    @task_group
    def each(x: int) -> None:
        EmptyOperator(task_id="a") >> EmptyOperator(task_id="b")

    with DAG("d", schedule=None) as dag:
        each.expand(x=[1, 2])
    spec = compiled(dag)
    assert mermaid(spec).splitlines()[1:4] == [
        '    subgraph g2["each, mapped"]',
        '        t0["each.a<br/><small>EmptyOperator</small>"]',
        '        t1["each.b<br/><small>EmptyOperator</small>"]',
    ]
    assert svg(spec).count("<rect") == 4
    assert titles(svg(spec))[0] == "each: 2 tasks, mapped"


def test_texts_are_no_markup() -> None:
    with DAG("d", schedule=None, default_args={"pool": 'a"]<b>&c'}) as dag:
        EmptyOperator(task_id="a") >> Label('<i>"x" & y;') >> EmptyOperator(task_id="b")
    spec = compiled(dag)
    assert '"#60;i#62;#34;x#34; #38; y' in mermaid(spec)
    assert 'pool=a"]<b>&c' in titles(svg(spec))[0]


@given(written())
def test_everything_is_drawn_once(of: Written) -> None:
    dag, _ = build(of, [len(of.kinds)] * len(related(of)))
    spec = compile_dag(dag, "d.py", "")
    if spec is None:  # its relations make a circle
        return
    names = [*(task.task_id for task in spec.tasks), *(group.group_id for group in spec.groups)]
    assert sorted(title.partition(":")[0] for title in titles(svg(spec))) == sorted(names)
    text = mermaid(spec)
    for name in spec.by_id:
        assert text.count(f'"{name}<br/>') == 1
    assert text.count("-->") == sum(len(task.downstream) for task in spec.tasks)


@given(
    st.lists(st.tuples(st.floats(1, 300), st.floats(1, 300)), max_size=12),
    st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11))),
)
def test_no_box_lies_over_another(sizes: list[tuple[float, float]], arrows: set[tuple[int, int]]) -> None:
    boxes = {str(at): size for at, size in enumerate(sizes)}
    ways = {(str(a), str(b)): 10.0 for a, b in arrows if a != b and max(a, b) < len(sizes)}
    found = placed(boxes, ways)
    assert found.corners.keys() == boxes.keys() and found.arrows.keys() == ways.keys()
    for one, other in combinations(boxes, 2):
        (x, y), (w, h), (ox, oy), (ow, oh) = found.corners[one], boxes[one], found.corners[other], boxes[other]
        assert x + w <= ox or ox + ow <= x or y + h <= oy or oy + oh <= y
    for name, (x, y) in found.corners.items():
        assert x >= 0 and y >= 0
        assert x + boxes[name][0] <= found.width + 1e-6 and y + boxes[name][1] <= found.height + 1e-6
    for (before, after), points in found.arrows.items():
        assert points[0][0] == found.corners[before][0] + boxes[before][0] and points[-1][0] == found.corners[after][0]
        assert int(before) > int(after) or [x for x, _ in points] == sorted(x for x, _ in points)


def test_a_dag_that_nobody_can_follow_is_drawn_too() -> None:
    """A hundred tasks, each before all that follow: their arrows would have 160,000 bends."""
    ids = [f"t{at:03}" for at in range(100)]
    tasks = tuple(
        TaskSpec(name, "EmptyOperator", upstream=tuple(ids[:at]), downstream=tuple(ids[at + 1 :]))
        for at, name in enumerate(ids)
    )
    assert svg(DagSpec("d", tasks)).count('class="way"') == 100 * 99 // 2
