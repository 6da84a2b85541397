"""Backfills, runs, task instances and counts as table rows."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tailrace.cli.console import counted, duration
from tailrace.cli.tables import Column
from tailrace.metastore.views.lists import Backfill, DagStats, Run, TaskInstanceLine
from tailrace.model.keys import UNMAPPED
from tailrace.service.dates import show_moment

_UTC = ZoneInfo("UTC")

BACKFILL_COLUMNS = (
    Column("id", number=True),
    Column("dag_id"),
    Column("state", state=True),
    Column("from"),
    Column("to"),
    Column("runs"),
    Column("created"),
    Column("note"),
)
RUN_COLUMNS = (
    Column("dag_id"),
    Column("run_id"),
    Column("state", state=True),
    Column("started"),
    Column("took", number=True),
    Column("task instances"),
    Column("reason"),
)
TASK_INSTANCE_COLUMNS = (
    Column("task_id"),
    Column("state", state=True),
    Column("try", number=True),
    Column("started"),
    Column("took", number=True),
    Column("reason"),
)
STATS_COLUMNS = (Column("dag_id"), Column("paused"), Column("runs"), Column("task instances"))


def backfill_row(line: Backfill) -> tuple[str, ...]:
    """One backfill as a table row."""
    return (
        str(line.backfill_id),
        line.dag_id,
        line.state,
        *range_text(line.start, line.end),
        counted(line.runs),
        moment_text(line.created),
        line.failed_inside.named,
    )


def range_text(first: datetime, last: datetime) -> tuple[str, str]:
    """The ends of a range as they would be typed: dates alone where it is made of whole days (in UTC)."""
    after = last + timedelta(microseconds=1)
    if first.astimezone(_UTC).time() == after.astimezone(_UTC).time() == time(0):
        return f"{first.astimezone(_UTC):%Y-%m-%d}", f"{last.astimezone(_UTC):%Y-%m-%d}"
    return show_moment(first, _UTC), show_moment(last.replace(microsecond=0), _UTC)


def _why(state: str, reason: str) -> str:
    """Nobody asks why something succeeded."""
    return "" if state == "success" else reason


def run_row(line: Run) -> tuple[str, ...]:
    """One run as a table row."""
    return (
        line.dag_id,
        line.run_id,
        line.state,
        moment_text(line.start),
        _took(line.start, line.end),
        counted(line.task_instance_counts),
        line.failures.named if line.state == "success" else line.reason,
    )


def task_instance_row(line: TaskInstanceLine) -> tuple[str, ...]:
    """One task instance of a run as a table row."""
    index = "" if line.map_index == UNMAPPED else f"[{line.map_index}]"
    return (
        f"{line.task_id}{index}",
        line.state,
        str(line.try_number),
        moment_text(line.start),
        _took(line.start, line.end),
        _why(line.state, line.reason),
    )


def stats_row(stats: DagStats) -> tuple[str, ...]:
    """One DAG's counts as a table row."""
    paused = "paused" if stats.paused else ""
    return (stats.dag_id, paused, _by_name(stats.runs), _by_name(stats.task_instances))


def moment_text(moment: datetime | None) -> str:
    """A moment as people read it in a table: UTC, to the second."""
    return "" if moment is None else f"{moment.astimezone(_UTC):%Y-%m-%d %H:%M:%S}"


def _by_name(counts: Mapping[str, int]) -> str:
    return counted(dict(sorted(counts.items())))


def interval_text(start: datetime, end: datetime) -> str:
    """A data interval as people read it; a run about a moment has none."""
    if start == end:
        return f"about {moment_text(start)} (UTC), without a data interval"
    return f"data interval {moment_text(start)} to {moment_text(end)} (UTC)"


def _took(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else duration(max(0.0, (end - start).total_seconds()))
