"""What is kept of a try that has given its slot back: how often it has, when it gives up, and what it waits for.

It names its try: what an earlier one has left says nothing of the next, so that nobody has to remove it.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from msgspec import convert, to_builtins

from tailrace.metastore.db.columns import from_json, to_json
from tailrace.model.awaited import Awaited


class Rescheduled(NamedTuple):
    """How often a try has given its slot back, and when it gives up; None: not by itself.

    ``awaits`` is what has it go on, if anything but the time does.
    """

    times: int
    times_out_at: datetime | None
    awaits: Awaited | None = None


def rescheduled_text(try_number: int, times: int, times_out_at: datetime | None, awaits: Awaited | None = None) -> str:
    """As it is stored in the row of the task instance."""
    until = None if times_out_at is None else times_out_at.astimezone(UTC).isoformat()
    named = {} if awaits is None else {"awaits": to_builtins(awaits)}
    return to_json({"times": times, "times_out_at": until, "try": try_number, **named})


def rescheduled_in(text: str | None, try_number: int) -> Rescheduled | None:
    """What the row says of this try; None: it has not given its slot back, or somebody else wrote what cannot be."""
    try:
        stored = {} if text is None else from_json(text)
        if stored.get("try") != try_number:
            return None
        until = stored["times_out_at"]
        awaits = None if "awaits" not in stored else convert(stored["awaits"], Awaited)
        gives_up = None if until is None else datetime.fromisoformat(until)
        return Rescheduled(int(stored["times"]), gives_up, awaits)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def times_in(text: str | None, try_number: int) -> int:
    """How often this try has given its slot back."""
    found = rescheduled_in(text, try_number)
    return 0 if found is None else found.times
