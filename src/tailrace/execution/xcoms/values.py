"""What may pass between tasks, written as JSON, with tags for what JSON has not: dates, sets, objects and more.

A value comes back equal and of the same type, or is refused with the place in it and the reason.
"""

import base64
import datetime as dates
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tailrace.authoring.arguments.datetimes import zone_of
from tailrace.authoring.context.moments import Moment
from tailrace.execution.messages.channel import LONGEST_MESSAGE
from tailrace.execution.xcoms.backend import BackendFailed, backend_named, instead_of, reference
from tailrace.execution.xcoms.frames import Frames, library_of
from tailrace.execution.xcoms.jsonable import NotJson
from tailrace.execution.xcoms.limits import longest_xcom
from tailrace.execution.xcoms.value_classes import fields_of, kind_of, name_of, rest_of
from tailrace.model.json_values import (
    DEEPEST,
    MOST_VALUES,
    NotStorable,
    json_text,
    require_keys,
    require_scalar,
    too_deep,
)
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.plain_text import on_one_line, shown
from tailrace.model.tagged_values import TAG, Tagged

Node: TypeAlias = Any


def stored_xcom(
    value: Any,
    where: str,
    at: tuple[str, int] | None = None,
    frames: Frames | None = None,
    pushed: tuple[str, TaskInstanceKey] | None = None,
) -> Any:
    """The value as JSON, Tagged where something in it has a tag, sharing nothing with the one given.

    Raises NotJson, naming ``where`` it is and the place in the author's code. A frame in it is written by ``frames``.
    What is ``pushed``, under this key by this task instance, passes through the XCom backend, if the settings name one.
    """
    writer = _Writer(frames)
    place = "" if at is None else f" ({_as_seen_from_here(at[0])}:{at[1]})"
    try:
        node = writer.node(value, 0) if pushed is None or not backend_named() else writer.elsewhere(value, *pushed)
    except BackendFailed as wrong:
        raise NotJson(f"{where} is not kept{place}: {wrong}") from wrong
    except NotStorable as wrong:
        raise NotJson(
            f"{where} must be JSON (text, numbers, lists, dicts with text keys) or the like: {wrong}{place}; "
            "return a path instead"
        ) from None
    most = longest_xcom()
    if most < LONGEST_MESSAGE and (size := len(json_text(node).encode())) > most:  # else the whole message is looked at
        raise NotJson(
            f"{where} is {size:,} bytes long as JSON, and max_xcom_bytes is {most:,}{place}; return a path instead"
        )
    return Tagged(node) if writer.has_tags else node


def _as_seen_from_here(file: str) -> str:
    """The path as a person in the project's folder would name it."""
    here = os.getcwd() + "/"
    return on_one_line(file.removeprefix(here))


class _Writer:
    """Writes one value."""

    def __init__(self, frames: Frames | None) -> None:
        self.has_tags = False
        self._frames = frames
        self._count = 0

    def node(self, value: Any, depth: int) -> Node:
        """What stands for a value, which lies so deep in others."""
        self._count += 1
        if self._count > MOST_VALUES:
            raise NotStorable(f"more than {MOST_VALUES:,} values")
        kind = type(value)
        if kind in (str, int, float, bool, type(None)):
            require_scalar(value)
            return value
        if kind is list:
            return self._members(enumerate(value), depth)
        if kind is dict:
            return self._dict(value, depth)
        if (write := _KINDS.get(kind) or _kind_named(kind)) is not None:
            self.has_tags = True
            return write(self, value, depth)
        if library := library_of(kind):
            if self._frames is None:
                raise NotStorable(f"a frame of {library} is kept where a task pushes it, and nowhere else")
            self.has_tags = True
            return self._frames.node(value, library)
        if of_class := kind_of(kind):
            self.has_tags = True
            return self._object(value, of_class, depth)
        return self._of_subclass(value, depth)

    def elsewhere(self, value: Any, key: str, ti: TaskInstanceKey) -> Node:
        """What stands for a value that the XCom backend may keep."""
        instead = instead_of(value, key, ti)
        if instead is value:
            return self.node(value, 0)
        self.has_tags = True
        return reference(self.node(instead, 0), value)

    def _members(self, members: Iterable[tuple[Any, Any]], depth: int) -> list[Node]:
        if depth >= DEEPEST:
            raise too_deep()
        found = []
        for part, each in members:
            try:
                found.append(self.node(each, depth + 1))
            except NotStorable as wrong:
                raise wrong.below(part) from None
        return found

    def _named(self, members: Mapping[str, Any], depth: int) -> dict[str, Node]:
        require_keys(members)
        nodes = self._members(members.items(), depth)
        return dict(zip(map(str.__str__, members), nodes, strict=True))

    def _dict(self, value: Mapping[Any, Any], depth: int) -> Node:
        named = self._named(value, depth)
        if TAG not in named:
            return named
        self.has_tags = True  # else it would be taken for one
        return {TAG: "dict", "of": named}

    def _of_subclass(self, value: Any, depth: int) -> Node:
        """Of a class that adds to one of Python's what is not kept: a text is a text, an OrderedDict a dict."""
        if hasattr(type(value), "__dataclass_fields__"):
            raise NotStorable(f"{type(value).__name__} is a dataclass, and of a built-in type as well")
        if isinstance(value, str):
            require_scalar(value)
            return str.__str__(value)
        if isinstance(value, int):
            require_scalar(value)
            return int.__pos__(value)
        if isinstance(value, float):
            require_scalar(value)
            return float.__pos__(value)
        if isinstance(value, list):
            return self._members(enumerate(value), depth)
        if isinstance(value, dict):
            return self._dict(value, depth)
        if isinstance(value, dates.datetime):
            return self._of_datetime(value, depth)
        of_numpy = type(value).__module__ == "numpy" and hasattr(value, "item")
        instead = "; write .item(), or .tolist() for an array" if of_numpy else ""
        raise NotStorable(f"{type(value).__name__} is of no kind that is kept{instead}")

    def _of_datetime(self, value: dates.datetime, depth: int) -> Node:
        """Pendulum's and our own are kept as a datetime; one with more in it (pandas has nanoseconds) is not."""
        if not (isinstance(value, Moment) or type(value).__module__.startswith("pendulum")):
            raise NotStorable(
                f"{type(value).__name__} is more than a datetime; make it one (to_pydatetime() or the like)"
            )
        self.has_tags = True
        return _datetime(self, value, depth)

    def _object(self, value: Any, kind: str, depth: int) -> Node:
        cls = type(value)
        tag: dict[str, Node] = {TAG: kind, "class": name_of(cls)}
        if kind == "enum":
            return {**tag, **self._of_enum(value, depth)}
        if kind == "named tuple":
            return {
                **tag,
                "fields": list(cls._fields),
                "of": self._members(zip(cls._fields, value, strict=True), depth),
            }
        tag["of"] = self._named(fields_of(value, kind), depth)
        if kind == "model":
            rest = self._named(rest_of(value), depth + 1)
            return {**tag, "rest": rest}
        return tag

    def _of_enum(self, value: Any, depth: int) -> dict[str, Node]:
        """By its name, with its value for those who read; a combination of flags by its number."""
        name = value.name
        if name is None or type(value).__members__.get(name) is not value:
            return {"number": self.node(value.value, depth + 1)}
        try:
            told = self.node(value.value, depth + 1)
        except NotStorable:
            told = shown(value.value)
        return {"name": name, "value": told}

    def items(self, value: Iterable[Any], depth: int) -> list[Node]:
        """The items of a tuple or a set."""
        return self._members(enumerate(value), depth)


def _datetime(writer: _Writer, value: dates.datetime, depth: int) -> Node:
    naive = dates.datetime.combine(value.date(), value.time())
    zone, fold = _zone(value), value.fold
    if "zone" in zone and not isinstance(value.tzinfo, ZoneInfo):  # pytz's, or dateutil's: of the same name in ours
        there = naive.replace(tzinfo=ZoneInfo(zone["zone"]))
        fold = next((each for each in (fold, 1 - fold) if there.replace(fold=each).utcoffset() == value.utcoffset()), 2)
        if fold == 2:
            raise NotStorable(
                f"its offset, {zone['offset']}, is not the one that its time zone, {zone['zone']}, has then"
            )
    node = {TAG: "datetime", "of": naive.replace(fold=0).isoformat(), **zone}
    return {**node, "fold": 1} if fold else node


def _time(writer: _Writer, value: dates.time, depth: int) -> Node:
    node = {TAG: "time", "of": value.replace(tzinfo=None, fold=0).isoformat(), **_zone(value)}
    return {**node, "fold": 1} if value.fold else node


def _zone(value: "dates.datetime | dates.time") -> dict[str, Node]:
    """Its zone by its name, or its offset; an empty dict for a naive one."""
    zone = value.tzinfo
    if zone is None:
        return {}
    if type(zone) is dates.timezone:
        own, fixed = zone.tzname(None), zone.utcoffset(None)
        return _fixed(fixed) | ({} if own == dates.timezone(fixed).tzname(None) else {"name": own})
    try:
        name, offset = getattr(zone, "key", None) or zone_of(zone), value.utcoffset()
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as wrong:
        if isinstance(zone, ZoneInfo) or (fixed_offset := zone.utcoffset(None)) is None:
            raise NotStorable(f"its time zone cannot be kept: {wrong}") from None
        return _fixed(fixed_offset)
    except Exception as wrong:
        raise NotStorable(f"its time zone cannot be kept: {wrong}") from None
    return {"offset": "" if offset is None else _offset_text(offset), "zone": name}


def _fixed(offset: dates.timedelta) -> dict[str, Node]:
    return {"offset": _offset_text(offset), "fixed": [offset.days, offset.seconds, offset.microseconds]}


def _offset_text(offset: dates.timedelta) -> str:
    return dates.datetime(2000, 1, 1, tzinfo=dates.timezone(offset)).isoformat()[19:]


def _set_of(kind: str) -> Callable[[_Writer, Any, int], Node]:
    def write(writer: _Writer, value: Any, depth: int) -> Node:
        return {TAG: kind, "of": sorted(writer.items(value, depth), key=lambda node: json_text(node, sort_keys=True))}

    return write


def _text_of(kind: str, text: Callable[[Any], str]) -> Callable[[_Writer, Any, int], Node]:
    return lambda writer, value, depth: {TAG: kind, "of": text(value)}


def _encoded(value: "bytes | bytearray") -> str:
    return base64.b64encode(value).decode()


_Write: TypeAlias = Callable[[_Writer, Any, int], Node]

#: What is written of a value of exactly this type.
_KINDS: Mapping[type, _Write] = MappingProxyType(
    {
        tuple: lambda writer, value, depth: {TAG: "tuple", "of": writer.items(value, depth)},
        set: _set_of("set"),
        frozenset: _set_of("frozenset"),
        bytes: _text_of("bytes", _encoded),
        bytearray: _text_of("bytearray", _encoded),
        dates.datetime: _datetime,
        dates.date: _text_of("date", lambda value: value.isoformat()),
        dates.time: _time,
        dates.timedelta: lambda writer, value, depth: {
            TAG: "timedelta",
            "of": str(value),
            "parts": [value.days, value.seconds, value.microseconds],
        },
    }
)

#: The same of types whose modules are loaded by those who have such values.
_NAMED_KINDS: Mapping[str, tuple[str, _Write]] = MappingProxyType(
    {
        "Decimal": ("decimal", _text_of("decimal", str)),
        "UUID": ("uuid", _text_of("uuid", str)),
        "PosixPath": ("pathlib", _text_of("path", str)),
        "PurePosixPath": ("pathlib", _text_of("pure path", str)),
    }
)


def _kind_named(kind: type) -> _Write | None:
    module, write = _NAMED_KINDS.get(kind.__name__, ("", None))
    return write if write is not None and getattr(sys.modules.get(module), kind.__name__, None) is kind else None
