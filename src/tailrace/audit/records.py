"""What the audit reads: history in order, the structures the runs were activated with, and the rows as they stand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from tailrace.model.awaited import Awaited
from tailrace.model.chains import Chain, Subject
from tailrace.model.spec import MOST_INSTANCES, DagSpec

#: What ``after`` says on the row of a pool that went away.
DELETED_POOL = "deleted"


class HistoryRecord(Struct, frozen=True):
    """One row of history. ``before`` is None for a creation.

    kind is task_instance, dag_run, backfill, pool (``before`` and ``after`` are its slots), refused, changed (``after``
    is the table of the row of which columns were set), cleaned or schema (``after`` is the revision that what follows
    was written by).
    ``structure`` is the key (in ``structures``) of what a planner decided by, None where nobody recorded it;
    ``row_id`` the task instance's row, ``run_row`` the run's. ``evidence`` is what else was stored with it, as it was
    read from JSON. ``cells`` is all that its ``digest`` covers, in the order of ``COVERED``; rows from before
    history was chained have no digest.
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
    structure: int | None = None
    row_id: int | None = None
    pool: str | None = None
    evidence: "Evidence | None" = None
    run_row: int | None = None
    digest: str | None = None
    cells: tuple[Any, ...] = ()


class Blocked(Struct, frozen=True):
    """A task instance that a deadlock's proof names: its run, its place there, its state, the dependencies not met."""

    run: tuple[str, str]
    place: tuple[str, int]
    state: str
    dependencies: tuple[str, ...]


class Expanded(Struct, frozen=True):
    """What an expansion tells: how many instances, the lengths that say so, and the tries (by row) that left them.

    ``was`` is the index that the row of the task instance had before, where it is another. ``as_task``: the number is
    that of this task of its mapped group, which had been expanded before. ``most``: so many were allowed.
    """

    count: int
    lengths: tuple[int | None, ...]
    sources: Mapping[int, int]
    was: int | None = None
    as_task: str = ""
    most: int = MOST_INSTANCES


class CircleRun(Struct, frozen=True):
    """Another run that a deadlock leans on: its state, its task instances' states, and its waits' tokens, by row."""

    run: tuple[str, str]
    state: str
    assumed: Mapping[int, str]
    tokens: Mapping[int, int]


class Stop(Struct, frozen=True):
    """What a run was stopped for: its time was up (how long it may take, when it began, when that was seen), or a task
    instance had failed, by row, in this try.
    """

    limit: float | None = None
    began: datetime | None = None
    seen: datetime | None = None
    failed: tuple[int, int] | None = None


class Evidence(Struct, frozen=True):
    """What a history row was stored with; None is what it does not speak of.

    ``followed`` is what a deciding task chose. On a verdict, ``blocked`` are the task instances that a deadlock's proof
    names, ``blocked_by`` the previous run that blocks a task, ``assumed`` the states it was drawn from by row,
    ``past`` those of previous runs by row, ``pools`` the sizes it leans on. On an activation, ``run_pool`` and
    ``ignores_past`` are the run's options. ``stopping_to`` is where a running try that a person stopped is to end.
    ``looked_at`` is the previous run that a start or a skip was decided by, or that a run gave its place back for;
    empty: there was none. ``clear`` are the tasks that a run put back into the queue is to clear when it begins,
    ``live`` says that it was left to schedulers.
    ``stop`` is what a run was stopped for, ``stopped_by`` on its verdict the cause of that.
    ``awaits`` is what a rescheduled try waits for; ``waits`` and ``circle`` are, on a verdict, the tokens of the tries
    that wait in a circle, and the other runs of that.
    ``event`` is the callback that is to be called for it. ``damaged`` says why it could not be read, or what it lacks.
    """

    followed: tuple[str, ...] | None = None
    blocked: tuple[Blocked, ...] | None = None
    blocked_by: Mapping[str, str] | None = None
    assumed: Mapping[int, str] | None = None
    past: Mapping[int, str] | None = None
    pools: Mapping[str, int | None] | None = None
    run_pool: str | None = None
    ignores_past: bool = False
    damaged: str = ""
    stopping_to: str | None = None
    looked_at: str | None = None
    clear: tuple[str, ...] | None = None
    live: bool = False
    expanded: Expanded | None = None
    stop: Stop | None = None
    stopped_by: str | None = None
    event: str = ""
    awaits: Awaited | None = None
    waits: Mapping[int, int] = {}
    circle: tuple[CircleRun, ...] = ()


class TaskInstanceRecord(Struct, frozen=True):
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
    followed: tuple[str, ...] | None = None


class RunRecord(Struct, frozen=True):
    """A run as it stands. ``structure`` is the key of the one it was last activated with; None before its first."""

    dag_id: str
    run_id: str
    state: str
    logical_date: datetime
    run_type: str
    ignore_depends_on_past: bool
    pool: str | None
    structure: int | None
    id: int = 0
    blocked: tuple[Blocked, ...] | None = None


class PartRecord(Struct, frozen=True):
    """The tasks of a backfill that is a part of its DAG, and those of them that it is judged by."""

    tasks: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()


class BackfillRecord(Struct, frozen=True):
    """A backfill as it stands, and the run ids it wants."""

    id: int
    dag_id: str
    state: str
    stop_on_failure: bool
    wanted: tuple[str, ...]
    part: PartRecord | None = None


class WantedRecord(Struct, frozen=True):
    """A run that a backfill wants, as it stands: its row, the state that is copied there, and the other columns."""

    run: int
    state: str
    parts: tuple[Any, ...]


class RowRecord(Struct, frozen=True):
    """A row of any table that history accounts for, as it stands: its columns, and where it says its chain ended."""

    subject: Subject
    name: str  # for people
    columns: Mapping[str, Any]
    chain: Chain | None = None
    refused: Chain | None = None  # the chain of refused results of a task instance
    wants: Mapping[str, WantedRecord] = {}  # of a backfill, by the run's row


class XComRecord(Struct, frozen=True):
    """A value that a task instance (its row) left, as it stands."""

    row: int
    key: str
    digest: str
    at: Any


class EventRecord(Struct, frozen=True):
    """An event of which callbacks are to be called, as it stands; ``parts`` is what it has of its step."""

    event_id: str
    name: str  # for people
    parts: tuple[Any, ...]


class Unreadable(Struct, frozen=True):
    """A cell that nobody can read, or (no ``column``) a row that belongs to none; and what was expected there."""

    table: str
    row: str  # its key
    column: str
    expected: str


class Recorded(Protocol):
    """Everything one audit looks at, of one moment; history and task instances may come piece by piece.

    ``pools`` are slots by name, -1 for unlimited; ``damaged`` names structures that are not what their hash says.
    Rows of which ``unreadable`` says that a cell cannot be read that the audit needs are in none of the others.
    """

    @property
    def history(self) -> Iterable[HistoryRecord]:
        """Every row, in order; asked for once."""

    @property
    def task_instances(self) -> Iterable[TaskInstanceRecord]:
        """Every task instance; asked for once, after history."""

    @property
    def runs(self) -> Sequence[RunRecord]:
        """Every run."""

    @property
    def backfills(self) -> Sequence[BackfillRecord]:
        """Every backfill."""

    @property
    def structures(self) -> Mapping[int, DagSpec]:
        """What runs were activated with, by key."""

    @property
    def pools(self) -> Mapping[str, int]:
        """Slots by name."""

    @property
    def damaged(self) -> Sequence[str]:
        """Structures that were changed after they were stored."""

    @property
    def unreadable(self) -> Sequence[Unreadable]:
        """Every cell of the metastore that cannot be read, those that no check looks at included."""

    @property
    def rows(self) -> Iterable[RowRecord]:
        """Every row that history accounts for; asked for once, after history."""

    @property
    def xcoms(self) -> Iterable[XComRecord]:
        """Every value that a task instance left; asked for once, at last."""

    @property
    def events(self) -> Iterable[EventRecord]:
        """Every event; asked for once, after history."""

    @property
    def metastore_chain(self) -> Chain:
        """Where the chain of the metastore itself ended."""


class AuditRecords(Struct, frozen=True):
    """``Recorded``, with everything in memory."""

    history: tuple[HistoryRecord, ...]
    task_instances: tuple[TaskInstanceRecord, ...]
    runs: tuple[RunRecord, ...]
    backfills: tuple[BackfillRecord, ...]
    structures: Mapping[int, DagSpec]
    pools: Mapping[str, int]
    damaged: tuple[str, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    rows: tuple[RowRecord, ...] = ()
    xcoms: tuple[XComRecord, ...] = ()
    metastore_chain: Chain = Chain()
    events: tuple[EventRecord, ...] = ()


class Violation(Struct, frozen=True):
    """Something that must never be in a history: which check found it, about what, and the row of history."""

    check: str
    about: str
    text: str
    history_id: int | None = None

    def __str__(self) -> str:
        where = "" if self.history_id is None else f" (history row {self.history_id})"
        return f"{self.check}: {self.about}: {self.text}{where}"


class Report(Struct, frozen=True):
    """What an audit found. ``counts`` is how many of what it checked, ``notes`` what it could not judge strictly.

    ``unsealed`` rows of history are from before it was chained; ``chains`` is where each chain ends.
    """

    violations: tuple[Violation, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()
    unsealed: int = 0
    chains: Mapping[Subject, Chain] = {}
