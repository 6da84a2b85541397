"""Canaries that look back wrongly: at the schedule point, at what stood there a moment ago, or not at all."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans import applying, lookback, snapshots
from tailrace.metastore.plans.locking import Workspace
from tailrace.metastore.plans.lookback import LookedAt
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.planning import dependencies, evaluation
from tailrace.planning.board import Board
from tailrace.planning.dependencies import Past
from tailrace.planning.plan import TaskTransition
from tailrace.simulator.broken_writes import Replaced

_DAY = timedelta(days=1)


def _at_the_schedule_point(tx: Transaction, dag: DagSpec, runs: Collection[int]) -> LookedAt:
    found = lookback.read_previous(tx, dag, runs)
    dates = {row.id: row.logical_date for row in tx.rows(lookback._RUNS, {"runs": [*runs, *found.previous]})}
    looks_at = {
        run: {task_id: id for task_id, id in previous.items() if dates[id] == dates[run] - _DAY}
        for run, previous in found.looks_at.items()
    }
    return LookedAt(looks_at, found.previous)


schedule_point = Replaced(snapshots, "read_previous", _at_the_schedule_point)
"""The previous run is that of the schedule point before, and none where there is a hole."""

_as_expected = applying._as_expected


def _whatever_came_between(work: Workspace, step: TaskTransition) -> dict[str, Any] | None:
    return _as_expected(work, replace(step, looked_back=None))


hole_unseen = Replaced(applying, "_as_expected", _whatever_came_between)
"""A step that depends on the past does not look whether another run stands in between by now."""

_previous_dagrun_state = dependencies.previous_dagrun_state


def _never_undecided(board: Board, task: TaskSpec) -> Past:
    return _previous_dagrun_state(board, task)._replace(undecided=False)


skip_overtakes = Replaced(evaluation, "previous_dagrun_state", _never_undecided)
"""A skip does not wait for the previous run."""
