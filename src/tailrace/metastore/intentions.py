"""Puts closed runs back to be driven again, and stores what is to be cleared when their turn comes. Part of creation.

Nothing in flight is touched: a running run keeps what it has; a queued one that nobody else wants takes the options
of the backfill that wants it now.
"""

from typing import Any

from sqlalchemy import bindparam, select, update

from tailrace.metastore.columns import to_json
from tailrace.metastore.draft import Creating
from tailrace.metastore.locking import set_wanted_state
from tailrace.metastore.records import run_row
from tailrace.metastore.tables import UNFINISHED_BACKFILL, backfill, backfill_run, dag_run
from tailrace.metastore.transaction import in_batches
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import DateAction, DatePlan
from tailrace.planning.creation import options_for

_REQUEUE = (
    update(dag_run)
    .where(dag_run.c.id == bindparam("run"))
    .values(
        state=DagRunState.QUEUED,
        version=dag_run.c.version + 1,
        owner_job_id=None,
        started_at=None,
        ended_at=None,
        reason="",
        blocked=None,
        clear_on_activation=bindparam("wanted_clear"),
        conf=bindparam("with_conf"),
        disable_retry=bindparam("no_retry"),
        mark_success=bindparam("mark"),
        ignore_depends_on_past=bindparam("ignore_past"),
        pool=bindparam("in_pool"),
    )
)
_SET_CLEAR_AND_CONF = (
    update(dag_run)
    .where(dag_run.c.id == bindparam("run"))
    .values(
        version=dag_run.c.version + 1,
        clear_on_activation=bindparam("wanted_clear"),
        conf=bindparam("with_conf"),
    )
)
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
    work.tx.change_many(_REQUEUE, [_requeued(work, date) for date in (*reprocessed, *fresh)])
    # The new version makes stale whoever read it before it was said what its conf is, even where that changes nothing.
    told = [date for date in waiting if date.existing_id in shared and (date.clear or work.request.conf is not None)]
    work.tx.change_many(
        _SET_CLEAR_AND_CONF,
        [{"run": date.existing_id, "wanted_clear": _clear(date), "with_conf": date.conf} for date in told],
    )
    for date in reprocessed:
        found = work.found[date.interval.start]
        work.history.append(
            run_row(
                work.author,
                work.dag.dag_id,
                found.run_id,
                found.state,
                DagRunState.QUEUED,
                Cause.REPROCESS,
                date.reason,
                backfill_id=backfill_id,
                evidence={"clear": list(date.clear)},
            )
        )
        found.state = DagRunState.QUEUED
    set_wanted_state(work.tx, {work.found[date.interval.start].id: DagRunState.QUEUED for date in reprocessed})


def _shared(work: Creating, backfill_id: int, dates: list[DatePlan]) -> set[int]:
    """Those of the runs that another unfinished backfill wants: their options stay as they are (they agree)."""
    found: set[int] = set()
    for batch in in_batches([date.existing_id for date in dates]):
        found.update(row[0] for row in work.tx.rows(_WANTED_BY_OTHERS, {"runs": batch, "backfill_id": backfill_id}))
    return found


def _requeued(work: Creating, date: DatePlan) -> dict[str, Any]:
    options = options_for(work.request, date)
    return {
        "run": date.existing_id,
        "wanted_clear": _clear(date),
        "with_conf": date.conf,
        "no_retry": options.disable_retry,
        "mark": options.mark_success,
        "ignore_past": options.ignore_depends_on_past,
        "in_pool": options.pool,
    }


def _clear(date: DatePlan) -> str | None:
    return to_json(list(date.clear)) if date.clear else None
