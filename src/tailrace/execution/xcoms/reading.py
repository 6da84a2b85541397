"""Makes the values again that ``xcom_values`` has written."""

import base64
import datetime as dates
import decimal
import pathlib
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from tailrace.errors import XComUnreadable
from tailrace.execution.xcoms import backend as xcom_backend
from tailrace.execution.xcoms import frames
from tailrace.execution.xcoms.value_classes import NoSuchClass, class_named, made_again
from tailrace.model.plain_text import on_one_line
from tailrace.model.tagged_values import TAG, Tagged


def value_of(tagged: Tagged, where: str) -> Any:
    """The value, sharing nothing with what is stored. Raises XComUnreadable, naming ``where`` it was."""
    try:
        return _value(tagged.json)
    except XComUnreadable as lost:
        raise XComUnreadable(f"{where}: {lost}") from None
    except NoSuchClass as lost:
        raise XComUnreadable(f"{where} holds an object whose class cannot be had here: {lost}") from None
    except Exception as wrong:  # of another Tailrace, or changed by somebody
        why = on_one_line(str(wrong))[:200]
        raise XComUnreadable(f"{where} is stored as what cannot be read: {type(wrong).__name__}: {why}") from None


def _value(node: Any) -> Any:
    if isinstance(node, list):
        return [_value(each) for each in node]
    if not isinstance(node, dict):
        return node
    if TAG not in node:
        return {name: _value(each) for name, each in node.items()}
    make = _MADE.get(node[TAG])
    if make is None:
        raise ValueError(f"{node[TAG]!r} is no kind of value that this Tailrace knows")
    return make(node)


def _object(node: Mapping[str, Any]) -> Any:
    cls = class_named(node["class"])
    rest = {name: _value(each) for name, each in node.get("rest", {}).items()}
    return made_again(cls, {name: _value(each) for name, each in node["of"].items()}, rest)


def _named_tuple(node: Mapping[str, Any]) -> Any:
    cls = class_named(node["class"])
    if list(getattr(cls, "_fields", ())) != node["fields"]:
        raise NoSuchClass(f"{cls.__qualname__} has other fields by now")
    return tuple.__new__(cls, map(_value, node["of"]))


def _enum(node: Mapping[str, Any]) -> Any:
    cls: Any = class_named(node["class"])
    if "number" in node:
        return cls(_value(node["number"]))
    if node["name"] not in cls.__members__:
        raise NoSuchClass(f"{cls.__qualname__} has no member {node['name']}")
    return cls.__members__[node["name"]]


def _datetime(node: Mapping[str, Any]) -> dates.datetime:
    return dates.datetime.fromisoformat(node["of"]).replace(tzinfo=_zone(node), fold=node.get("fold", 0))


def _time(node: Mapping[str, Any]) -> dates.time:
    return dates.time.fromisoformat(node["of"]).replace(tzinfo=_zone(node), fold=node.get("fold", 0))


def _zone(node: Mapping[str, Any]) -> dates.tzinfo | None:
    if "fixed" in node:
        offset = dates.timedelta(*node["fixed"])
        if "name" in node:
            return dates.timezone(offset, node["name"])
        return dates.timezone(offset) if offset else dates.UTC
    return ZoneInfo(node["zone"]) if "zone" in node else None


#: What is made of each kind of tag.
_MADE: Mapping[str, Callable[[Mapping[str, Any]], Any]] = MappingProxyType(
    {
        "dict": lambda node: {name: _value(each) for name, each in node["of"].items()},
        "tuple": lambda node: tuple(map(_value, node["of"])),
        "set": lambda node: set(map(_value, node["of"])),
        "frozenset": lambda node: frozenset(map(_value, node["of"])),
        "bytes": lambda node: base64.b64decode(node["of"], validate=True),
        "bytearray": lambda node: bytearray(base64.b64decode(node["of"], validate=True)),
        "date": lambda node: dates.date.fromisoformat(node["of"]),
        "datetime": _datetime,
        "time": _time,
        "timedelta": lambda node: dates.timedelta(*node["parts"]),
        "decimal": lambda node: decimal.Decimal(node["of"]),
        "uuid": lambda node: uuid.UUID(node["of"]),
        "path": lambda node: pathlib.PosixPath(node["of"]),
        "pure path": lambda node: pathlib.PurePosixPath(node["of"]),
        "data class": _object,
        "model": _object,
        "named tuple": _named_tuple,
        "enum": _enum,
        "frame": frames.read,
        "backend": lambda node: xcom_backend.restored(node, _value(node["of"])),
    }
)
