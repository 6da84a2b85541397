"""Which JSON values are kept, and how they are written: the one rule for XComs and for the conf of runs.

A value that passes comes back equal from either metastore and from every process of ours; any other is refused, with
the place in it and the reason, and never becomes another value. Written as text, half characters (a file name that is
no UTF-8 has them) are escaped, so that any store takes them.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NoReturn

from tailrace.model.plain_text import shown

#: How deep lists and dicts may lie in one another: well below where Python itself gives up, at any place it is read.
DEEPEST = 200

#: Python reads no longer number, unless it is set to. In an environment that sets it lower, less is read.
MOST_DIGITS = 4300

#: More cannot be sent in one message; a list that holds itself twice, and so on, would never end.
MOST_VALUES = 8_000_000

_TOO_MUCH = 10**MOST_DIGITS
_HALVES = re.compile("[\ud800-\udfff]")
#: Escaped, they would be read as the one character that they are the halves of.
_BOTH_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONGEST_PATH = 200


class NotStorable(ValueError):
    """A value that would not come back as it is; the message says where in it, and why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
        self.path = ""

    def below(self, part: object) -> "NotStorable":
        """The same, seen from the list or dict that holds it under ``part``."""
        self.path = f"[{shown(part)}]{self.path}"
        return self

    def __str__(self) -> str:
        path = self.path if len(self.path) <= _LONGEST_PATH else f"{self.path[:_LONGEST_PATH]}…"
        return f"at {path}: {self.why}" if path else self.why


def require_storable(value: Any, deepest: int = DEEPEST) -> None:
    """Raise NotStorable unless the value is JSON, or becomes JSON without a loss: a tuple a list, a date ISO text."""
    _require(value, DEEPEST - deepest)


def require_scalar(value: Any) -> None:
    """Raise NotStorable unless the value is a text, number, boolean or None that JSON keeps as it is."""
    if isinstance(value, str):
        _require_text(value)
    elif isinstance(value, int):
        if not -_TOO_MUCH < value < _TOO_MUCH:
            raise NotStorable(f"a number of more than {MOST_DIGITS} digits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise NotStorable(f"{float(value)} is not in JSON")
    elif value is not None:
        raise NotStorable(f"{type(value).__name__} is not JSON")


def require_keys(value: Mapping[Any, Any]) -> None:
    """Raise NotStorable unless the keys of a dict are texts, and not the same one twice."""
    plain = True
    for key in value:
        if not isinstance(key, str):
            raise NotStorable(f"the key {shown(key)} is {type(key).__name__}, not text")
        _require_text(key)
        plain = plain and type(key) is str
    if not plain and len(set(map(str.__str__, value))) < len(value):
        raise NotStorable("two of its keys are the same text")


def too_deep() -> NotStorable:
    """What is wrong with a value that is too deep in itself."""
    return NotStorable(f"lists and dicts more than {DEEPEST} deep in one another")


def stored_form(value: Any) -> Any:
    """The value as it will be read again: plain, and sharing nothing with the one given. Raises NotStorable."""
    _require(value, 0)
    return json.loads(json.dumps(value, default=_written))


def json_text(value: Any, *, sort_keys: bool = False) -> str:
    """A value that was checked, as text. The order of keys is kept, unless the same value must be the same text."""
    text = json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return _HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text)
    return text


def read_json(text: str) -> Any:
    """What a person wrote as JSON, if nothing is lost by storing it. Raises ValueError for what is no JSON."""
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_whole, object_pairs_hook=_each_key_once)
    except RecursionError:
        raise too_deep() from None
    _require(value, 0)
    return value


def _require(value: Any, depth: int) -> int:
    """How many values are in it."""
    if isinstance(value, (list, tuple)):
        return _require_members(enumerate(value), depth)
    if isinstance(value, dict):
        require_keys(value)
        return _require_members(value.items(), depth)
    if not isinstance(value, date):
        require_scalar(value)
    return 1


def _require_members(members: Iterable[tuple[Any, Any]], depth: int) -> int:
    if depth >= DEEPEST:
        raise too_deep()
    count = 1
    for part, each in members:
        try:
            count += _require(each, depth + 1)
        except NotStorable as wrong:
            raise wrong.below(part) from None
    if count > MOST_VALUES:
        raise NotStorable(f"more than {MOST_VALUES:,} values")
    return count


def _require_text(value: str) -> None:
    if not value.isascii() and _BOTH_HALVES.search(value):
        raise NotStorable("a text with both halves of a character apart, which would be read as the one character")


def _written(value: Any) -> str:
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    raise NotStorable(f"{type(value).__name__} is not JSON")


def _no_constant(name: str) -> NoReturn:
    raise NotStorable(f"{name} is not in JSON")


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise NotStorable(f"a number of more than {MOST_DIGITS} digits")
    return int(digits)


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise NotStorable(f"the key {shown(twice)} is there twice")
    return found


def json_or_text(text: str | None) -> object:
    """A stored conf as JSON, ``{}`` for none; what somebody has stored that is no JSON is its text as it stands."""
    try:
        return read_json(text) if text else {}
    except ValueError:
        return text
