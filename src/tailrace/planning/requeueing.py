"""Which active runs give their place in the window back: those whose previous run is queued again, behind them.

A run begins only after its previous run has begun (``planner``), so the window cannot fill up with runs that wait for
one outside it. But a previous run that had ended may be cleared or reprocessed while they are active. Then the window
would be full of runs that wait for one that has no place in it, for ever; and so would they in a backfill that begins
nothing more, for it has stopped at a failure.
"""

from collections.abc import Iterable, Iterator, Set

from tailrace.model.states import OCCUPYING, DagRunState
from tailrace.planning.board import Board
from tailrace.planning.plan import RunRequeue
from tailrace.planning.snapshot import Snapshot


def yields(snapshot: Snapshot, boards: Iterable[Board], starting: Set[int]) -> Iterator[RunRequeue]:
    """The runs that step back, if none behind them can begin; ``starting`` are the runs with something to start."""
    stopped = snapshot.backfill is not None and snapshot.backfill.has_stopped
    if not snapshot.dag.depends_on_past or not (stopped or _is_full(snapshot)):
        return
    for board in boards:
        run = board.run
        queued = [previous for previous in board.previous.values() if previous.state is DagRunState.QUEUED]
        if not queued or run.options.ignore_depends_on_past:
            continue
        previous = min(queued, key=lambda each: each.id)
        idle = not any(board.state(ti) in OCCUPYING for ti in run.task_instances)
        if idle and run.state is DagRunState.RUNNING and run.id not in starting:
            reason = f"its previous run {previous.run_id} is queued behind it"
            yield RunRequeue(run.id, run.run_id, run.version, previous.id, reason, snapshot.dag_version)


def _is_full(snapshot: Snapshot) -> bool:
    backfill = snapshot.backfill
    own = None if backfill is None else backfill.max_active_runs
    if backfill is not None and own is not None and backfill.active_runs >= own:
        return True
    return snapshot.dag_active_runs >= snapshot.dag.max_active_runs
