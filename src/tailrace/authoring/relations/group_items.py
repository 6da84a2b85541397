"""What a mapped task group's function is called with: stands for the item of whichever index a task of it is of."""

from collections.abc import Iterator
from typing import Any, Never

from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.relations.edges import Node
from tailrace.authoring.relations.expanded_over import ExpandedOver, wrong_with_item
from tailrace.authoring.relations.groups import Group
from tailrace.authoring.relations.xcom_args import Pull, XComArg, outputs_in
from tailrace.errors import TaskFailed
from tailrace.model.spec import Over


class GroupItem(XComArg[Any]):
    """One argument of a mapped group's function, or a part of it: ``item["key"]``, ``item[0]``."""

    def __init__(
        self, group: Group, over: ExpandedOver, name: str, default: Any = MISSING, path: tuple[str | int, ...] = ()
    ) -> None:
        self.group, self.name, self.path = group, name, path
        self._over, self._default = over, default

    @property
    def related_nodes(self) -> list[Node]:
        """Relating it relates the tasks whose outputs it is an item of."""
        return [output.operator for output in self.outputs]

    @property
    def key(self) -> str | None:
        """It is no XCom as a whole."""
        return None

    @property
    def outputs(self) -> Iterator[XComArg[Any]]:
        """What the group is expanded over."""
        yield from outputs_in(self._over.sources)

    @property
    def length(self) -> Over:
        """Not known; nothing is expanded over it."""
        return 0

    @property
    def no_items(self) -> str | None:
        """It is an item itself."""
        return f"{self!r}, of which there is another for each index of the group: hand it to the task whole"

    def __getitem__(self, part: str | int) -> "GroupItem":
        return GroupItem(self.group, self._over, self.name, self._default, (*self.path, part))

    def __iter__(self) -> Never:
        raise TypeError(f"{self!r} is not known yet: take its parts by key or index")

    def __repr__(self) -> str:
        return f"<item of {self.group.group_id}: {self.name}{''.join(f'[{part!r}]' for part in self.path)}>"

    def resolve(self, pull: Pull) -> Any:
        """The item of the index that ``pull`` is for. Raises LookupError, and TaskFailed where there is none."""
        if getattr(pull, "group", None) is not self.group:
            raise LookupError(f"{self!r} is known to the tasks of that group alone")
        index: int = getattr(pull, "map_index", 0)
        found = self._over.at(index, pull)
        if self._over.by_name is None and (wrong := self._wrong_with(index, found)):
            raise TaskFailed(wrong)
        return self._part_of(found.get(self.name, self._default))

    def _wrong_with(self, index: int, kwargs: Any) -> str | None:
        if wrong := wrong_with_item(index, kwargs):
            return wrong
        if self.name not in kwargs and self._default is MISSING:
            return f"expand_kwargs: item {index} has no {self.name!r}, which {self.group.group_id} needs"
        unknown = next((name for name in kwargs if name not in self.group.item_names), None)
        if unknown is not None:
            return f"expand_kwargs: {self.group.group_id} has no argument {unknown!r} (item {index})"
        return None

    def _part_of(self, value: Any) -> Any:
        for part in self.path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                raise LookupError(f"{self!r}: the item is {value!r}, which has no {part!r}") from None
        return value


def items_in(value: Any) -> Iterator[GroupItem]:
    """Every such argument used in a value, however deep in lists and dicts."""
    if isinstance(value, GroupItem):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from items_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from items_in(each)
