"""Which tasks come before which where groups are related: what is after a group follows its last tasks, and so on.

It is decided once the whole DAG has been read, so it does not matter whether a group is related before it is filled. A
group without any task stands for one that does nothing, and that is taken out again: relations go through it.
"""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from msgspec import Struct

from tailrace.authoring.dags.dag import DAG
from tailrace.authoring.relations.edges import Node, Relation, Task
from tailrace.authoring.relations.groups import Group

Edge = tuple[str, str]


class Order(Struct, frozen=True):
    """What all relations of a DAG come to: the labels of its edges, and the first circle among them, if any."""

    labels: Mapping[Edge, str]
    circle: tuple[Node, ...] = ()
    by: tuple[Relation, ...] = ()  # the relations of groups in that circle


def settle(dag: DAG) -> Order:
    """Write the relations of groups into the tasks that they mean, and say what is to be known of the order."""
    graph = _Graph(dag)
    graph.relate_groups()
    try:
        order = list(TopologicalSorter(graph.above).static_order())
    except CycleError as error:
        circle = _from_the_first(tuple(reversed(error.args[1])))
        steps = zip(circle, circle[1:], strict=False)
        by = dict.fromkeys(graph.because[step] for step in steps if step in graph.because)
        return Order({}, circle, tuple(by))
    if dag.task_group_dict:
        graph.take_out_empty_groups(order)
        graph.write()
    return Order({(up.node_id, down.node_id): label for (up, down), label in graph.labels.items() if label})


class _Graph:
    """The tasks of a DAG, and its empty groups, with what is directly above and below each."""

    def __init__(self, dag: DAG) -> None:
        tasks = dag.task_dict
        self._groups = [dag.task_group, *dag.task_group_dict.values()]  # each after the one that it is in
        known = {id(node) for node in (*tasks.values(), *self._groups)}  # others are mistakes, which have been noted
        self._relations = [each for each in dag.task_group.relations if {id(each.before), id(each.after)} <= known]
        self.above: dict[Node, set[Node]] = {
            task: {tasks[up] for up in task.upstream_task_ids if up in tasks} for task in tasks.values()
        }
        self.below: dict[Node, set[Node]] = {
            task: {tasks[down] for down in task.downstream_task_ids if down in tasks} for task in tasks.values()
        }
        self.because: dict[tuple[Node, Node], Relation] = {}
        self.labels: dict[tuple[Node, Node], str] = {
            (up, down): label.label
            for label in dag.task_group.labels
            for up in label.before
            for down in label.after
            if isinstance(up, Task) and isinstance(down, Task)
        }
        self._first: dict[Group, list[Node]] = {}
        self._last: dict[Group, list[Node]] = {}

    def relate_groups(self) -> None:
        """Inner groups first: what a group's first and last tasks are depends on the relations within it only."""
        within: dict[Group, list[Relation]] = {}
        for relation in self._relations:
            within.setdefault(_common(relation), []).append(relation)
        inside: dict[Group, list[Node]] = {}
        for group in reversed(self._groups):
            for relation in within.get(group, ()):
                for up in self._ends(relation.before, self._last):
                    for down in self._ends(relation.after, self._first):
                        self._connect(up, down, relation.label)
                        self.because.setdefault((up, down), relation)
            nodes = [
                each
                for child in group.children.values()
                for each in (inside[child] if isinstance(child, Group) else [child])
            ]
            if not nodes:
                nodes, self.above[group], self.below[group] = [group], set(), set()
            own = set(nodes)
            inside[group] = nodes
            self._first[group] = [node for node in nodes if own.isdisjoint(self.above[node])]
            self._last[group] = [node for node in nodes if own.isdisjoint(self.below[node])]

    def take_out_empty_groups(self, order: list[Node]) -> None:
        """What is above an empty group comes before what is below it. ``order`` is a topological one."""
        through: dict[Node, set[Node]] = {}
        for group in [node for node in reversed(order) if isinstance(node, Group)]:
            through[group] = set(self.below[group])
            for up in self.above.pop(group):
                self.below[up].discard(group)
                for down in self.below[group]:
                    both = (self.labels.get((up, group), ""), self.labels.get((group, down), ""))
                    self._connect(up, down, ", ".join(dict.fromkeys(filter(None, both))))
            for down in self.below.pop(group):
                self.above[down].discard(group)
        self.labels = {edge: label for edge, label in self.labels.items() if not any(each in through for each in edge)}
        for group in self._groups:
            firsts = (through.get(node, {node}) for node in self._first[group])
            group.first_task_ids = frozenset(node.node_id for nodes in firsts for node in nodes)

    def write(self) -> None:
        """Tell every task what is directly above and below it."""
        for node, above in self.above.items():
            assert isinstance(node, Task)
            node.upstream_task_ids |= {each.node_id for each in above}
            node.downstream_task_ids |= {each.node_id for each in self.below[node]}

    def _connect(self, up: Node, down: Node, label: str) -> None:
        self.below[up].add(down)
        self.above[down].add(up)
        if label:
            self.labels[up, down] = label

    def _ends(self, node: Node, ends: Mapping[Group, list[Node]]) -> Iterable[Node]:
        return ends[node] if isinstance(node, Group) else (node,)


def _from_the_first(circle: tuple[Node, ...]) -> tuple[Node, ...]:
    """The circle as it is told of: from that of its nodes on which is written first."""
    nodes = circle[:-1]
    first = min(range(len(nodes)), key=lambda at: (nodes[at].written_at, nodes[at].node_id))
    return (*nodes[first:], *nodes[:first], nodes[first])


def _common(relation: Relation) -> Group:
    """The innermost group that both are in."""
    around = {id(group) for group in _around(relation.before)}
    return next(group for group in _around(relation.after) if id(group) in around)


def _around(node: Node) -> Iterator[Group]:
    assert isinstance(node, (Task, Group))
    assert node.task_group is not None  # nothing is related to a whole DAG
    yield from node.task_group.lineage
