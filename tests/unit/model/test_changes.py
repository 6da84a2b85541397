"""What differs between two structures of a DAG, in words."""

from datetime import timedelta

from msgspec.structs import replace

from tailrace.model.changes import structure_changes
from tailrace.model.spec import DagSpec, GroupSpec, TaskSpec

A, B = TaskSpec("a", downstream=("b",)), TaskSpec("b", upstream=("a",))
DAG = DagSpec("d", (A, B))


def changed(**fields: object) -> tuple[str, ...]:
    return structure_changes(DAG, replace(DAG, **fields))


def test_tasks_come_first_and_a_relation_is_told_once() -> None:
    c = TaskSpec("c", upstream=("b",))
    after = (A, replace(B, downstream=("c",), retries=1, retry_delay=timedelta(1)), c)
    assert changed(tasks=after, catchup=True) == ("added c", "b: retries and retry_delay", "catchup")
    assert changed(tasks=(replace(A, downstream=()),)) == ("removed b",)
    assert changed(tasks=(replace(A, downstream=()), replace(B, upstream=()))) == ("b: upstream",)


def test_many_are_counted() -> None:
    added = tuple(TaskSpec(f"t{at}") for at in range(8))
    assert changed(tasks=(A, B, *added)) == ("added t0, t1, t2, t3, t4 and 3 more",)


def test_where_it_was_loaded_from_is_no_change() -> None:
    assert changed(file="x.py", code_hash="y") == ()
    assert changed(groups=(GroupSpec("g", ("a",)),)) == ("task groups",)
