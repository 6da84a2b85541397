"""Room: how many more task instances may be queued, by pool, DAG and task, counting what this step already took.

The counts are the snapshot's. Apply recounts them under the capacity locks: a plan may hope too much, never harm.
"""

from tailrace.model.spec import TaskSpec
from tailrace.planning.board import Board
from tailrace.planning.dependencies import UNLIMITED
from tailrace.planning.evaluation import pool_of
from tailrace.planning.fairness import FairShare, pool_resource, tasks_resource
from tailrace.planning.plan import Dependency, DependencyStatus
from tailrace.planning.reasons import DagFull, PoolFull, TaskFull, TaskFullInRun
from tailrace.planning.snapshot import Snapshot


class Capacity:
    """What is taken so far; ``take`` returns the limit that has no room, or takes the room."""

    def __init__(self, snapshot: Snapshot, turns: FairShare) -> None:
        self._turns = turns
        self._dag = snapshot.dag
        self._active_tasks = snapshot.dag_active_tasks
        self._by_task = dict(snapshot.task_active)
        self._by_run_task: dict[tuple[int, str], int] = {}
        self._pools = snapshot.pools
        self._occupied = {name: pool.occupied for name, pool in snapshot.pools.items()}

    def note_occupied(self, run: int, task_id: str) -> None:
        """Count an instance that already occupies a slot against its per-run limit."""
        self._by_run_task[run, task_id] = self._by_run_task.get((run, task_id), 0) + 1

    def take(self, board: Board, task: TaskSpec) -> DependencyStatus | None:
        """Take room for one instance of ``task``; or, where there is none, say which limit is full."""
        name = pool_of(board, task)
        full = self._full(board, task) or self._left_to_others(name, task)
        if full is not None:
            return full
        self._turns.take(tasks_resource(self._dag.dag_id))
        self._turns.take(pool_resource(name), task.pool_slots)
        self._active_tasks += 1
        self._by_task[task.task_id] = self._by_task.get(task.task_id, 0) + 1
        self.note_occupied(board.run.id, task.task_id)
        self._occupied[name] += task.pool_slots
        return None

    def _full(self, board: Board, task: TaskSpec) -> DependencyStatus | None:
        if self._active_tasks >= self._dag.max_active_tasks:
            self._turns.wait_for(tasks_resource(self._dag.dag_id), self._active_tasks)
            full = DagFull(self._active_tasks, self._dag.max_active_tasks)
            return DependencyStatus(Dependency.DAG_SLOTS, False, full)
        running, limit = self._by_task.get(task.task_id, 0), task.max_active_tis_per_dag
        if limit is not None and running >= limit:
            return DependencyStatus(Dependency.TASK_SLOTS, False, TaskFull(running, limit))
        here, limit = self._by_run_task.get((board.run.id, task.task_id), 0), task.max_active_tis_per_dagrun
        if limit is not None and here >= limit:
            return DependencyStatus(Dependency.TASK_SLOTS, False, TaskFullInRun(here, limit))
        name = pool_of(board, task)
        pool = self._pools[name]
        if pool.slots != UNLIMITED and self._occupied[name] + task.pool_slots > pool.slots:
            self._turns.wait_for(pool_resource(name), self._occupied[name])
            taken = PoolFull(name, pool.slots, self._occupied[name], task.pool_slots)
            return DependencyStatus(Dependency.POOL_SLOTS, False, taken)
        return None

    def _left_to_others(self, name: str, task: TaskSpec) -> DependencyStatus | None:
        """There is room; whether other lanes have a better claim to it."""
        dag, pool = self._dag, self._pools[name]
        return self._turns.keep(
            tasks_resource(dag.dag_id), dag.max_active_tasks, self._active_tasks
        ) or self._turns.keep(pool_resource(name), pool.slots, self._occupied[name], task.pool_slots)
