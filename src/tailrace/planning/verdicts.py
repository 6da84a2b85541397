"""When a run, and a backfill, is over, and how: a function of final states alone.

A run is judged by its leaves once nothing is unfinished. It is deadlocked when every unfinished task instance is
doomed; the verdict names each of them with its blockers, and apply re-reads the evidence before it writes.
"""

from collections.abc import Iterator, Mapping

from tailrace.model.keys import TaskInstanceKey, index_suffix
from tailrace.model.spec import DagSpec
from tailrace.model.states import BACKFILL_CLOSED, BackfillState, DagRunState, TaskInstanceState
from tailrace.planning.board import Board
from tailrace.planning.calling import event_of_backfill, event_of_run
from tailrace.planning.circles import Stuck
from tailrace.planning.failed_tasks import FailedTasks, failed_tasks
from tailrace.planning.plan import BackfillVerdict, Blocker, Dependency, RunVerdict
from tailrace.planning.run_stops import about_to_stop
from tailrace.planning.snapshot import BackfillSnapshot, StoppedBy, TaskInstanceSnapshot

#: So many instances of one mapped task are named in a reason.
_MOST_NAMED = 3
_BAD = frozenset({TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})


def judge_run(board: Board, dag_version: int, stuck: Stuck | None = None) -> RunVerdict | None:
    """The run's verdict after what this step decided, or None while it is open."""
    run = board.run
    if run.state is not DagRunState.RUNNING or board.missing_tasks():
        return None
    unfinished = list(board.unfinished())
    if any(ti.id not in board.doomed for ti in unfinished):
        return None
    if run.stopped_by is not None:
        return None if unfinished else _stopped(board, run.stopped_by)
    if about_to_stop(board):
        return None
    if unfinished:
        return _deadlock(board, dag_version, stuck)
    bad = [text for task_id in sorted(board.dag.leaves) for text in _bad_instances(board, task_id)]
    bad += _without_outcome(board)
    state = DagRunState.FAILED if bad else DagRunState.SUCCESS
    reason = "; ".join(bad) or "every leaf succeeded or was skipped"
    states = ((ti.task_id, board.state(ti), 1) for tis in board.by_task.values() for ti in tis)
    inside = failed_tasks(states) if state is DagRunState.SUCCESS else FailedTasks()
    judged = (run.id, run.run_id, run.version, state, board.evidence)
    return RunVerdict(*judged, reason=reason, failed_inside=inside, event=_event(board, state))


def _event(board: Board, state: DagRunState) -> str:
    """Nobody is called for a success that a person has said there is."""
    said = board.run.options.mark_success and state is DagRunState.SUCCESS
    return "" if said else event_of_run(board.dag, state)


def _stopped(board: Board, by: StoppedBy) -> RunVerdict:
    run, failed = board.run, DagRunState.FAILED
    judged = (run.id, run.run_id, run.version, failed, board.evidence)
    return RunVerdict(*judged, reason=by.reason, stopped_by=by.cause, event=_event(board, failed))


def _bad_instances(board: Board, task_id: str) -> Iterator[str]:
    """Each failed instance of a leaf, but for those of a mapped task beyond the first few, which are counted."""
    bad = [ti for ti in board.by_task.get(task_id, ()) if board.state(ti) in _BAD]
    for ti in bad[:_MOST_NAMED]:
        yield f"{ti.task_id}{index_suffix(ti.map_index)} is {board.state(ti)}"
    if len(bad) > _MOST_NAMED:
        yield f"so are {len(bad) - _MOST_NAMED:,} more of its instances"


def _without_outcome(board: Board) -> Iterator[str]:
    """What a run that did only a part of its DAG leaves as it was: it has not succeeded as a whole."""
    left_out = board.left_out()
    if left_out:
        first = f"{left_out[0].task_id}{index_suffix(left_out[0].map_index)} is {left_out[0].state}"
        more = f", so are {len(left_out) - 1:,} more" if len(left_out) > 1 else ""
        yield f"not done in its part: {first}{more}"


def _deadlock(board: Board, dag_version: int, stuck: Stuck | None) -> RunVerdict:
    run = board.run
    blocked = tuple(_blocker(board, ti) for ti in board.unfinished())
    names = {status.dependency for blocker in blocked for status in blocker.reasons}
    blocking = {blocker.previous for blocker in blocked if blocker.previous is not None}
    past = {each.id: each for each in board.previous.values() if each.run_id in blocking}
    return RunVerdict(
        run.id,
        run.run_id,
        run.version,
        DagRunState.DEADLOCKED,
        board.evidence,
        blocked=blocked,
        past_evidence={id: previous.state for id, previous in past.items()},
        past_versions={id: previous.version for id, previous in past.items()},
        dag_version=dag_version if past else None,
        pool_evidence=dict(board.pool_sizes) if Dependency.POOL_SLOTS in names else {},
        circle=() if stuck is None else stuck.circle_of(board),
        tokens={} if stuck is None else stuck.tokens_of(board),
        reason=f"{len(blocked)} task instances can never run; {_why(board, blocked, stuck)}",
        event=_event(board, DagRunState.DEADLOCKED),
    )


def _blocker(board: Board, ti: TaskInstanceSnapshot) -> Blocker:
    key = TaskInstanceKey(board.dag.dag_id, board.run.run_id, ti.task_id, ti.map_index)
    reasons = board.doomed[ti.id].failed
    by_past = any(status.dependency is Dependency.PREVIOUS_RUN for status in reasons)
    previous = board.previous[ti.task_id].run_id if by_past else None
    return Blocker(key, board.state(ti), reasons, previous)


def _why(board: Board, blocked: tuple[Blocker, ...], stuck: Stuck | None) -> str:
    way = () if stuck is None else stuck.way_from(board)
    if way:
        return f"tries wait for each other: {' for '.join(map(str, way))}"
    for other in () if stuck is None else stuck.circle_of(board):
        if other.state is DagRunState.DEADLOCKED:
            return f"tries wait for {other.dag_id} / {other.run_id}, which is deadlocked"
    return f"first: {_first(blocked)}"


def _first(blocked: tuple[Blocker, ...]) -> str:
    first = blocked[0]
    return f"{first.key.place}: {' '.join(str(status.reason) for status in first.reasons)}"


def state_by_runs(counts: Mapping[DagRunState, int], *, stopped: bool = False) -> BackfillState:
    """How a backfill ends whose runs have ended so; ``stopped``: it began no other after one had failed."""
    if counts.get(DagRunState.DEADLOCKED, 0):
        return BackfillState.DEADLOCKED
    if counts.get(DagRunState.FAILED, 0) or counts.get(DagRunState.CANCELLED, 0) or stopped:
        return BackfillState.FAILED
    return BackfillState.SUCCESS


def judge_backfill(backfill: BackfillSnapshot, dag: DagSpec) -> BackfillVerdict | None:
    """The backfill's verdict, or None while a wanted run is open.

    Every wanted run counts, whoever ran it. After a failure under stop_on_failure it is judged as soon as nothing
    of it is active: the runs it never started stay queued for the next backfill.
    """
    if backfill.state in BACKFILL_CLOSED:
        return None
    stopped = backfill.has_stopped and backfill.active_runs == 0
    if backfill.open_runs and not stopped:
        return None
    counts = backfill.closed_by_state
    state = state_by_runs(counts, stopped=stopped)
    parts = [f"{number} {run_state}" for run_state, number in sorted(counts.items()) if number]
    if backfill.open_runs:
        parts.append("the rest is not started: stopped at the first failure")
    reason = ", ".join(parts)
    return BackfillVerdict(
        backfill.id,
        backfill.version,
        state,
        counts,
        reason,
        leaves_open=backfill.open_runs > 0,
        failed_inside=backfill.failed_inside,
        event=event_of_backfill(dag),
    )
