"""Reads what authors give as arguments: the value as it is meant, or ValueError with what it must be."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from tailrace.authoring.mistakes import nearest
from tailrace.model.rules import OLD_NAMES, TriggerRule

WEIGHT_RULES = ("downstream", "upstream", "absolute")

#: No column of a metastore holds a greater number.
MOST = 2**31 - 1

#: A moment so far from now must still be a date.
_LONGEST = timedelta(days=1_000_000)


def whole(least: int) -> Callable[[Any], int]:
    """Reads a whole number, from ``least`` on."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"must be a whole number, at least {least}, not {value!r}")
        if value > MOST:
            raise ValueError(f"must be at most {MOST}, not {value!r}")
        return value

    return read


def or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads what ``read`` does, or None."""
    return lambda value: None if value is None else read(value)


def duration(value: Any) -> timedelta:
    """Reads a timedelta, or a number of seconds."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not seconds >= 0:
        raise ValueError(f"must be a timedelta or a number of seconds, not {value!r}")
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"must be at most {_LONGEST.days} days, not {value!r}")
    return value if isinstance(value, timedelta) else timedelta(seconds=seconds)


def trigger_rule(value: Any) -> TriggerRule:
    """Reads a trigger rule, by its name now or of old."""
    known = {str(rule): rule for rule in TriggerRule} | dict(OLD_NAMES)
    if str(value) in known:
        return known[str(value)]
    hint = nearest(str(value), known) or f"; rules are {', '.join(sorted(map(str, TriggerRule)))}"
    raise ValueError(f"{value!r} is not a trigger rule{hint}")


def weight_rule(value: Any) -> str:
    """Reads a weight rule."""
    if value in WEIGHT_RULES:
        return WEIGHT_RULES[WEIGHT_RULES.index(value)]
    raise ValueError(f"must be one of {', '.join(WEIGHT_RULES)}, not {value!r}")


def pool(value: Any) -> str:
    """Reads a pool's name."""
    if value and isinstance(value, str):
        return text(value)
    raise ValueError(f"must be the name of a pool, not {value!r}")


def arguments(values: Any) -> dict[str, Any]:
    """Reads a dict of arguments; None is none."""
    if not isinstance(values or {}, Mapping):
        raise ValueError(f"must be a dict, not {values!r}")
    return dict(values or {})


def is_name(value: Any) -> bool:
    """Whether it can name a DAG or a task: in a path, on a command line and in every store."""
    return isinstance(value, str) and bool(value) and all(c.isprintable() and c not in " /" for c in value)


def text(value: Any) -> str:
    """Reads text; None is none."""
    if value is not None and not isinstance(value, str):
        raise ValueError(f"must be text, not {value!r}")
    if not is_writable(value or ""):
        raise ValueError(f"must be text that can be written, not {value!r}")
    return value or ""


def texts(values: Any) -> tuple[str, ...]:
    """Reads several texts, and sorts them; None is none."""
    if not values:
        return ()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"must be texts, not {values!r}")
    found = list(values)
    if not all(isinstance(value, str) for value in found):
        raise ValueError(f"must be texts, not {found!r}")
    return tuple(sorted(map(text, found)))


def is_writable(value: str) -> bool:
    """Whether every store can hold it: no half of a character, and none that ends a text for PostgreSQL."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value
