"""The report of a backfill, whenever it is asked for: how it stands, what failed, and what that goes back to."""

from datetime import UTC, datetime
from itertools import islice, takewhile

from tailrace.execution.logs.files import log_path
from tailrace.metastore.views.failures import RootBefore
from tailrace.metastore.views.summaries import BackfillSummary
from tailrace.model.spec import DagSpec
from tailrace.planning.messages import NothingThere
from tailrace.runtime.settings import Settings
from tailrace.service.backfill_report import (
    EXIT_CODES,
    BackfillEnded,
    BackfillEnding,
    BackfillReport,
    Repair,
    RootFailure,
    ended,
)
from tailrace.service.reason_structs import no_backfill
from tailrace.service.stores import Stores
from tailrace.timetable import intervals_after, just_before

#: So many runs before the range are named one by one.
_MOST_ALONE = 5


def report_of(stores: Stores, backfill_id: int) -> BackfillEnded:
    """As its command reports it when that ends; ``seconds`` are those from its start to its end, or to now.

    Raises NothingThere for no such backfill.
    """
    metastore = stores.reading()
    line = None if metastore is None else metastore.show_backfill(backfill_id)
    if metastore is None or line is None:
        raise NothingThere(no_backfill(backfill_id))
    summary = metastore.backfill_summary(backfill_id)
    dag = metastore.stored_dag(line.dag_id) or DagSpec(line.dag_id, ())
    state = BackfillEnding(line.state)
    until = line.ended or datetime.now(UTC)
    report = BackfillReport(
        backfill_id=backfill_id,
        dag_id=line.dag_id,
        state=state,
        exit_code=EXIT_CODES[state],
        runs=summary.runs,
        task_instances=summary.task_instances,
        seconds=0.0 if line.started is None else max(0.0, (until - line.started).total_seconds()),
        blocked=summary.blocked,
        root_failure=root_of(summary, stores.settings, dag),
        failed=summary.failures.everywhere,
        failed_inside=summary.failures.inside,
        failures=summary.failed,
        last_command=summary.last_command,
        part=summary.part,
    )
    return ended(report, stores.typed)


def root_of(summary: BackfillSummary, settings: Settings, dag: DagSpec) -> RootFailure | None:
    """The first failure of its own runs, or the one before its range; where that is one, what repairs it."""
    before = summary.root_before
    root = summary.root_failure or before
    if root is None:
        return None
    log = log_path(settings.home, root.try_key)
    repair = None if before is None else _repair(before, dag)
    return RootFailure(
        root.try_key, root.state, root.reason, str(log) if log.is_file() else None, root is not before, repair
    )


def _repair(before: RootBefore, dag: DagSpec) -> Repair:
    """Dates between that have no run are left out where they are not those of the backfill, unless there are many."""
    since = before.chain[0]
    last = before.range_start - datetime.resolution
    dates = takewhile(
        lambda each: each.start <= last, intervals_after(dag.schedule, dag.start_date, just_before(since))
    )
    has_run = sum(1 for _ in islice(dates, before.runs + 1)) <= before.runs
    if has_run or len(before.chain) > _MOST_ALONE:
        return Repair(since)
    return Repair(since, before.chain)
