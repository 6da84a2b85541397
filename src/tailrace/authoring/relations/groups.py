"""A group of tasks as ids, default_args and relations see it, and which ``with`` block is innermost.

Every DAG has one without an id, which holds all others: to be inside a DAG is to be inside that.
"""

from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from tailrace.authoring.mistakes.dag_errors import where_written
from tailrace.authoring.relations.edges import Label, Node, Relation, Task
from tailrace.authoring.relations.expanded_over import ExpandedOver


class Group(Node):
    """Tasks and groups under one name, which is the beginning of theirs unless ``prefixes`` is false."""

    _open: ClassVar[list["Group"]] = []

    def __init__(self, dag: Any, group_id: str = "", parent: "Group | None" = None) -> None:
        self.dag = dag
        self.written_at = where_written()
        self.group_id = group_id
        self.task_group = parent
        self.prefixes = bool(group_id)
        self.tooltip = ""
        self.own_defaults: dict[str, Any] = {}
        self.defaults_taken: set[str] = set()  # what of its default_args some task in it has taken
        #: The tasks and groups directly in it, by their ids in the DAG.
        self.children: dict[str, Node] = {}
        self.relations: list[Relation] = []  # of the DAG's group: all those in which a group stands
        self.labels: dict[Label, None] = {}  # and all labels, in order
        self.expanded: ExpandedOver | None = None  # of a mapped group: what it is expanded over
        self.item_names: frozenset[str] = frozenset()  # and what its function takes of that
        #: Where a run enters it, once the whole DAG has been read: what a branch follows that follows the group.
        self.first_task_ids: frozenset[str] = frozenset()

    @property
    def node_id(self) -> str:
        """Its id in the DAG."""
        return self.group_id

    @property
    def lineage(self) -> Iterator["Group"]:
        """The group itself, the one that it is in, and so on to that of the DAG."""
        group: Group | None = self
        while group is not None:
            yield group
            group = group.task_group

    @property
    def mapped_group(self) -> "Group | None":
        """The mapped group that it is, or is in."""
        return next((group for group in self.lineage if group.expanded is not None), None)

    @property
    def default_args(self) -> Mapping[str, Any]:
        """The arguments for every task in it: the DAG's, over them those of each group on the way, its own last."""
        merged: dict[str, Any] = {}
        for group in reversed(list(self.lineage)):
            merged.update(group.own_defaults)
        return merged

    def giver_of(self, name: str) -> "Group":
        """Whose default_args have the argument that a task in here takes from them."""
        return next(group for group in self.lineage if name in group.own_defaults)

    def child_id(self, label: Any) -> Any:
        """The id in the DAG of what is called so in the group."""
        return f"{self.group_id}.{label}" if self.prefixes and isinstance(label, str) else label

    def get_child_by_label(self, label: str) -> Node:
        """The task or group that is called so in the group. Raises KeyError."""
        return self.children[self.child_id(label)]

    def holds(self, node: Node) -> bool:
        """Whether a task or group is in it, however deep."""
        within = node.task_group if isinstance(node, (Task, Group)) else None
        return within is not None and any(each is self for each in within.lineage)

    def __iter__(self) -> Iterator[Task]:
        """All tasks in it, in groups or not."""
        pending = [*reversed(self.children.values())]
        while pending:
            node = pending.pop()
            if isinstance(node, Task):
                yield node
            elif isinstance(node, Group):
                pending.extend(reversed(node.children.values()))

    def add_relation(self, relation: Relation) -> None:
        """Take in what is related to a group of the DAG whose group this is; to what is in it is a mistake."""
        before, after = relation.before, relation.after
        for group, other in ((before, after), (after, before)):
            if group is self:
                self.dag.mistake("the group of a whole DAG is before and after nothing", at=relation.written_at)
                return
            if group is other or (isinstance(group, Group) and group.holds(other)):
                how = "itself" if group is other else f"{other.node_id}, which is in it"
                self.dag.mistake(f"task group {group.node_id} cannot be related to {how}", at=relation.written_at)
                return
        self.relations.append(relation)

    def mistake(self, message: str) -> None:
        """Note a mistake where the group, or the DAG, was written."""
        whose = "" if self.task_group is None else f"task group {self.group_id}: "
        self.dag.mistake(whose + message, at=self.written_at)

    def __repr__(self) -> str:
        return f"<TaskGroup: {self.group_id}>"

    @classmethod
    def current(cls) -> "Group | None":
        """The group, or the DAG's, whose ``with`` block is innermost."""
        return Group._open[-1] if Group._open else None

    def open(self) -> None:
        """Its ``with`` block begins."""
        Group._open.append(self)

    def close(self) -> None:
        """Its ``with`` block ends."""
        for at in reversed(range(len(Group._open))):
            if Group._open[at] is self:
                del Group._open[at]
                return

    @classmethod
    def close_all(cls) -> None:
        """No block is open any more, whatever became of them."""
        Group._open.clear()

    @classmethod
    @contextmanager
    def none_open(cls) -> Iterator[None]:
        """What is made within is in none of the blocks that were open before."""
        outside, Group._open = Group._open, []
        try:
            yield
        finally:
            Group._open = outside


def free_id(wanted: str, taken: Container[str]) -> str:
    """The id itself, or the first of ``id__1``, ``id__2`` and so on that nobody has."""
    found, number = wanted, 0
    while found in taken:
        number += 1
        found = f"{wanted}__{number}"
    return found
