"""What the audit reads: history in order, the structures the runs were activated with, and the rows as they stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from tailrace.model.spec import DagSpec


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One row of history. ``before`` is None for a creation; kind is task_instance, dag_run, backfill or refused.

    ``followed`` is what a deciding task chose, on the row of its outcome; ``blocked`` the task instances that a
    deadlock's proof names, as (task id, map index), on the row of the verdict.
    """

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
    followed: tuple[str, ...] | None = None
    blocked: tuple[tuple[str, int], ...] | None = None


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


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it stands.

    ``previous`` is the run id of its pinned previous run, ``structure`` the key (in ``AuditRecords.structures``) of
    the one it was last activated with; None before its first activation.
    """

    dag_id: str
    run_id: str
    state: str
    previous: str | None
    ignore_depends_on_past: bool
    pool: str | None
    structure: int | None


@dataclass(frozen=True, slots=True)
class BackfillRecord:
    """A backfill as it stands, and the run ids it wants."""

    id: int
    dag_id: str
    state: str
    stop_on_failure: bool
    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditRecords:
    """Everything one audit looks at, read in one transaction. ``pools`` are slots by name, -1 for unlimited."""

    history: tuple[HistoryRecord, ...]
    task_instances: tuple[TaskInstanceRecord, ...]
    runs: tuple[RunRecord, ...]
    backfills: tuple[BackfillRecord, ...]
    structures: Mapping[int, DagSpec]
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
