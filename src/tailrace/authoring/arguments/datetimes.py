"""Reads the datetimes that authors hand in: which moment is meant, and in which time zone, or what to write instead.

The zone of an aware start_date is its schedule's, so it must be certain: a name that its clock agrees with, or an
offset that never changes. Nothing becomes UTC in silence.
"""

import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from tailrace.model.plain_text import shown
from tailrace.timetable import INSTEAD, clock_in, fixed_zone, zone_named

_NAMED = "write tzinfo=ZoneInfo('Europe/Berlin') or the like, or leave it out and give the DAG a timezone="


class Read(Struct, frozen=True):
    """A datetime as it is meant: aware. ``note`` says what its author should know about it."""

    moment: datetime
    note: str = ""


def zone_of(written: Any) -> str:
    """The name of a time zone, written as a name or as a tzinfo. Raises ValueError with what to write."""
    if isinstance(written, str):
        return str(zone_named(written))
    if not isinstance(written, tzinfo):
        raise ValueError(f"unknown time zone {shown(written)}; {INSTEAD}")
    name = _name(written)
    if name is None:
        raise ValueError(f"{shown(written)} is a time zone without a name that is certain; {_NAMED}")
    return name


def from_text(written: Any) -> Any:
    """The datetime that a text of ISO 8601 says, as Airflow takes it in default_args; anything else as it is."""
    try:
        return datetime.fromisoformat(written) if isinstance(written, str) else written
    except ValueError:
        return written


def datetime_in(zone: str, written: Any) -> Read:
    """The moment of a datetime or its text; a naive one is in ``zone``. Raises ValueError with what it must be."""
    written = from_text(written)
    if not isinstance(written, datetime):
        raise ValueError(f"must be a datetime, not {shown(written)}; write datetime(2024, 1, 31)")
    offset = _offset(written)
    if offset is None:
        return _local(written, zone)
    try:
        moment = (written.replace(tzinfo=None) - offset).replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{written.isoformat()} is no date in UTC") from None
    name = None if written.tzinfo is None else _name(written.tzinfo)
    if name is None:
        return Read(written)
    there = zone_named(name)
    if moment.astimezone(there).utcoffset() != offset and clock_in(name).moments(written.replace(tzinfo=None)):
        raise ValueError(
            f"{written.isoformat()} has an offset that {name} does not have then; write tzinfo=ZoneInfo({name!r}), or "
            f"with pytz: pytz.timezone({name!r}).localize(datetime(…))"
        )
    return _local(written, name) if isinstance(written.tzinfo, ZoneInfo) else Read(written)


def _offset(written: datetime) -> timedelta | None:
    """What it differs from UTC by; None for a naive one. Its tzinfo may be the author's own code."""
    if written.tzinfo is None:
        return None
    try:
        offset = written.utcoffset()
    except Exception as failed:
        raise ValueError(f"has a tzinfo that fails: {type(failed).__name__}: {failed}; {_NAMED}") from None
    if offset is None:
        raise ValueError(f"has a tzinfo that says no offset, {shown(written.tzinfo)}; {_NAMED}")
    return offset


def _local(written: datetime, zone: str) -> Read:
    """The moment of a local time, with a note where it comes twice or never."""
    there, local = zone_named(zone), written.replace(tzinfo=None, fold=0)
    clock = clock_in(zone)
    try:
        meant = clock.moments(local)
        if len(meant) == 1:
            return Read(written.replace(tzinfo=there))
        taken = meant[-1 if written.fold else 0] if meant else clock.first_shown(local)
        aware = taken.astimezone(there)
    except OverflowError:
        raise ValueError(f"{written.isoformat()} in {zone} is no date in UTC") from None
    what = "happens twice" if meant else "does not exist"
    how = "back" if meant else "forward"
    text = f"{local.isoformat()} {what} in {zone} (clocks are turned {how}); taken as {aware.isoformat()}"
    return Read(aware, text)


def _name(zone: tzinfo) -> str | None:
    """The name under which a schedule can keep the zone; None where none is certain."""
    for attribute in ("key", "zone"):  # zoneinfo's, and pendulum's; pytz's
        name = getattr(zone, attribute, None)
        if isinstance(name, str) and _exists(name):
            return name
    offsets = _offsets(zone)
    for name in _guesses(zone):
        if offsets == _offsets(zone_named(name)):
            return name
    fixed = set(offsets)
    if len(fixed) == 1 and type(zone).__name__ != "tzlocal":  # that of the machine: another elsewhere
        offset = fixed.pop()
        return None if offset is None or offset % timedelta(seconds=1) else fixed_zone(offset)
    return None


def _guesses(zone: tzinfo) -> Iterator[str]:
    """The names that it may go by: pendulum's of old, and the end of the path of dateutil's file."""
    name, path = getattr(zone, "name", None), getattr(zone, "_filename", None)
    parts = path.split("/") if isinstance(path, str) else []
    for guess in (name, *("/".join(parts[at:]) for at in range(len(parts)))):
        if isinstance(guess, str) and not guess.startswith(("posix/", "right/")) and _exists(guess):
            yield guess


def _exists(name: str) -> bool:
    if name == "localtime":
        return False
    try:
        zone_named(name)
    except ValueError:
        return False
    return True


def _offsets(zone: tzinfo) -> tuple[timedelta | None, ...]:
    """What its clock differs from UTC by in each quarter of the years that every copy of the database agrees about."""
    try:
        return tuple(moment.astimezone(zone).utcoffset() for moment in _quarters())
    except Exception:  # code of the author's, or of a library that cannot go so far
        return (None,)


@functools.cache
def _quarters() -> tuple[datetime, ...]:
    return tuple(datetime(year, month, 15, tzinfo=UTC) for year in range(1970, 2037) for month in (1, 4, 7, 10))
