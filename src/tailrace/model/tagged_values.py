"""Values that JSON has not, written as JSON with tags: what is the same for all who store, count or show them.

An object with the member ``$`` says by it what it stands for. Such JSON travels and is stored apart from plain JSON,
see ``stored_text``, so that no value of an author's, however it is written, is taken for it. What a tag means as an
object of Python's is known to the task's process alone.
"""

import json
from typing import Any

from msgspec import Struct

from tailrace.model.json_values import DEEPEST, json_text

TAG = "$"

#: Tags lie between the lists and dicts of an author's: so deep may be what is written for the deepest of theirs.
DEEPEST_TAGGED = 2 * DEEPEST + 8

#: Stands before tagged JSON where it is stored: no JSON begins so.
MARK = "tagged "

#: The tags whose ``of`` is a list of items.
_OF_ITEMS = ("tuple", "set", "frozenset")


class Tagged(Struct, frozen=True):
    """JSON with tags in it."""

    json: Any


def stored_text(value: Any) -> str:
    """A value as it is stored: JSON, behind a mark where it is tagged."""
    return f"{MARK}{json_text(value.json)}" if isinstance(value, Tagged) else json_text(value)


def stored_value(text: str) -> Any:
    """What ``stored_text`` wrote. Raises ValueError for what is none."""
    return Tagged(json.loads(text.removeprefix(MARK))) if text.startswith(MARK) else json.loads(text)


def without_mark(text: str) -> str:
    """The JSON of a stored text, or the beginning of it."""
    return text.removeprefix(MARK)


def readable(value: Any) -> Any:
    """A value as people and other programs read it, as plain JSON: dates as ISO 8601, a set as a list, an object as its
    fields. It cannot be read back.
    """
    return _readable(value.json) if isinstance(value, Tagged) else value


def items_of(value: Any) -> Any:
    """What counts as the items of a value where a task is expanded over it: a list, a dict, or something else.

    Of one that is kept elsewhere the number is known alone: a range of so many.
    """
    if not isinstance(value, Tagged):
        return value
    node = value.json
    if not isinstance(node, dict) or TAG not in node:
        return node
    kind, of = node[TAG], node.get("of")
    if kind in ("tuple", "dict"):
        return of
    if kind == "backend" and isinstance(node.get("items"), int):
        return range(node["items"])
    return of if kind == "named tuple" else None if kind is None else Tagged(kind)


def _readable(node: Any) -> Any:
    if isinstance(node, list):
        return [_readable(each) for each in node]
    if not isinstance(node, dict):
        return node
    if TAG not in node:
        return {name: _readable(each) for name, each in node.items()}
    of = node.get("of")
    match node[TAG]:
        case "named tuple":
            return dict(zip(node.get("fields", ()), map(_readable, of or ()), strict=False))
        case "datetime" | "time":
            return f"{of}{node.get('offset', '')}"
        case "frame":
            return {name: each for name, each in node.items() if name != TAG}
        case "enum":
            return _readable(node.get("value"))
        case _:
            return _readable(of) if not isinstance(of, dict) else {name: _readable(each) for name, each in of.items()}
