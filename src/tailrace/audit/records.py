"""What the audit reads: history in order, the structure the runs were activated with, and the rows as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.model.spec import DagSpec


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One row of history. ``before`` is None for a creation; kind is task_instance, dag_run, backfill or refused."""

    id: int
    kind: str
    dag_id: str
    run_id: str | None
    task_id: str | None
    map_index: int | None
    backfill_id: int | None
    before: str | None
    after: str
    actor: str
    cause: str
    try_number: int | None
    token: int | None


@dataclass(frozen=True, slots=True)
class TaskInstanceRecord:
    """A task instance as it stands."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    state: str
    try_number: int
    token: int
    pool: str
    pool_slots: int
    followed: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands; ``previous`` is the run id of its pinned previous run."""

    dag_id: str
    run_id: str
    state: str
    previous: str | None
    ignore_depends_on_past: bool
    pool: str | None


@dataclass(frozen=True, slots=True)
class AuditRecords:
    """Everything one audit looks at, read in one transaction. ``dags`` holds each DAG's newest structure."""

    history: tuple[HistoryRecord, ...]
    task_instances: tuple[TaskInstanceRecord, ...]
    runs: tuple[RunRecord, ...]
    dags: Mapping[str, DagSpec]
    pools: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be in a history: which check found it, about what, and the row of history."""

    check: str
    about: str
    text: str
    history_id: int | None = None

    def __str__(self) -> str:
        where = "" if self.history_id is None else f" (history row {self.history_id})"
        return f"{self.check}: {self.about}: {self.text}{where}"
