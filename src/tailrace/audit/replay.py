"""Replays history row by row: the world as it was at each moment, for the checks to look at.

Counts are kept as rows go by, so that an audit costs the same for each row however long the history is.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tailrace.audit.records import AuditRecords, HistoryRecord, RunRecord
from tailrace.audit.structure import Structure
from tailrace.model.keys import UNMAPPED
from tailrace.model.states import OCCUPYING, BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

RunKey = tuple[str, str]
Place = tuple[str, int]


@dataclass(slots=True)
class Instance:
    """A task instance as it was: its state, its newest try, and what its budgets have paid for since it was cleared."""

    state: TaskInstanceState | None = None
    try_number: int = 0
    token: int = 0
    followed: tuple[str, ...] | None = None
    retried: int = 0
    lost: int = 0
    reported: bool = False  # its newest try has an accepted outcome


@dataclass(slots=True)
class Run:
    """A run as it was, with its task instances by (task id, map index)."""

    state: DagRunState | None = None
    instances: dict[Place, Instance] = field(default_factory=dict)

    def states(self, task_id: str) -> list[TaskInstanceState]:
        """The states of the task's instances; one without any has none."""
        found = [
            instance.state or TaskInstanceState.NONE
            for (name, _), instance in self.instances.items()
            if name == task_id
        ]
        return found or [TaskInstanceState.NONE]

    def upstream(self, task_ids: Iterable[str]) -> list[TaskInstanceState]:
        """The states of all instances of these tasks."""
        return [state for task_id in task_ids for state in self.states(task_id)]


class Replay:
    """Everything after some prefix of history."""

    def __init__(self, records: AuditRecords) -> None:
        self.records = records
        self.runs: dict[RunKey, Run] = {}
        self.backfills: dict[int, BackfillState | None] = {}
        self.run_records: dict[RunKey, RunRecord] = {(run.dag_id, run.run_id): run for run in records.runs}
        self.running_runs: Counter[str] = Counter()
        self.pool_slots: Counter[str] = Counter()
        self.active: Counter[tuple[str, ...]] = Counter()  # by (DAG), (DAG, task) and (DAG, task, run)
        self._structures = {key: Structure(dag) for key, dag in records.structures.items()}
        self._versions = Counter(dag.dag_id for dag in records.structures.values())
        self._activated: dict[RunKey, int] = {}
        self._taken = {
            (ti.dag_id, ti.run_id, ti.task_id, ti.map_index): (ti.pool, ti.pool_slots) for ti in records.task_instances
        }
        for row in records.history:
            if row.kind == "dag_run" and row.cause == Cause.ACTIVATED:
                self._activated[row.dag_id, row.run_id or ""] = row.id

    def run(self, row: HistoryRecord) -> Run:
        """The run a row is about."""
        return self.runs.setdefault((row.dag_id, row.run_id or ""), Run())

    def instance(self, row: HistoryRecord) -> Instance:
        """The task instance a row is about."""
        return self.run(row).instances.setdefault(place_of(row), Instance())

    def structure(self, row: HistoryRecord) -> Structure | None:
        """The structure a row was decided by; None where that is not known any more.

        A run names the structure of its newest activation. Rows from before that may have been decided by another one
        if the DAG has had several.
        """
        key = row.dag_id, row.run_id or ""
        record = self.run_records.get(key)
        if record is None or record.structure is None:
            return None
        if self._versions[row.dag_id] > 1 and row.id < self._activated.get(key, 0):
            return None
        return self._structures.get(record.structure)

    def take(self, row: HistoryRecord) -> None:
        """Let the row have happened."""
        if row.kind == "task_instance":
            self._take_task_instance(row)
        elif row.kind == "dag_run":
            run, after = self.run(row), DagRunState(row.after)
            self.running_runs[row.dag_id] += (after is DagRunState.RUNNING) - (run.state is DagRunState.RUNNING)
            run.state = after
        elif row.kind == "backfill" and row.backfill_id is not None:
            self.backfills[row.backfill_id] = BackfillState(row.after)

    def _take_task_instance(self, row: HistoryRecord) -> None:
        instance, after = self.instance(row), TaskInstanceState(row.after)
        change = (after in OCCUPYING) - (instance.state in OCCUPYING)
        if change:
            pool, slots = self._taken.get((row.dag_id, row.run_id or "", *place_of(row)), ("", 0))
            self.pool_slots[pool] += change * slots
            for group in groups_of(row):
                self.active[group] += change
        instance.state = after
        instance.reported = row.cause in (Cause.OUTCOME, Cause.RETRY)
        instance.try_number = row.try_number if row.try_number is not None else instance.try_number
        if row.cause == Cause.CLAIMED:
            instance.token = row.token or 0
        elif row.cause == Cause.OUTCOME:
            instance.followed = row.followed
        elif row.cause == Cause.RETRY:
            instance.retried += 1
        elif row.cause == Cause.LOST:
            instance.lost += 1
        elif after is TaskInstanceState.NONE:
            instance.followed, instance.retried, instance.lost = None, 0, 0


def place_of(row: HistoryRecord) -> Place:
    """Where in its run the task instance of a row is."""
    return row.task_id or "", UNMAPPED if row.map_index is None else row.map_index


def groups_of(row: HistoryRecord) -> tuple[tuple[str, ...], ...]:
    """The groups with limits that the task instance of a row belongs to: its DAG, its task, its task in its run."""
    dag, run, task = row.dag_id, row.run_id or "", row.task_id or ""
    return (dag,), (dag, task), (dag, task, run)


def name_of(row: HistoryRecord) -> str:
    """What a row is about, for people."""
    if row.kind == "backfill":
        return f"backfill {row.backfill_id}"
    task = None if row.task_id is None else row.task_id + ("" if row.map_index in (None, -1) else f"[{row.map_index}]")
    return " / ".join(part for part in (row.dag_id, row.run_id, task) if part)
