"""Moments as people read them: always in UTC, which a Z says, whatever the zone of the machine or of a DAG."""

from datetime import UTC, datetime


def moment_text(moment: datetime | None) -> str:
    """A moment as people read it: in UTC, to the second; nothing for none."""
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def clock_text(moment: datetime) -> str:
    """The same before a line of a log that goes on: the time of day alone."""
    return f"{moment.astimezone(UTC):%H:%M:%S}Z"
