"""How a DAG with task groups is drawn."""

import io
import sys

import pytest
from hypothesis import given

from tailrace import DAG, EmptyOperator, Label, TaskGroup
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.cli.tree import task_tree
from tailrace.model.spec import DagSpec
from tests.unit.authoring.random_groups import Written, build, related, written
from tests.unit.cli.test_tables import Terminal


def grouped() -> DagSpec:
    with DAG("d") as dag:
        start, end = EmptyOperator(task_id="start"), EmptyOperator(task_id="end")
        with TaskGroup("g", tooltip="all of it") as g:
            a = EmptyOperator(task_id="a")
            with TaskGroup("h") as h:
                EmptyOperator(task_id="b"), EmptyOperator(task_id="c")
            a >> Label("found") >> h
        TaskGroup("empty")
        start >> g >> Label("done") >> end
    spec = compile_dag(dag, "d.py", "")
    assert spec is not None
    return spec


def test_a_group_is_drawn_as_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert list(task_tree(grouped())) == [
        "start  EmptyOperator",
        "└─ [g]  3 tasks, all of it",
        "   │  ┊ g.a  EmptyOperator",
        "   │  ┊ └─ (found) [g.h]  2 tasks",
        "   │  ┊       ┊ g.h.b  EmptyOperator",
        "   │  ┊       ┊ g.h.c  EmptyOperator",
        "   └─ (done) end  EmptyOperator",
        "[empty]  no tasks",
    ]
    assert list(task_tree(grouped(), folded=True)) == [
        "start  EmptyOperator",
        "└─ [g]  3 tasks, all of it",
        "   └─ (done) end  EmptyOperator",
        "[empty]  no tasks",
    ]


def test_groups_that_follow_one_another_are_drawn_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their tasks are in no circle."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with DAG("d") as dag:
        with TaskGroup("g"):
            a, d = EmptyOperator(task_id="a"), EmptyOperator(task_id="d")
        with TaskGroup("h"):
            b = EmptyOperator(task_id="b")
        a >> b >> d
    spec = compile_dag(dag, "d.py", "")
    assert spec is not None
    assert list(task_tree(spec)) == [
        "[g]  2 tasks",
        "|  : g.a  EmptyOperator",
        "|  : g.d  EmptyOperator",
        "`- [h]  1 task",
        "   |  : h.b  EmptyOperator",
        "   `- [g] (drawn above)",
    ]


@given(written())
def test_every_task_and_group_is_drawn_once(dag: Written) -> None:
    found, _ = build(dag, [len(dag.kinds)] * len(related(dag)))
    spec = compile_dag(found, "d.py", "")
    if spec is not None:
        names = [line.lstrip("├└│─┊ ").split("  ")[0] for line in task_tree(spec) if "(drawn above)" not in line]
        assert sorted(names) == sorted([*spec.by_id, *(f"[{group.group_id}]" for group in spec.groups)])
