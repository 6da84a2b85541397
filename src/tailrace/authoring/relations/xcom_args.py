"""Outputs: what a task will return, handed to another task before either has run, whole or item by item."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, Generic, Never, TypeVar

from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.relations.edges import Node, Relations, Task
from tailrace.model.keys import UNMAPPED
from tailrace.model.plain_text import shown
from tailrace.model.spec import Over, Together, XComRef

R = TypeVar("R", covariant=True)

RETURN_VALUE = "return_value"

Pull = Callable[[str, str], Any]
"""Returns the XCom of a task id under a key, or None where there is none."""


class PullFor:
    """Pulls for one task instance: ``context["ti"]`` of its try."""

    def __init__(self, ti: Any) -> None:
        self._ti = ti
        self.map_index: int = getattr(ti, "map_index", UNMAPPED)
        self.group = mapped_group_of(getattr(ti, "task", None))

    def __call__(self, task_id: str, key: str) -> Any:
        return self._ti.xcom_pull(task_ids=task_id, key=key)


def mapped_group_of(task: Any) -> Any:
    """The mapped task group that a task is in, at whatever depth; None for one that is in none."""
    return getattr(getattr(task, "task_group", None), "mapped_group", None)


class NoPlainFunction:
    """What can be called and gives a task, not a value."""


class Items(Relations):
    """What a task can be expanded over, beside lists and dicts: an output, or what is made of some, item by item.

    How many there are is known to the planner, which decides how many instances there are; what they are is known to
    the process of each instance.
    """

    def map(self, function: Callable[[Any], Any]) -> "Derived":
        """What a function makes of each. It runs in the process of the task that is given them."""
        if not callable(function) or isinstance(function, NoPlainFunction):
            raise TypeError(f"map(…) needs a plain function, which is called with each item, not {shown(function)}")
        return Each(self, function)

    def zip(self, *others: Any, fillvalue: Any = MISSING) -> "Derived":
        """Tuples of items side by side, as many as the shortest has; with a ``fillvalue``, as many as the longest."""
        return SideBySide((self, *others), fillvalue)

    def concat(self, *others: Any) -> "Derived":
        """Its items, and then those of the others."""
        return OneAfterAnother(self, *others)


class XComArg(Items, Generic[R]):
    """Stands for what ``operator`` returns, or a part of it: ``output["key"]``, ``output[0]``."""

    def __init__(self, operator: Task, path: tuple[str | int, ...] = ()) -> None:
        self.operator = operator
        self.path = path

    @property
    def related_nodes(self) -> list[Node]:
        """Relating an output relates its task."""
        return [self.operator]

    def __getitem__(self, part: str | int) -> "XComArg[Any]":
        return XComArg(self.operator, (*self.path, part))

    @property
    def key(self) -> str | None:
        """The key of the XCom that it is; None for a part of one."""
        if not self.path:
            return RETURN_VALUE
        own = (
            len(self.path) == 1 and isinstance(self.path[0], str) and getattr(self.operator, "multiple_outputs", False)
        )
        return str(self.path[0]) if own else None

    @property
    def outputs(self) -> "Iterator[XComArg[Any]]":
        """The outputs of tasks that it is made of."""
        yield self

    @property
    def length(self) -> Over:
        """How many items it has: those of the XCom that it is."""
        return XComRef(self.operator.task_id, self.key or "")

    @property
    def no_items(self) -> str | None:
        """Why nothing can be expanded over it; None where that is possible."""
        if self.key is not None:
            return None
        return (
            f"{self!r}, a part of what that task returns: its length is not known; let the task return that part, "
            "or say multiple_outputs=True"
        )

    def __iter__(self) -> Never:
        raise TypeError(f"the output of {self.operator.task_id} is not known yet: take its parts by key or index")

    def __repr__(self) -> str:
        return f"<output of {self.operator.task_id}{''.join(f'[{part!r}]' for part in self.path)}>"

    def resolve(self, pull: Pull) -> Any:
        """The value, once the task has run. Raises LookupError if it returned no such part."""
        group = mapped_group_of(self.operator)
        of_group = group is not None and group is not getattr(pull, "group", None)
        if of_group or getattr(self.operator, "mapped_over", None) is not None:
            return self._of_instances(pull)
        value = pull(self.operator.task_id, RETURN_VALUE)
        return self._part_of(value)

    def _of_instances(self, pull: Pull) -> Any:
        """The list of what the instances of a mapped task left, which may be nothing; or a part of it."""
        if self.key is not None:
            return pull(self.operator.task_id, self.key) or []
        return self._part_of(pull(self.operator.task_id, RETURN_VALUE) or [])

    def _part_of(self, value: Any) -> Any:
        for part in self.path:
            try:
                value = value[part]
            except (LookupError, TypeError):
                raise LookupError(f"{self!r}: the task returned {value!r}, which has no {part!r}") from None
        return value


class Derived(Items):
    """Items that are made of other items."""

    def __init__(self, *of: Any) -> None:
        self.of = of

    @property
    def related_nodes(self) -> list[Node]:
        """Relating them relates the tasks whose outputs they are made of."""
        return [output.operator for output in outputs_in(list(self.of))]

    def length(self) -> Over:
        """How many there are."""
        raise NotImplementedError

    def values(self, pull: Pull) -> list[Any]:
        """The items themselves."""
        raise NotImplementedError


class Each(Derived):
    """What a function makes of each item."""

    def __init__(self, of: Any, function: Callable[[Any], Any]) -> None:
        super().__init__(of)
        self._function = function

    def length(self) -> Over:
        """That of what it is made of."""
        return length_of(self.of[0])

    def values(self, pull: Pull) -> list[Any]:
        """LazyItem when they are asked for: the function may skip the one instance that asks."""
        return [LazyItem(self._function, item) for item in values_of(self.of[0], pull)]


class LazyItem:
    """An item that a function makes when it is needed: of the one instance that it belongs to."""

    def __init__(self, function: Callable[[Any], Any], item: Any) -> None:
        self._function, self._item = function, item

    def value(self) -> Any:
        """The item. Whatever the function raises is raised."""
        return self._function(item_value(self._item))


class SideBySide(Derived):
    """Tuples of what stands at the same place."""

    def __init__(self, of: Sequence[Any], fillvalue: Any) -> None:
        super().__init__(*of)
        self._fillvalue = fillvalue

    def length(self) -> Over:
        """That of the shortest, or of the longest where there is something to fill up with."""
        return Together("shortest" if self._fillvalue is MISSING else "longest", tuple(map(length_of, self.of)))

    def values(self, pull: Pull) -> list[Any]:
        """Tuples."""
        columns = [values_of(each, pull) for each in self.of]
        if self._fillvalue is MISSING:
            return list(zip(*columns, strict=False))
        return list(zip_longest(*columns, fillvalue=self._fillvalue))


class OneAfterAnother(Derived):
    """The items of several, in their order."""

    def length(self) -> Over:
        """All together."""
        return Together("sum", tuple(map(length_of, self.of)))

    def values(self, pull: Pull) -> list[Any]:
        """In the order of what they are from."""
        return list(chain.from_iterable(values_of(each, pull) for each in self.of))


def outputs_in(value: Any) -> Iterator[XComArg[Any]]:
    """Every output used in a value, however deep in lists and dicts."""
    if isinstance(value, XComArg):
        yield from value.outputs
    elif isinstance(value, Derived):
        yield from outputs_in(list(value.of))
    elif isinstance(value, dict):
        for each in value.values():
            yield from outputs_in(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from outputs_in(each)


def resolve(value: Any, pull: Pull) -> Any:
    """``value`` with every output in it replaced by what its task returned."""
    if isinstance(value, XComArg):
        return value.resolve(pull)
    if isinstance(value, Derived):
        return [item_value(each) for each in value.values(pull)]
    if isinstance(value, dict):
        return {name: resolve(each, pull) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(resolve(each, pull) for each in value)
    return value


def length_of(items: Any) -> Over:
    """How many: a number where they are written out, else the XCom whose length it is."""
    if isinstance(items, Derived):
        return items.length()
    if isinstance(items, XComArg):
        return items.length
    return len(items) if isinstance(items, (list, tuple, dict)) else 0


def values_of(items: Any, pull: Pull) -> list[Any]:
    """The items. Those of a dict are pairs of key and value, as in Airflow. Raises LookupError where there are none."""
    if isinstance(items, Derived):
        return items.values(pull)
    found = resolve(items, pull)
    if isinstance(found, dict):
        return list(found.items())
    if isinstance(found, (list, tuple)):
        return list(found)
    raise LookupError(f"expanded over {shown(found)}, which is no list and no dict")


def item_value(item: Any) -> Any:
    """An item as it is meant, where a function is yet to make it."""
    if isinstance(item, LazyItem):
        return item.value()
    return tuple(map(item_value, item)) if type(item) is tuple else item


def wrong_with(items: Any) -> str | None:
    """Why it cannot be expanded over; None where it may."""
    if isinstance(items, Derived):
        return next((wrong for each in items.of if (wrong := wrong_with(each))), None)
    if isinstance(items, XComArg):
        return items.no_items
    if isinstance(items, (list, tuple, dict)):
        return None
    return f"{shown(items)}: that must be a list, a dict or the output of a task"
