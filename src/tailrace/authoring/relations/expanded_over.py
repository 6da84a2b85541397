"""What a mapped task or group is expanded over, and what of it belongs to one map index."""

import os
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from tailrace.authoring.relations.xcom_args import Pull, item_value, length_of, values_of, wrong_with
from tailrace.errors import TaskFailed
from tailrace.model.plain_text import shown
from tailrace.model.spec import MOST_INSTANCES, Over

#: The variable of the setting: how many instances a task may have that is written with the lists it is expanded over.
MAX_MAP_LENGTH = "TAILRACE_MAX_MAP_LENGTH"

_CHANGED = (
    "what the task is expanded over has no item of this index; if it had one, clear the task whole to expand it anew"
)


class ExpandedOver:
    """Lists, dicts and outputs by the names that their items are given for; or ``kwargs``, a list of dicts of those."""

    def __init__(self, by_name: Mapping[str, Any] | None, kwargs: Any = None) -> None:
        self.by_name, self.kwargs = by_name, kwargs

    @property
    def sources(self) -> list[Any]:
        """In the order of the indexes: the last varies fastest."""
        return [self.kwargs] if self.by_name is None else list(self.by_name.values())

    @property
    def lengths(self) -> tuple[Over, ...]:
        """What the number of indexes is multiplied of."""
        return tuple(map(length_of, self.sources))

    def faults(self) -> Iterator[str]:
        """What of it nothing can be expanded over; and that it is written out and too much."""
        for source in self.sources:
            if wrong := wrong_with(source):
                yield f"expanded over {wrong}"
        if self.by_name is not None and not self.by_name:
            yield "expand needs at least one argument to expand over"
        lengths = self.lengths
        written_out = [length for length in lengths if isinstance(length, int)]
        if len(written_out) == len(lengths) and (instances := prod(written_out)) > most_instances():
            yield f"it would have {instances:,} instances; at most {most_instances():,} are allowed (max_map_length)"

    def at(self, index: int, pull: Pull) -> Any:
        """The items of one index by name; of ``kwargs`` the item, whatever it is. Raises TaskFailed if it has none."""
        if self.by_name is None:
            return _item(values_of(self.kwargs, pull), index)
        values = {name: values_of(source, pull) for name, source in self.by_name.items()}
        if index >= prod(map(len, values.values())):
            raise TaskFailed(_CHANGED)
        found: dict[str, Any] = {}
        for name in reversed(values):
            index, place = divmod(index, len(values[name]))
            found[name] = _item(values[name], place)
        return dict(reversed(found.items()))


def most_instances() -> int:
    """How many the settings allow."""
    text = os.environ.get(MAX_MAP_LENGTH, "")
    return int(text) if text.isdecimal() else MOST_INSTANCES


def _item(values: Sequence[Any], place: int) -> Any:
    if place >= len(values):
        raise TaskFailed(_CHANGED)
    return item_value(values[place])


def wrong_with_kwargs(kwargs: Any) -> str | None:
    """Why an ``expand_kwargs`` cannot be over this, whatever its items are."""
    if isinstance(kwargs, dict):
        return f"expand_kwargs needs a list of dicts of arguments, not {shown(kwargs)}"
    return None


def wrong_with_item(index: int, kwargs: Any) -> str | None:
    """Why one item of an ``expand_kwargs`` can be no arguments at all."""
    if not isinstance(kwargs, dict) or not all(isinstance(name, str) for name in kwargs):
        return f"expand_kwargs needs dicts of arguments, and item {index} is {shown(kwargs)}"
    return None
