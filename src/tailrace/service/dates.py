"""What the dates a person types mean: ISO 8601, naive ones in the DAG's zone, ranges inclusive at both
ends.

Pure: ``now`` comes in, and results and messages depend on nothing else. Which points a schedule has is
``timetable``'s.
"""

from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from tailrace.errors import CommandError
from tailrace.model.intervals import DataInterval
from tailrace.model.names import run_id_error
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind
from tailrace.timetable import clock_in, intervals_between, next_interval, previous_interval, zone_named

#: More runs than this in one command is a mistyped year.
MOST_RUNS = 100_000

_RESERVED, _TRIGGERED = ("backfill__", "scheduled__"), "manual__"
_FORMS = "ISO 8601, such as 2024-05-31, 2024-05-31T06:00 or 2024-05-31T06:00+02:00"


class LogicalRange(Struct, frozen=True):
    """A range of logical dates as meant. ``first`` and ``last`` are its bounds as typed, inclusive, in UTC.

    The bounds do not depend on when they are read, so the same command keeps its identity; ``intervals`` are
    those of the schedule within them that have ended, oldest first. ``notices`` are lines for the person.
    """

    first: datetime
    last: datetime
    intervals: tuple[DataInterval, ...]
    notices: tuple[str, ...] = ()


class DateBound(Struct, frozen=True):
    """One typed date: from which instant to which it reaches (equal for an exact time), in UTC."""

    text: str
    earliest: datetime
    latest: datetime
    notice: str | None = None
    is_day: bool = False


def parse_bound(text: str, zone: tzinfo) -> DateBound:
    """What ``text`` means in ``zone``.

    A date alone reaches over its whole local day. A naive time that happens twice (clocks turned back)
    reaches from its first to its second occurrence; one that never happens (clocks turned forward) is the moment
    of the jump; both carry a notice. Raises CommandError for anything that is not ISO 8601.
    """
    typed = text.strip()
    try:
        try:
            day = date.fromisoformat(typed)
        except ValueError:
            return _exact(typed, datetime.fromisoformat(typed), zone)
        first = _midnight(day, zone)
        return DateBound(typed, first, _midnight(day + timedelta(days=1), zone) - datetime.resolution, is_day=True)
    except ValueError as mistake:
        detail = "" if str(mistake).startswith("Invalid isoformat") else f" ({mistake})"
        raise CommandError(f"not a date: {text!r}{detail}; write it as {_FORMS}") from None
    except OverflowError:
        raise CommandError(f"{text!r} is outside the years 1 to 9999 in UTC; write an earlier or later date") from None


def _midnight(day: date, zone: tzinfo) -> datetime:
    """The first instant of a local day, also where clocks jump over midnight."""
    return clock_in(str(zone)).first_shown(datetime(day.year, day.month, day.day))  # noqa: DTZ001  # a local time


def _exact(typed: str, moment: datetime, zone: tzinfo) -> DateBound:
    if moment.tzinfo is not None:
        instant = moment.astimezone(UTC)
        return DateBound(typed, instant, instant)
    clock = clock_in(str(zone))
    meant = clock.moments(moment)
    if len(meant) == 1:
        return DateBound(typed, meant[0], meant[0])
    if meant:
        twice = " and ".join(bound_text(each, zone) for each in meant)
        notice = f"{typed} happens twice in {zone} (clocks are turned back): {twice}"
        return DateBound(typed, meant[0], meant[-1], notice)
    instant = clock.first_shown(moment)
    notice = f"{typed} does not exist in {zone} (clocks are turned forward); taken as {bound_text(instant, zone)}"
    return DateBound(typed, instant, instant, notice)


def bound_text(moment: datetime, zone: tzinfo) -> str:
    """An instant as ISO 8601 in ``zone``: short, and itself a date that can be typed."""
    try:
        local = moment.astimezone(UTC).astimezone(zone)
    except OverflowError:  # there, it is outside the years that can be written
        local = moment.astimezone(UTC)
    return local.isoformat(timespec="minutes" if not (local.second or local.microsecond) else "auto")


def parse_single(text: str, zone: tzinfo) -> tuple[datetime, tuple[str, ...]]:
    """The one moment that ``text`` means, and the notice about it: of a day its beginning, of two the first."""
    moment = parse_bound(text, zone)
    return moment.earliest, (_notice(moment, "the first is meant"),) if moment.notice else ()


def _notice(moment: DateBound, which: str) -> str:
    return f"{moment.notice}; {which}" if moment.earliest != moment.latest else str(moment.notice)


def run_reference(text: str, zone: tzinfo) -> str | DateBound:
    """What RUN means in a command: logical dates, or what is no date as the id of a run, which never reads as one.

    A date alone is any of its day; a time is that moment, of two the first.
    """
    try:
        moment = parse_bound(text, zone)
    except CommandError:
        return text
    return moment if moment.is_day else replace(moment, latest=moment.earliest)


def checked_run_id(run_id: str | None) -> str | None:
    """The id of a run to be, where it can be one: it names a folder of logs, and is told from dates and options."""
    if run_id is None:
        return None
    if wrong := run_id_error(run_id):
        raise CommandError(f"--run-id must be {wrong}")
    if run_id.startswith("-"):
        raise CommandError(f"--run-id {run_id!r} reads as an option; write a letter or a digit first")
    if _is_date(run_id):
        raise CommandError(f"--run-id {run_id!r} reads as a date; name the run otherwise, such as run-{run_id}")
    if run_id.startswith(_RESERVED) or (run_id.startswith(_TRIGGERED) and _is_date(run_id.removeprefix(_TRIGGERED))):
        raise CommandError(
            f"--run-id {run_id!r}: Tailrace itself names runs backfill__…, scheduled__… and manual__ with a date; "
            "name this one otherwise, or leave out --run-id"
        )
    return run_id


def _is_date(text: str) -> bool:
    return isinstance(run_reference(text, UTC), DateBound)


def range_for(dag: DagSpec, start: str | None, end: str | None, now: datetime) -> LogicalRange:
    """The logical dates of ``dag`` that ``start`` and ``end`` mean; ``now`` is aware.

    Leaving out one end copies the other. Intervals that have not ended by ``now`` are left out, with a
    notice. For a DAG without schedule an exact date is a run of that moment, and a range is refused. Raises
    CommandError with one line when the range means no run.
    """
    zone = zone_named(dag.schedule.timezone)
    one = start if start is not None else end
    other = end if end is not None else start
    if one is None or other is None:
        raise CommandError("no dates given: say -s START, -e END or both (one alone means that one date)")
    begin, until = parse_bound(one, zone), parse_bound(other, zone)
    notices = tuple(dict.fromkeys(_notice(moment, "both are meant") for moment in (begin, until) if moment.notice))
    if dag.schedule.kind is ScheduleKind.NONE:
        return _single_moment(dag, begin, until, now, notices)
    first, last = begin.earliest, until.latest
    if first > last:
        raise _upside_down(begin, until, zone)
    try:
        intervals = _intervals(dag, first, last)
    except OverflowError:
        raise CommandError(f"{begin.text} to {until.text} reaches outside the years 1 to 9999") from None
    if not intervals:
        raise _no_point(dag, first, last, zone)
    ended = tuple(interval for interval in intervals if interval.end <= now)
    notices += _about_unended(intervals[len(ended) :], zone)
    if not ended:
        soonest = intervals[0]
        raise CommandError(
            f"no interval of {dag.dag_id} in this range has ended: the first, {bound_text(soonest.start, zone)}, "
            f"ends at {bound_text(soonest.end, zone)}; run the command then, or give an earlier range"
        )
    return LogicalRange(first, last, ended, notices + _about_lifetime(dag, ended, zone))


def _upside_down(begin: DateBound, until: DateBound, zone: tzinfo) -> CommandError:
    if begin.text == until.text:
        return CommandError(f"{begin.text} does not exist in {zone}: the clocks there jumped over that day")
    return CommandError(
        f"the range ends before it begins: start {begin.text} is after end {until.text}; "
        f"did you mean -s {until.text} -e {begin.text}?"
    )


def _single_moment(
    dag: DagSpec, begin: DateBound, until: DateBound, now: datetime, notices: tuple[str, ...]
) -> LogicalRange:
    if begin.text != until.text and begin.earliest != until.earliest:
        raise CommandError(
            f"{dag.dag_id} has no schedule, so a range holds no dates: give one date with -s and leave out -e; "
            f"it becomes one run of that moment"
        )
    moment = begin.earliest
    if moment > now:
        zone = zone_named(dag.schedule.timezone)
        raise CommandError(f"{bound_text(moment, zone)} is in the future; give a date that has come for {dag.dag_id}")
    return LogicalRange(moment, moment, (DataInterval(moment, moment),), notices)


def _intervals(dag: DagSpec, first: datetime, last: datetime) -> tuple[DataInterval, ...]:
    """The schedule's intervals in [first, last], asked for piece by piece so that a mistyped year cannot fill
    memory.
    """
    begun = next_interval(dag.schedule, dag.start_date, first - datetime.resolution if first > _EARLIEST else first)
    if begun is None or begun.start > last:
        return intervals_between(dag.schedule, dag.start_date, first, last)
    piece = max(begun.end - begun.start, timedelta(seconds=1)) * (MOST_RUNS // 10)
    found: list[DataInterval] = []
    at = first
    while at <= last:
        upto = min(last, at + piece) if last - at > piece else last
        found.extend(islice(intervals_between(dag.schedule, dag.start_date, at, upto), MOST_RUNS + 1))
        if len(found) > MOST_RUNS:
            raise CommandError(
                f"the range holds more than {MOST_RUNS:,} dates of {dag.dag_id} ({_schedule_text(dag.schedule)}); "
                f"check the years, or backfill it in parts"
            )
        if upto == last:
            break
        at = upto + datetime.resolution
    return tuple(found)


_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=2)


def _no_point(dag: DagSpec, first: datetime, last: datetime, zone: tzinfo) -> CommandError:
    before = previous_interval(dag.schedule, dag.start_date, first)
    after = next_interval(dag.schedule, dag.start_date, last)
    near = [
        f"{bound_text(interval.start, zone)} ({side})"
        for side, interval in (("before", before), ("after", after))
        if interval is not None
    ]
    points = f"; the nearest points are {' and '.join(near)}" if near else ""
    if len(near) == 1:
        points = points.replace("points are", "point is")
    return CommandError(
        f"no schedule point of {dag.dag_id} ({_schedule_text(dag.schedule)}) lies between {bound_text(first, zone)} "
        f"and {bound_text(last, zone)}{points}"
    )


def _schedule_text(schedule: Schedule) -> str:
    if schedule.kind is ScheduleKind.CRON:
        return f"schedule {schedule.expression!r} in {schedule.timezone}"
    if schedule.kind is ScheduleKind.ONCE:
        return "scheduled once, at its start date"
    return f"every {timedelta(seconds=float(schedule.expression))}, counted from its start date"


def _about_unended(unended: tuple[DataInterval, ...], zone: tzinfo) -> tuple[str, ...]:
    if not unended:
        return ()
    first, last = unended[0], unended[-1]
    if len(unended) == 1:
        return (
            f"left out {bound_text(first.start, zone)}: its interval has not ended "
            f"(it ends at {bound_text(first.end, zone)})",
        )
    return (
        f"left out {len(unended):,} dates whose intervals have not ended: {bound_text(first.start, zone)} "
        f"to {bound_text(last.start, zone)}",
    )


def _about_lifetime(dag: DagSpec, intervals: tuple[DataInterval, ...], zone: tzinfo) -> tuple[str, ...]:
    notices = []
    if dag.start_date is not None:
        early = sum(interval.start < dag.start_date for interval in intervals)
        if early:
            notices.append(f"{_dates(early)} before the start_date of {dag.dag_id}, {bound_text(dag.start_date, zone)}")
    if dag.end_date is not None:
        late = sum(interval.start > dag.end_date for interval in intervals)
        if late:
            notices.append(f"{_dates(late)} after the end_date of {dag.dag_id}, {bound_text(dag.end_date, zone)}")
    return tuple(notices)


def _dates(count: int) -> str:
    return "1 date is" if count == 1 else f"{count:,} dates are"
