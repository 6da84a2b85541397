"""What an author may write as a schedule, and what is wrong with it if anything is."""

from datetime import timedelta
from types import MappingProxyType

from cronsim import CronSim, CronSimError

from tailrace.model.spec import Schedule, ScheduleKind
from tailrace.timetable.intervals import EPOCH
from tailrace.timetable.zones import zone_named

PRESETS = MappingProxyType(
    {
        "@hourly": "0 * * * *",
        "@daily": "0 0 * * *",
        "@midnight": "0 0 * * *",
        "@weekly": "0 0 * * 0",
        "@monthly": "0 0 1 * *",
        "@quarterly": "0 0 1 */3 *",
        "@yearly": "0 0 1 1 *",
        "@annually": "0 0 1 1 *",
    }
)


def read_schedule(written: str | timedelta | None, timezone: str = "UTC") -> Schedule:
    """The schedule an author wrote: cron text, a preset, ``@once``, a timedelta, or None for none.

    Never raises for a wrong text: ``validate`` says what is wrong with the result. Raises TypeError for other types.
    """
    if written is None or written == "@none":
        return Schedule(ScheduleKind.NONE, timezone=timezone)
    if isinstance(written, timedelta):
        return Schedule(ScheduleKind.INTERVAL, repr(written.total_seconds()), timezone)
    if not isinstance(written, str):
        raise TypeError(f"schedule must be cron text, a preset, a timedelta or None, not {type(written).__name__}")
    if written == "@once":
        return Schedule(ScheduleKind.ONCE, timezone=timezone)
    return Schedule(ScheduleKind.CRON, PRESETS.get(written, written), timezone)


def validate(schedule: Schedule) -> str | None:
    """What is wrong with ``schedule``, as a sentence for its author; None when nothing is."""
    try:
        zone_named(schedule.timezone)
    except ValueError as unknown:
        return str(unknown)
    if schedule.kind is ScheduleKind.INTERVAL and float(schedule.expression) <= 0:
        return "a timedelta schedule must be longer than zero"
    if schedule.kind is ScheduleKind.CRON:
        text = schedule.expression
        if text.startswith("@"):
            return f"unknown schedule preset {text!r}; presets are @once, {', '.join(PRESETS)}"
        if len(text.split()) != 5:
            return f"bad cron expression {text!r}: it has {len(text.split())} fields, cron has five"
        try:
            next(CronSim(text, EPOCH))
        except CronSimError as mistake:
            return f"bad cron expression {text!r}: {str(mistake).lower()}"
        except StopIteration:
            return f"bad cron expression {text!r}: it never comes"
    return None
