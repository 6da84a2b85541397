"""The metastore's views as JSON and as table rows: one place that knows their fields, and how a run is named."""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tailrace.cli.confs import conf_json
from tailrace.cli.speaking import counted, duration
from tailrace.cli.summary import failed_json
from tailrace.cli.tables import Column
from tailrace.errors import CommandError
from tailrace.metastore.store import Metastore
from tailrace.metastore.views import BackfillLine, DagStats, RunLine, TaskInstanceLine
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import UNMAPPED
from tailrace.model.suggestions import did_you_mean, in_words
from tailrace.runtime.dates import interval_json, run_reference, show_moment
from tailrace.timetable import zone_named

_UTC = ZoneInfo("UTC")
_MOST_NAMED = 4

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


def find_run(metastore: Metastore | None, dag_id: str, text: str) -> RunLine:
    """The run that RUN names: a run id, a logical date (naive ones in the DAG's zone), or the day of just one run.

    Raises CommandError with the nearest DAG ids, with the command that lists the DAG's runs, or with the day's runs.
    """
    dag = None if metastore is None else metastore.stored_dag(dag_id)
    if metastore is None or dag is None:
        known = () if metastore is None else metastore.known_dags()
        raise CommandError(f"no run {text} of {dag_id}: it has never run here{did_you_mean(dag_id, known)}")
    named = run_reference(text, zone_named(dag.schedule.timezone))
    if isinstance(named, str):
        found = metastore.find_runs(dag_id, named)
    else:
        found = metastore.runs_between(dag_id, named.earliest, named.latest, _MOST_NAMED + 1)
    if not found:
        raise CommandError(f"no run {text} of {dag_id}; `tailrace runs list {dag_id}` lists its runs")
    if len(found) > 1:
        names = in_words([run.run_id for run in found[:_MOST_NAMED]] + ["more"] * (len(found) > _MOST_NAMED))
        raise CommandError(f"{text} is the day of several runs of {dag_id}: {names}; name one of them")
    return found[0]


def backfill_json(line: BackfillLine) -> dict[str, object]:
    """One backfill as JSON; ``state`` is paused while it is paused and unfinished."""
    return {
        "backfill_id": line.id,
        "dag_id": line.dag_id,
        "state": backfill_state(line),
        "start": line.start.isoformat(),
        "end": line.end.isoformat(),
        "reprocess": line.reprocess,
        "runs": dict(line.runs),
        **failed_json(line.failures.everywhere),
        "created": json_moment(line.created_at),
        "started": json_moment(line.started_at),
        "ended": json_moment(line.ended_at),
        "command": line.command,
        "reason": line.reason,
    }


def backfill_row(line: BackfillLine) -> tuple[str, ...]:
    """One backfill as a table row."""
    return (
        str(line.id),
        line.dag_id,
        backfill_state(line),
        *range_text(line.start, line.end),
        counted(line.runs),
        moment_text(line.created_at),
        line.failures.inside.named,
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


def backfill_state(line: BackfillLine) -> str:
    """Its state, or ``paused`` while it is unfinished and paused."""
    return "paused" if line.paused and line.ended_at is None else line.state


def run_json(line: RunLine) -> dict[str, object]:
    """One run as JSON."""
    return {
        "dag_id": line.dag_id,
        "run_id": line.run_id,
        "logical_date": line.logical_date.isoformat(),
        "data_interval": interval_json(line.data_interval),
        "run_type": line.run_type,
        "state": line.state,
        "start": json_moment(line.started_at),
        "end": json_moment(line.ended_at),
        "reason": line.reason,
        "conf": conf_json(line.conf),
        "task_instance_counts": dict(line.task_instances),
        **failed_json(line.failures),
    }


def run_row(line: RunLine) -> tuple[str, ...]:
    """One run as a table row."""
    return (
        line.dag_id,
        line.run_id,
        line.state,
        moment_text(line.started_at),
        _took(line.started_at, line.ended_at),
        counted(line.task_instances),
        line.failures.named if line.state == "success" else line.reason,
    )


def task_instance_json(line: TaskInstanceLine) -> dict[str, object]:
    """One task instance of a run as JSON."""
    return {
        "task_id": line.task_id,
        "map_index": line.map_index,
        "state": line.state,
        "try_number": line.try_number,
        "start": json_moment(line.start),
        "end": json_moment(line.end),
        "reason": line.reason,
    }


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


def stats_json(stats: DagStats) -> dict[str, object]:
    """One DAG's counts as JSON."""
    return {
        "dag_id": stats.dag_id,
        "paused": stats.paused,
        "runs": dict(stats.runs),
        "task_instances": dict(stats.task_instances),
    }


def stats_row(stats: DagStats) -> tuple[str, ...]:
    """One DAG's counts as a table row."""
    paused = "paused" if stats.paused else ""
    return (stats.dag_id, paused, _by_name(stats.runs), _by_name(stats.task_instances))


def moment_text(moment: datetime | None) -> str:
    """A moment as people read it in a table: UTC, to the second."""
    return "" if moment is None else f"{moment.astimezone(_UTC):%Y-%m-%d %H:%M:%S}"


def _by_name(counts: Mapping[str, int]) -> str:
    return counted(dict(sorted(counts.items())))


def json_moment(moment: datetime | None) -> str | None:
    """A moment as JSON: ISO 8601, or null."""
    return None if moment is None else moment.isoformat()


def interval_text(interval: DataInterval) -> str:
    """A data interval as people read it; a run about a moment has none."""
    if interval.start == interval.end:
        return f"about {moment_text(interval.start)} (UTC), without a data interval"
    return f"data interval {moment_text(interval.start)} to {moment_text(interval.end)} (UTC)"


def _took(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else duration(max(0.0, (end - start).total_seconds()))
