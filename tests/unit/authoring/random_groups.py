"""Random DAGs of nested groups: what is in what, what is related to what, and the DAG as an author would write it."""

from datetime import datetime
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from tailrace import DAG, EmptyOperator, TaskGroup
from tailrace.authoring.relations.edges import Node


class Written(Struct, frozen=True):
    """A DAG in which each thing is in an earlier group (None: in none), and what was related to what, in that order.

    ``kinds``: whether a thing is a group. ``late`` things are written after all relations between earlier ones.
    """

    kinds: tuple[bool, ...]
    parents: tuple[int | None, ...]
    pairs: tuple[tuple[int, int], ...]
    prefixes: tuple[bool, ...]


@st.composite
def written(draw: st.DrawFn) -> Written:
    count = draw(st.integers(1, 12))
    kinds = tuple(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    parents: list[int | None] = []
    for at in range(count):
        groups = [each for each in range(at) if kinds[each]]
        parents.append(draw(st.sampled_from([None, *groups])))
    numbers = st.integers(0, count - 1)
    pairs = draw(st.lists(st.tuples(numbers, numbers), max_size=12))
    return Written(
        kinds, tuple(parents), tuple(pairs), tuple(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    )


def within(dag: Written, thing: int) -> set[int]:
    """The things around one, itself included."""
    found = {thing}
    while (parent := dag.parents[thing]) is not None:
        thing = parent
        found.add(thing)
    return found


def related(dag: Written) -> list[tuple[int, int]]:
    """The pairs that may be related: neither is in the other."""
    return [(up, down) for up, down in dag.pairs if up not in within(dag, down) and down not in within(dag, up)]


def build(dag: Written, order: list[int]) -> tuple[DAG, dict[int, Node]]:
    """The DAG as an author would write it; ``order`` says where among the things each relation is written."""
    made: dict[int, Node] = {}
    with DAG("d", start_date=datetime(2024, 1, 1)) as found:
        for at, kind in enumerate(dag.kinds):
            parent: Any = None if dag.parents[at] is None else made[dag.parents[at] or 0]
            if kind:
                made[at] = TaskGroup(f"n{at}", parent_group=parent, prefix_group_id=dag.prefixes[at])
            else:
                made[at] = EmptyOperator(task_id=f"n{at}", task_group=parent)
            for (up, down), when in zip(related(dag), order, strict=True):
                if max(up, down, when) == at:
                    made[up] >> made[down]
        for (up, down), when in zip(related(dag), order, strict=True):
            if max(up, down, when) >= len(dag.kinds):
                made[up] >> made[down]
    return found, made
