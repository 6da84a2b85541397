"""Failures of one task that say the same, but for numbers, are one group: what people are shown is bounded by it."""

import re
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

#: What differs from date to date and is no other failure: numbers, addresses, identifiers.
_VARIES = re.compile(r"\b(?:0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*(?:-[0-9a-fA-F]+)*\b|[0-9]+")


class Failed(Struct, frozen=True):
    """So many task instances of one task failed with this error, between these logical dates."""

    task_id: str
    error: str
    count: int
    first: datetime
    last: datetime


def same_error(error: str) -> str:
    """The error without what varies: equal for those that are shown together."""
    return _VARIES.sub("#", error)


def grouped(failures: Iterable[Failed]) -> tuple[Failed, ...]:
    """These, those of one task and the same error together: the greatest first, then the earliest."""
    found: dict[tuple[str, str], Failed] = {}
    for each in failures:
        key = (each.task_id, same_error(each.error))
        other = found.get(key)
        found[key] = each if other is None else _together(other, each)
    return tuple(sorted(found.values(), key=lambda each: (-each.count, each.first, each.task_id, each.error)))


def _together(one: Failed, other: Failed) -> Failed:
    first = one if one.first <= other.first else other  # its error stands for all
    count, last = one.count + other.count, max(one.last, other.last)
    return Failed(first.task_id, first.error, count, first.first, last)
