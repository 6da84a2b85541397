"""Puts closed runs back to be driven again, and stores what is to be cleared when their turn comes. Part of creation.

Nothing in flight is touched: a running run keeps what it has; a queued one that nobody else wants takes the options
of the backfill that wants it now.
"""

from msgspec.structs import asdict
from sqlalchemy import bindparam, select

from tailrace.metastore.commands.creating import Creating
from tailrace.metastore.db.columns import to_json
from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, backfill, backfill_run
from tailrace.metastore.db.transaction import in_batches
from tailrace.metastore.plans.rows import RUN_STATES, part_text
from tailrace.metastore.writes.runs import Options, RunAsIs, RunStep, give_clear_and_conf, give_options, give_part
from tailrace.metastore.writes.runs import requeue_runs as requeue
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import DateAction, DatePlan
from tailrace.planning.creation import options_for

_WANTED_BY_OTHERS = (
    select(backfill_run.c.dag_run_id)
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .where(
        backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)),
        backfill.c.state.in_(UNFINISHED_BACKFILL),
        backfill_run.c.backfill_id != bindparam("backfill_id"),
    )
)


def requeue_runs(work: Creating, backfill_id: int) -> None:
    """Put the closed runs to be reprocessed back to queued; give queued ones what this backfill wants of them."""
    unsettled = [date for date in work.creation.dates if date.existing_id is not None and not work.settled(date)]
    reprocessed = [date for date in unsettled if date.action is DateAction.REPROCESS]
    waiting = [
        date
        for date in unsettled
        if date.action is DateAction.AWAIT and work.found[date.interval.start].state == DagRunState.QUEUED
    ]
    shared = _shared(work, backfill_id, waiting)
    fresh = [date for date in waiting if date.existing_id not in shared]
    put_back = [(_reopened(work, date, backfill_id), _options(work, date)) for date in reprocessed]
    requeue(work.tx, work.author, put_back, work.history)
    for date in reprocessed:
        work.found[date.interval.start].state = DagRunState.QUEUED
    given = [(_as_is(work, date), _options(work, date)) for date in fresh]
    give_options(work.tx, work.author, given, work.history)
    # The new version makes stale whoever read it before its conf was set, even where that changes nothing.
    shared_dates = [
        date
        for date in waiting
        if date.existing_id in shared
        and (date.clear or work.request.conf is not None or stored_part(date) != work.found[date.interval.start].part)
    ]
    given = [(_as_is(work, date), _options(work, date)) for date in shared_dates]
    give_clear_and_conf(work.tx, work.author, given, work.history)
    _join_running(work, [date for date in unsettled if date.action is DateAction.AWAIT])


def _join_running(work: Creating, dates: list[DatePlan]) -> None:
    """Have running runs do what this backfill wants beside what they do."""
    found = [(date, work.found[date.interval.start]) for date in dates]
    running = [(date, run) for date, run in found if run.state == DagRunState.RUNNING]
    joined = [(_as_is(work, date), stored_part(date)) for date, run in running if stored_part(date) != run.part]
    give_part(work.tx, work.author, joined, work.history)


def stored_part(date: DatePlan) -> str | None:
    """What is done in the date's run, as it is stored."""
    return None if date.part is None else part_text(date.part)


def _reopened(work: Creating, date: DatePlan, backfill_id: int) -> RunStep:
    found, queued = work.found[date.interval.start], DagRunState.QUEUED
    step = (RUN_STATES[found.state], queued, Cause.REPROCESS, date.reason, backfill_id, {"clear": list(date.clear)})
    return RunStep(found.id, work.dag.dag_id, found.run_id, *step, found.version, found.chain)


def _as_is(work: Creating, date: DatePlan) -> RunAsIs:
    found = work.found[date.interval.start]
    return RunAsIs(found.id, work.dag.dag_id, found.run_id, found.version, found.chain)


def _shared(work: Creating, backfill_id: int, dates: list[DatePlan]) -> set[int]:
    """Those of the runs that another unfinished backfill wants: their options stay as they are (they agree)."""
    found: set[int] = set()
    for batch in in_batches([date.existing_id for date in dates]):
        found.update(work.tx.column(_WANTED_BY_OTHERS, {"runs": batch, "backfill_id": backfill_id}))
    return found


def _options(work: Creating, date: DatePlan) -> Options:
    clear = to_json(list(date.clear)) if date.clear else None
    return Options(**asdict(options_for(work.request, date)), conf=date.conf, clear=clear, part=stored_part(date))
