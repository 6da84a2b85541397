"""Room for what one step queues: the snapshot's occupancy, what the step took already, and what is left to other lanes.

The counts are the snapshot's. Apply recounts them under the capacity locks: a plan may hope too much, never harm.
"""

from tailrace.model.spec import TaskSpec
from tailrace.planning.board import Board
from tailrace.planning.evaluation import pool_of
from tailrace.planning.fairness import FairShare, pool_resource, tasks_resource
from tailrace.planning.occupancy import Occupancy
from tailrace.planning.plan import Dependency, DependencyStatus
from tailrace.planning.snapshot import Snapshot


class Capacity:
    """What is taken so far; ``take`` returns the limit that has no room, or takes the room."""

    def __init__(self, snapshot: Snapshot, fair_share: FairShare) -> None:
        self._fair_share = fair_share
        self._dag = snapshot.dag
        self._occupancy = Occupancy(
            {name: pool.slots for name, pool in snapshot.pools.items()},
            {name: pool.occupied for name, pool in snapshot.pools.items()},
            snapshot.dag_active_tasks,
            dict(snapshot.task_active),
        )

    def note_occupied(self, run: int, task_id: str) -> None:
        """Count an instance that already occupies a slot against its per-run limit."""
        self._occupancy.take_in_run(run, task_id)

    def take(self, board: Board, task: TaskSpec) -> DependencyStatus | None:
        """Take room for one instance of ``task``; or, where there is none, return the limit that is full."""
        name, occupancy = pool_of(board, task), self._occupancy
        full = occupancy.full(self._dag, task, name, board.run.id)
        if full is None:
            full = self._left_to_others(name, task)
        elif full.dependency is Dependency.DAG_SLOTS:
            self._fair_share.wait_for(tasks_resource(self._dag.dag_id), occupancy.dag_active)
        elif full.dependency is Dependency.POOL_SLOTS:
            self._fair_share.wait_for(pool_resource(name), occupancy.occupied[name])
        if full is not None:
            return full
        self._fair_share.take(tasks_resource(self._dag.dag_id))
        self._fair_share.take(pool_resource(name), task.pool_slots)
        occupancy.take(task, name, board.run.id)
        return None

    def _left_to_others(self, name: str, task: TaskSpec) -> DependencyStatus | None:
        """There is room; whether other lanes have a better claim to it."""
        dag, occupancy = self._dag, self._occupancy
        slots, occupied = occupancy.slots[name], occupancy.occupied[name]
        return self._fair_share.keep(
            tasks_resource(dag.dag_id), dag.max_active_tasks, occupancy.dag_active
        ) or self._fair_share.keep(pool_resource(name), slots, occupied, task.pool_slots)
