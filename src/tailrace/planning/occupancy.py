"""Which limits have room: the one rule by which a plan is decided, and recounted under the locks as it is applied."""

from dataclasses import dataclass, field

from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.planning.dependencies import UNLIMITED
from tailrace.planning.plan import Dependency, DependencyStatus
from tailrace.planning.reasons import DagFull, PoolFull, TaskFull, TaskFullInRun


@dataclass(slots=True)
class Occupancy:
    """The slots of each pool and what occupies them, the DAG and its tasks; counted on as room is taken or released."""

    slots: dict[str, int]
    occupied: dict[str, int]
    dag_active: int
    task_active: dict[str, int] = field(default_factory=dict)
    run_task_active: dict[tuple[int, str], int] = field(default_factory=dict)
    stopping: int = 0  # how many are stopping, in any DAG

    def full(self, dag: DagSpec, task: TaskSpec, pool_name: str, run: int) -> DependencyStatus | None:
        """The limit that has no room for one instance of ``task``, if there is one."""
        if self.dag_active >= dag.max_active_tasks:
            return DependencyStatus(Dependency.DAG_SLOTS, False, DagFull(self.dag_active, dag.max_active_tasks))
        active, limit = self.task_active.get(task.task_id, 0), task.max_active_tis_per_dag
        if limit is not None and active >= limit:
            return DependencyStatus(Dependency.TASK_SLOTS, False, TaskFull(active, limit))
        active, limit = self.run_task_active.get((run, task.task_id), 0), task.max_active_tis_per_dagrun
        if limit is not None and active >= limit:
            return DependencyStatus(Dependency.TASK_SLOTS, False, TaskFullInRun(active, limit))
        slots, occupied = self.slots.get(pool_name, 0), self.occupied.get(pool_name, 0)
        if slots != UNLIMITED and occupied + task.pool_slots > slots:
            full = PoolFull(pool_name, slots, occupied, task.pool_slots)
            return DependencyStatus(Dependency.POOL_SLOTS, False, full)
        return None

    def admit(self, dag: DagSpec, task: TaskSpec, pool_name: str, run: int) -> bool:
        """Take room for one task instance if there is room in its pool, its DAG and its task's limits."""
        if self.full(dag, task, pool_name, run) is not None:
            return False
        self.take(task, pool_name, run)
        return True

    def take(self, task: TaskSpec, pool_name: str, run: int) -> None:
        """Take room for one task instance."""
        self.occupied[pool_name] = self.occupied.get(pool_name, 0) + task.pool_slots
        self.dag_active += 1
        self.task_active[task.task_id] = self.task_active.get(task.task_id, 0) + 1
        self.take_in_run(run, task.task_id)

    def take_in_run(self, run: int, task_id: str) -> None:
        """Count one more active instance of a task in one run."""
        self.run_task_active[run, task_id] = self.run_task_active.get((run, task_id), 0) + 1

    def release(self, pool_name: str, slots: int, run: int, task_id: str, *, same_dag: bool = True) -> None:
        """Give back the room of a task instance that this transaction has just ended; of another DAG: its pool's."""
        self.occupied[pool_name] = self.occupied.get(pool_name, 0) - slots
        if not same_dag:
            return
        self.dag_active -= 1
        if task_id in self.task_active:
            self.task_active[task_id] -= 1
        if (run, task_id) in self.run_task_active:
            self.run_task_active[run, task_id] -= 1
