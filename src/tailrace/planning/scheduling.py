"""Decides which runs a schedule is due. Pure: ``now`` comes in.

A DAG with catchup is due every interval that has ended since the last one looked at; without, only the latest. What
exists already is not created again: a backfill's run for a date counts as the date's run.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec, ScheduleKind
from tailrace.planning.schedules import DueRuns, ScheduleFacts
from tailrace.timetable import intervals_after, just_before, previous_interval

#: So many runs one step creates at most; a long catchup takes several.
MOST_DUE = 200


def due_runs(dag: DagSpec, facts: ScheduleFacts, now: datetime) -> DueRuns | None:
    """The runs the schedule is due by ``now``; None when there is none, or the DAG is paused."""
    if facts.paused or dag.schedule.kind is ScheduleKind.NONE:
        return None
    intervals = tuple(islice(_due(dag, facts.until, now), MOST_DUE))
    return DueRuns(dag, intervals, facts.until) if intervals else None


def next_run(dag: DagSpec, facts: ScheduleFacts, now: datetime) -> DataInterval | None:
    """The interval of the next run that the schedule creates, at its end or, if that has passed, at once.

    None for a DAG that is paused, has no schedule, or whose schedule has come to its end.
    """
    if due := due_runs(dag, facts, now):
        return due.intervals[0]
    if facts.paused or dag.schedule.kind is ScheduleKind.NONE:
        return None
    latest = _latest(dag, now)
    behind = (facts.until, None if latest is None else latest.start, _from_start(dag))
    after = max((moment for moment in behind if moment is not None), default=now)
    found = next(intervals_after(dag.schedule, dag.start_date, after), None)
    return None if found is None or (dag.end_date is not None and found.start > dag.end_date) else found


def _from_start(dag: DagSpec) -> datetime | None:
    return None if dag.start_date is None else just_before(dag.start_date)


def _due(dag: DagSpec, until: datetime | None, now: datetime) -> Iterator[DataInterval]:
    """Every interval that is due, oldest first."""
    for interval in _ended(dag, until, now):
        if dag.end_date is not None and interval.start > dag.end_date:
            return
        yield interval


def _ended(dag: DagSpec, until: datetime | None, now: datetime) -> Iterable[DataInterval]:
    after = max((moment for moment in (until, _from_start(dag)) if moment is not None), default=None)
    if not dag.catchup or after is None:
        latest = _latest(dag, now)
        return () if latest is None or (after is not None and latest.start <= after) else (latest,)
    return _ended_after(dag, after, now)


def _ended_after(dag: DagSpec, after: datetime, now: datetime) -> Iterator[DataInterval]:
    for interval in intervals_after(dag.schedule, dag.start_date, after):
        if interval.end > now:
            return
        yield interval


def _latest(dag: DagSpec, now: datetime) -> DataInterval | None:
    """The last interval that has ended."""
    found = previous_interval(dag.schedule, dag.start_date, now + datetime.resolution)
    while found is not None and found.end > now:
        found = previous_interval(dag.schedule, dag.start_date, found.start)
    return found
