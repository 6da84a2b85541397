"""Backfills, runs, task instances and counts as table rows."""

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from tailrace.cli.console import counted, plural
from tailrace.cli.persons import pause_text, with_command
from tailrace.cli.tables import Column
from tailrace.metastore.views.awaited import WaitingTasks
from tailrace.metastore.views.jobs import Job
from tailrace.metastore.views.lists import Backfill, DagStats
from tailrace.metastore.views.runs import Run
from tailrace.metastore.views.task_instances import TaskInstanceLine, TaskInstanceOfRun
from tailrace.metastore.views.versions import DagVersion
from tailrace.model.durations import duration
from tailrace.model.keys import index_suffix
from tailrace.model.moments import moment_text
from tailrace.model.states import FINISHED
from tailrace.model.suggestions import few
from tailrace.service.dates import bound_text

_UTC = ZoneInfo("UTC")
_MOST_NAMED = 4  # tasks of a part

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
OF_RUNS_COLUMNS = (Column("dag_id"), Column("run_id"), *TASK_INSTANCE_COLUMNS)
VERSION_COLUMNS = (
    Column("version", number=True),
    Column("since"),
    Column("tasks", number=True),
    Column("runs", number=True),
    Column("what changed"),
)
JOB_COLUMNS = (
    Column("id", number=True),
    Column("kind"),
    Column("state", state=True),
    Column("drives"),
    Column("host"),
    Column("pid", number=True),
    Column("started"),
    Column("last heartbeat"),
    Column("ended"),
    Column("started by"),
    Column("trouble"),
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
        with_command(
            "; ".join(filter(None, (_part(line), driving_note(line) or line.failed_inside.named))), line.last_command
        ),
    )


def _part(line: Backfill) -> str:
    return "" if line.part is None else f"only {', '.join(few(line.part, _MOST_NAMED))}"


def driving_note(line: Backfill) -> str:
    """Where nobody drives a backfill, that it is so, and what makes somebody."""
    if line.state == "interrupted":
        return "no job drives it; the same command continues it"
    if line.state in ("queued", "running") and not line.driven_by:
        return "no job drives it; `tailrace scheduler` does"
    return ""


def waiting_lines(waiting: WaitingTasks) -> Iterator[str]:
    """The first task instances that wait for other runs, and for what."""
    for each in waiting.first:
        waits = "; ".join(map(str, each.waits_for)) or "nothing any more: its next step goes on"
        yield f"{each.task_instance.place} of {each.task_instance.run_id} waits for {waits}"
    if (more := waiting.count - len(waiting.first)) > 0:
        yield f"so do {more:,} more task instances" if more > 1 else "so does 1 more task instance"


def range_text(first: datetime, last: datetime) -> tuple[str, str]:
    """The ends of a range as they would be typed: dates alone where it is made of whole days (in UTC)."""
    after = last + timedelta(microseconds=1)
    if first.astimezone(_UTC).time() == after.astimezone(_UTC).time() == time(0):
        return f"{first.astimezone(_UTC):%Y-%m-%d}", f"{last.astimezone(_UTC):%Y-%m-%d}"
    return bound_text(first, _UTC), bound_text(last.replace(microsecond=0), _UTC)


def run_row(line: Run) -> tuple[str, ...]:
    """One run as a table row."""
    return (
        line.dag_id,
        line.run_id,
        line.state,
        moment_text(line.start),
        _took(line.start, line.end),
        counted(line.task_instance_counts),
        with_command(run_reason(line), line.last_command),
    )


def run_reason(line: Run) -> str:
    """Why a run stands as it does; an open one says where nobody drives it, a good one what was not really run."""
    without = f"without {', '.join(few(line.in_no_part, _MOST_NAMED))}" if line.in_no_part else ""
    return "; ".join(filter(None, (_run_reason(line), without)))


def _run_reason(line: Run) -> str:
    late = "" if line.late_since is None else f"late since {moment_text(line.late_since)}"
    if line.state in ("queued", "running"):
        return "; ".join(filter(None, (late, "" if line.driven_by else "no job drives it")))
    late = late and f"ended late, after {moment_text(line.late_since)}"
    if line.state != "success":
        return "; ".join(filter(None, (line.reason, late)))
    marked = f"{plural(line.marked, 'task instance')} marked, not run" if line.marked else ""
    return "; ".join(filter(None, (marked, line.failures.named, late)))


def task_instance_row(line: TaskInstanceLine) -> tuple[str, ...]:
    """One task instance of a run as a table row."""
    return (
        f"{line.task_id}{index_suffix(line.map_index)}{name_text(line.rendered_map_index)}",
        line.state,
        str(line.try_number),
        moment_text(line.start),
        _took(line.start, line.end),
        task_instance_reason(line),
    )


def name_text(rendered_map_index: str | None) -> str:
    """What an instance of a mapped task is called, behind its index."""
    return f" ({rendered_map_index})" if rendered_map_index else ""


def task_instance_reason(line: TaskInstanceLine) -> str:
    """Why a task instance stands as it does. Nobody asks why something really succeeded."""
    if line.waits_for:
        return f"waits for {'; '.join(map(str, line.waits_for))}"
    return with_command(line.reason if line.state != "success" or line.marked else "", line.last_command)


def task_instance_of_run_row(line: TaskInstanceOfRun) -> tuple[str, ...]:
    """One task instance with its run as a table row; one that is unfinished says where nobody drives its run."""
    *cells, reason = task_instance_row(line)
    alone = line.run_state in ("queued", "running") and not line.driven_by and line.state not in FINISHED
    reasons = (reason, "no job drives it") if alone else (reason,)
    return (line.dag_id, line.run_id, *cells, "; ".join(filter(None, reasons)))


def version_row(line: DagVersion) -> tuple[str, ...]:
    """One version of a DAG as a table row."""
    changes = "; ".join(line.changes) if line.version > 1 else "the first"
    now = " (as loaded last)" if line.is_newest else ""
    return str(line.version), moment_text(line.since), str(line.tasks), str(line.runs), changes + now


def job_row(job: Job) -> tuple[str, ...]:
    """One job as a table row."""
    drives = "schedules" if job.backfill_id is None else f"backfill {job.backfill_id} of {job.dag_id}"
    loading = [f"{name}: {why}" for name, why in (*job.files.items(), *job.dags.items())]
    return (
        str(job.job_id),
        job.kind,
        job.state,
        drives,
        job.host,
        str(job.pid),
        moment_text(job.started),
        moment_text(job.heartbeat),
        moment_text(job.ended),
        job.started_by or "",
        "; ".join(filter(None, (job.tries, *loading[:1], *([f"{len(loading) - 1} more"] if loading[1:] else [])))),
    )


def stats_row(stats: DagStats) -> tuple[str, ...]:
    """One DAG's counts as a table row."""
    paused = pause_text(stats.paused, stats.last_pause, stats.paused_reason or "")
    return (stats.dag_id, paused, _by_name(stats.runs), _by_name(stats.task_instances))


def _by_name(counts: Mapping[str, int]) -> str:
    return counted(dict(sorted(counts.items())))


def interval_text(start: datetime, end: datetime) -> str:
    """A data interval as people read it; a run about a moment has none."""
    if start == end:
        return f"about {moment_text(start)}, without a data interval"
    return f"data interval {moment_text(start)} to {moment_text(end)}"


def _took(start: datetime | None, end: datetime | None) -> str:
    return "" if start is None or end is None else duration(max(0.0, (end - start).total_seconds()))
