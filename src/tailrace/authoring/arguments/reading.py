"""Reads what authors give as arguments: the value as it is meant, or ValueError with what it must be."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from tailrace.model.names import label_error
from tailrace.model.plain_text import LONGEST_TEXT, is_storable, shown
from tailrace.model.rules import OLD_NAMES, TriggerRule
from tailrace.model.spec import DEFAULT_POOL
from tailrace.model.suggestions import did_you_write

WEIGHT_RULES = ("downstream", "upstream", "absolute")

#: No column of a metastore holds a greater number.
MOST = 2**31 - 1

#: The numbers of tries grow with every clear and loss, and are stored too.
MOST_RETRIES = 1_000_000

#: A moment so far from now must still be a date.
_LONGEST = timedelta(days=1_000_000)


def whole(least: int, most: int = MOST) -> Callable[[Any], int]:
    """Reads a whole number, from ``least`` on."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"must be a whole number, at least {least}, not {shown(value)}")
        if value > most:
            raise ValueError(f"must be at most {most}, not {shown(value)}")
        return value

    return read


def flag(value: Any) -> bool:
    """Reads True or False, and nothing that Python would merely take for one: the text "False" is true to it."""
    if not isinstance(value, bool):
        raise ValueError(f"must be True or False, not {shown(value)}")
    return value


def or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads what ``read`` does, or None."""
    return lambda value: None if value is None else read(value)


def duration(value: Any) -> timedelta:
    """Reads a timedelta, or a number of seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not seconds >= 0:
        raise ValueError(f"must be a timedelta or a number of seconds, not {shown(value)}")
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"must be at most {_LONGEST.days} days, not {shown(value)}")
    return value if isinstance(value, timedelta) else timedelta(seconds=seconds)


def time_limit(value: Any) -> timedelta:
    """Reads a duration that something can happen in."""
    limit = duration(value)
    if not limit:
        raise ValueError(f"must be longer than zero, not {shown(value)}")
    return limit


def trigger_rule(value: Any) -> TriggerRule:
    """Reads a trigger rule, by its name now or of old."""
    known = {str(rule): rule for rule in TriggerRule} | dict(OLD_NAMES)
    if isinstance(value, str) and str.__str__(value) in known:
        return known[str.__str__(value)]
    hint = did_you_write(value, known) if isinstance(value, str) else ""
    hint = hint or f"; rules are {', '.join(sorted(map(str, TriggerRule)))}"
    raise ValueError(f"{shown(value)} is not a trigger rule{hint}")


def weight_rule(value: Any) -> str:
    """Reads a weight rule."""
    if isinstance(value, str) and value in WEIGHT_RULES:
        return WEIGHT_RULES[WEIGHT_RULES.index(value)]
    raise ValueError(f"must be one of {', '.join(WEIGHT_RULES)}, not {shown(value)}")


def pool(value: Any) -> str:
    """Reads a pool's name; None is the default one."""
    if value is None:
        return DEFAULT_POOL
    if isinstance(value, str) and value:
        return _label(value)
    raise ValueError(f"must be the name of a pool, not {shown(value)}")


def arguments(values: Any) -> dict[str, Any]:
    """Reads a dict whose keys are names; None is none."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ValueError(f"must be a dict, not {shown(values)}")
    for name in values:
        if not isinstance(name, str):
            raise ValueError(f"must be a dict with texts as keys, not {shown(name)}")
    return dict(values)


def functions(values: Any) -> dict[str, Callable[..., Any]]:
    """Reads a dict of functions by name; None is none."""
    found = arguments(values)
    for name, value in found.items():
        if not callable(value) or getattr(value, "__hash__", None) is None:
            raise ValueError(f"must be functions by name, not {shown(value)} for {shown(name)}")
    return found


def function(value: Any) -> Callable[..., Any]:
    """Reads what can be called."""
    if not callable(value):
        raise ValueError(f"must be callable, not {shown(value)}")
    found: Callable[..., Any] = value
    return found


def folders(written: Any) -> tuple[str, ...]:
    """Reads a folder's path, or several."""
    found = items([written] if isinstance(written, (str, os.PathLike)) else written)
    for each in found:
        if not isinstance(each, (str, os.PathLike)):
            raise ValueError(f"must be a folder's path, or several, not {shown(written)}")
    return tuple(map(os.fspath, found))


def items(values: Any) -> list[Any]:
    """Reads a list or another sequence; None is none. A text is one value, not its letters."""
    if values is None:
        return []
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise ValueError(f"must be a list, not {shown(values)}")
    return list(values)


def text(value: Any) -> str:
    """Reads text; None is none."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"must be text, not {shown(value)}")
    if not is_storable(value or ""):
        raise ValueError(f"must be text that can be written, not {shown(value)}")
    return value or ""


def short_text(value: Any) -> str:
    """Reads text that is stored with the DAG, again and again; None is none."""
    found = text(value)
    if len(found) > LONGEST_TEXT:
        raise ValueError(f"must be at most {LONGEST_TEXT:,} characters long, not {len(found):,}")
    return found


def texts(values: Any) -> tuple[str, ...]:
    """Reads several texts, and sorts them; None is none."""
    if values is None:
        return ()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"must be texts, not {shown(values)}")
    found = list(values)
    if not all(isinstance(value, str) for value in found):
        raise ValueError(f"must be texts, not {shown(found)}")
    return tuple(sorted(map(_label, found)))


def _label(value: str) -> str:
    if wrong := label_error(value):
        raise ValueError(f"must be {wrong}")
    return value
