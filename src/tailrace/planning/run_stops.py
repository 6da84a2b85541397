"""Which runs are stopped before their tasks have ended, and what becomes of those tasks.

A run is stopped once its ``dagrun_timeout`` is over, or once a task of it has failed for good in a DAG with
``fail_fast``. That is written first, by itself: whoever drives the run from then on ends what is left of it, however
often jobs die on the way and whatever the clock says by then. What runs is asked to stop and fails; all else is
skipped.
"""

from collections.abc import Iterator
from datetime import datetime

from tailrace.model.keys import TaskInstanceKey, index_suffix
from tailrace.model.moments import moment_text
from tailrace.model.states import CLAIMED, FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.board import Board
from tailrace.planning.plan import RunStop, TaskTransition
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot

#: Why a task instance may have ended although nothing was wrong with it or above it.
STOPPED = frozenset({Cause.DAGRUN_TIMEOUT, Cause.FAIL_FAST})

#: A failure that a person marked is not one that the DAG is to stop for.
_OWN_FAILURES = frozenset({Cause.OUTCOME, Cause.LOST, Cause.EXPANDED})


def time_is_up(board: Board) -> datetime | None:
    """When the run has taken as long as it may; None where there is no limit, or where it is stopped already."""
    run, limit = board.run, board.dag.dagrun_timeout
    if limit is None or run.started_at is None or run.stopped_by is not None or run.state is not DagRunState.RUNNING:
        return None
    return run.started_at + limit


def to_stop(board: Board, now: datetime) -> RunStop | None:
    """Whether the run is to be stopped now, and why."""
    run, up = board.run, time_is_up(board)
    if run.stopped_by is not None or run.state is not DagRunState.RUNNING:
        return None
    failure = _first_failure(board) if board.dag.fail_fast else None
    if failure is not None:
        reason = f"fail_fast: {failure.task_id}{index_suffix(failure.map_index)} failed"
        failed = (failure.id, failure.try_number)
        return RunStop(run.id, run.run_id, run.version, Cause.FAIL_FAST, reason, failed)
    if up is None or up > now:
        return None
    limit, began = board.dag.dagrun_timeout, run.started_at
    reason = f"dagrun_timeout of {limit} exceeded, began {moment_text(began)}"
    why = (Cause.DAGRUN_TIMEOUT, reason)
    return RunStop(run.id, run.run_id, run.version, *why, limit=limit, began=began, seen=now)


def _first_failure(board: Board) -> TaskInstanceSnapshot | None:
    """What has failed since the run was activated; a failure that it was opened again with does not count."""
    before = set(board.run.failed_before)
    for ti in board.run.task_instances:
        failed = ti.state is TaskInstanceState.FAILED and ti.cause in _OWN_FAILURES
        if failed and (ti.id, ti.try_number) not in before:
            return ti
    return None


def about_to_stop(board: Board) -> bool:
    """Whether this very plan lets a task fail for which the next one stops the run."""
    failed = TaskInstanceState.FAILED
    return board.dag.fail_fast and any(
        board.state(ti) is failed and ti.state is not failed for ti in board.run.task_instances
    )


def ends_of(board: Board) -> Iterator[tuple[TaskInstanceSnapshot, TaskTransition]]:
    """The steps that end what is left of a run that is stopped, but for what was lost in the same plan."""
    run = board.run
    if run.stopped_by is None:
        return
    for ti in run.task_instances:
        state = board.state(ti)
        if state in FINISHED or state is TaskInstanceState.STOPPING or state is not ti.state:
            continue
        if not board.part.holds(ti.task_id) and state not in CLAIMED:
            continue  # it is not done in this run
        runs = state in CLAIMED
        step = TaskTransition(
            id=ti.id,
            run=run.id,
            key=TaskInstanceKey(board.dag.dag_id, run.run_id, ti.task_id, ti.map_index),
            before=state,
            before_try=ti.try_number,
            after=TaskInstanceState.STOPPING if runs else TaskInstanceState.SKIPPED,
            try_number=ti.try_number,
            cause=run.stopped_by.cause,
            reason=run.stopped_by.reason,
            token=ti.token if runs else None,
            versions=((run.id, run.version),),
            stopping_to=TaskInstanceState.FAILED if runs else None,
        )
        yield ti, step


def stop_text(run: RunSnapshot, ti: TaskInstanceSnapshot) -> str:
    """Why a stopping try was stopped."""
    return run.stopped_by.reason if run.stopped_by is not None and ti.cause in STOPPED else "stopped as asked"
