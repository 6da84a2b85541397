"""``>>``, ``<<``, ``chain``, ``cross_downstream`` and ``Label``: how an author says what comes before what."""

from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeAlias, TypeVar, Union

from msgspec import Struct

from tailrace.authoring.mistakes.dag_errors import where_written

#: What may stand on either side: a task, a group, an output, or several, in lists of lists if need be.
Related: TypeAlias = Union["Relations", Iterable["Relations | Iterable[Relations]"]]
L = TypeVar("L", bound=Related)


class Relations:
    """Anything that may stand in ``>>``: an operator, the output of one, a task group, a label."""

    @property
    def related_nodes(self) -> "list[Node]":
        """What this stands for."""
        raise TypeError(f"{type(self).__name__} stands for no task")

    def set_downstream(self, other: Related) -> None:
        """This comes before ``other``."""
        relate(self.related_nodes, self._others(other))

    def set_upstream(self, other: Related) -> None:
        """This comes after ``other``."""
        relate(self._others(other), self.related_nodes)

    def _others(self, other: object) -> "list[Node]":
        try:
            return nodes_in(other)
        except TypeError as wrong:
            for node in self.related_nodes:
                node.mistake(str(wrong))
            return []

    def __rshift__(self, other: L) -> L:
        self.set_downstream(other)
        return other

    def __lshift__(self, other: L) -> L:
        self.set_upstream(other)
        return other

    def __rrshift__(self, other: Related) -> Self:
        self.set_upstream(other)
        return self

    def __rlshift__(self, other: Related) -> Self:
        self.set_downstream(other)
        return self


class Node(Relations):
    """One thing that relations are between: a task, a group of tasks, or a label on the way from one to another."""

    dag: Any
    written_at: tuple[str, int]

    @property
    def related_nodes(self) -> "list[Node]":
        """It stands for itself."""
        return [self]

    @property
    def node_id(self) -> str:
        """Its name in the DAG."""
        raise NotImplementedError

    def mistake(self, message: str) -> None:
        """Note a mistake where this was written."""
        raise NotImplementedError


class Task(Node):
    """A task, as far as relations go: which DAG and group it is in, and what is directly above and below it."""

    task_id: str
    task_group: Any
    upstream_task_ids: set[str]
    downstream_task_ids: set[str]

    @property
    def node_id(self) -> str:
        """Its task id."""
        return self.task_id


class Relation(Struct, frozen=True):
    """That something comes before something, where one of both is a group: which tasks that are is settled later."""

    before: Node
    after: Node
    written_at: tuple[str, int]
    label: str = ""


class Label(Node):
    """Says on the way from one task or group to another why it is taken: ``branch >> Label("no data") >> alert``."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.written_at = where_written()
        self.before: list[Node] = []
        self.after: list[Node] = []
        self.is_misplaced = False  # which has been reported

    @property
    def node_id(self) -> str:
        """As it is written."""
        return f"Label({self.label!r})"

    def __repr__(self) -> str:
        return self.node_id

    def mistake(self, message: str) -> None:
        """Note a mistake where the label was written, once something of a DAG is related to it."""
        for node in (*self.before, *self.after)[:1]:
            node.dag.mistake(message, at=self.written_at)

    def come_after(self, node: Node) -> None:
        """Stand behind a task or group."""
        self._join(node, self.before)
        relate([node], self.after, str(self.label))

    def come_before(self, node: Node) -> None:
        """Stand before a task or group."""
        self._join(node, self.after)
        relate(self.before, [node], str(self.label))

    def stand_beside(self, other: "Label") -> None:
        """Note that two labels are related to each other, which says nothing."""
        placed = self if self.before or self.after else other
        placed.mistake(f"{self!r} >> {other!r}: a label stands between tasks or groups, not beside another")
        self.is_misplaced = other.is_misplaced = True

    def _join(self, node: Node, side: list[Node]) -> None:
        side.append(node)
        node.dag.task_group.labels[self] = None


def nodes_in(related: object) -> list[Node]:
    """What one side of a ``>>`` stands for. Raises TypeError for anything that can be in no relation."""
    if isinstance(related, Relations):
        return related.related_nodes
    if isinstance(related, Iterable) and not isinstance(related, str):
        return [node for each in related for node in nodes_in(each)]
    raise TypeError(f"only tasks, task groups and lists of them can be related by >> and <<, not {related!r}")


def relate(before: Iterable[Node], after: Iterable[Node], label: str = "") -> None:
    """Everything in ``before`` comes before everything in ``after``."""
    later = list(after)
    for upstream in before:
        for downstream in later:
            _relate(upstream, downstream, label)


def _relate(upstream: Node, downstream: Node, label: str) -> None:
    if isinstance(upstream, Label):
        if isinstance(downstream, Label):
            upstream.stand_beside(downstream)
        else:
            upstream.come_before(downstream)
    elif isinstance(downstream, Label):
        downstream.come_after(upstream)
    elif upstream.dag is not downstream.dag:
        if downstream.dag.keeps_relations:
            text = f"{upstream.node_id} and {downstream.node_id} are in different DAGs and cannot be related"
            downstream.mistake(text)
    elif isinstance(upstream, Task) and isinstance(downstream, Task):
        upstream.downstream_task_ids.add(downstream.task_id)
        downstream.upstream_task_ids.add(upstream.task_id)
    else:
        upstream.dag.task_group.add_relation(Relation(upstream, downstream, where_written(), label))


def chain(*tasks: Related) -> None:
    """Each argument comes before the next; two lists side by side are joined pair by pair.

    Raises ValueError for two lists of different lengths.
    """
    for former, latter in zip(tasks, tasks[1:], strict=False):
        both = isinstance(former, Sequence) and isinstance(latter, Sequence)
        if not both:
            relate(nodes_in(former), nodes_in(latter))
            continue
        left, right = nodes_in(former), nodes_in(latter)
        if len(left) != len(right):
            raise ValueError(f"chain: two lists side by side must be of one length, not {len(left)} and {len(right)}")
        for upstream, downstream in zip(left, right, strict=True):
            relate([upstream], [downstream])


def cross_downstream(from_tasks: Related, to_tasks: Related) -> None:
    """Every task of ``from_tasks`` comes before every task of ``to_tasks``."""
    relate(nodes_in(from_tasks), nodes_in(to_tasks))
