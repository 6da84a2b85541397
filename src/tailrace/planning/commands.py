"""What a person's command is about, what the metastore knows of it, and what the command would write. Words only.

``clearing``, ``marking`` and ``cancelling`` decide: facts in, a plan out. Every part of a plan says what it expects to
find; the metastore writes the whole plan in one transaction, or nothing when a fact has changed since. The same plan is
what ``--dry-run`` shows.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from msgspec import Struct, field

from tailrace.model.keys import TaskInstanceKey
from tailrace.model.parts import RunPart
from tailrace.model.spec import DEFAULT_POOL, DagSpec, TaskSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.messages import Message
from tailrace.planning.snapshot import RunSnapshot


class CommandKind(StrEnum):
    """What the person wants done."""

    CLEAR = "clear"
    MARK = "mark"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RESIZE = "resize"  # of a pool: what was deadlocked for it opens again


class CommandScope(Struct, frozen=True):
    """Which runs a command is about: those named (by run id or logical date) and those whose logical date is between
    ``first`` and ``last``, both inclusive, in UTC; or the open runs that a backfill wants.
    """

    dag_id: str = ""
    runs: tuple[str | datetime, ...] = ()
    first: datetime | None = None
    last: datetime | None = None
    backfill_id: int | None = None


class DeadlockedRun(Struct, frozen=True):
    """A deadlocked run of the DAG: the tasks its verdict names, for those blocked by a previous run its row, and those
    blocked by a pool.
    """

    run: RunSnapshot  # without its task instances
    blocked: tuple[str, ...]
    by_past: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    by_pool: tuple[str, ...] = ()


class KnownBackfill(Struct, frozen=True):
    """A backfill as it stands; ``driven`` says whether a live job drives it."""

    id: int
    dag_id: str
    state: BackfillState
    version: int
    paused: bool = False
    detached: bool = False
    driven: bool = False
    command: str = ""  # as typed


class CommandFacts(Struct, frozen=True):
    """What the metastore knows of a command's scope, read in one transaction.

    ``dag`` is the newest structure any job has used (None: the DAG is not known), ``structure`` its row.
    ``not_found`` are the named runs that do not exist, ``deadlocked`` every deadlocked run of the DAG, ``backfills``
    the unfinished ones that want any of all these runs, ``backfill`` the one that the scope names.
    """

    now: datetime
    dag_id: str
    dag: DagSpec | None = None
    structure: int = 0
    dag_paused: bool = False
    runs: tuple[RunSnapshot, ...] = ()
    not_found: tuple[str | datetime, ...] = ()
    deadlocked: tuple[DeadlockedRun, ...] = ()
    backfills: Mapping[int, KnownBackfill] = field(default_factory=lambda: MappingProxyType({}))
    backfill: KnownBackfill | None = None


class TaskInstanceChange(Struct, frozen=True):
    """One step of one task instance, guarded by its state and try number. Into ``stopping``: where it is to end."""

    id: int
    run: int  # the run's row
    key: TaskInstanceKey
    before: TaskInstanceState
    try_number: int
    after: TaskInstanceState
    cause: Cause
    reason: str
    stopping_to: TaskInstanceState | None = None
    max_tries: int | None = None  # new budget, where the step changes it
    fresh: bool = False  # lost tries are forgiven too


class NewTaskInstance(Struct, frozen=True):
    """A task instance that a run lacks, created; by a person's command marked at once."""

    run: int
    key: TaskInstanceKey
    state: TaskInstanceState
    reason: str
    max_tries: int = 1
    pool: str = DEFAULT_POOL  # its run's own pool goes before it
    pool_slots: int = 1
    priority: int = 1
    cause: Cause = Cause.CREATED
    evidence: Mapping[str, Any] | None = None


def new_task_instance(
    task: TaskSpec, run: int, key: TaskInstanceKey, pool: str | None = None, **more: Any
) -> NewTaskInstance:
    """One of this task, with its retry budget and weight; ``pool`` (the run's) goes before the task's own."""
    fields = {"state": TaskInstanceState.NONE, "reason": "", **more}
    return NewTaskInstance(
        run,
        key,
        max_tries=task.retries + 1,
        pool=pool or task.pool,
        pool_slots=task.pool_slots,
        priority=task.priority_weight,
        **fields,
    )


class RunChange(Struct, frozen=True):
    """One step of one run, guarded by its state and version; the version grows even where the state stays.

    ``evidence`` is the state of every task instance of the run as it was read, where the step leans on all of them.
    """

    id: int
    run_id: str
    version: int
    before: DagRunState
    after: DagRunState
    cause: Cause
    reason: str
    evidence: Mapping[int, TaskInstanceState] | None = None
    to_schedulers: bool = False  # opened again although no unfinished backfill wants it: it is live from now on
    part: RunPart | None = None  # what is done in it from now on, where
    sets_part: bool = False  # that is another

    def part_of(self, run: RunSnapshot) -> RunPart | None:
        """What is done in the run after this."""
        return self.part if self.sets_part else run.part

    @property
    def reopens(self) -> bool:
        """Whether a closed run goes back to be driven again."""
        return self.after is DagRunState.QUEUED and self.before is not DagRunState.QUEUED


class BackfillChange(Struct, frozen=True):
    """A backfill cancelled, paused or resumed, guarded by its version."""

    id: int
    version: int
    before: BackfillState
    after: BackfillState
    paused: bool
    reason: str


class CommandPlan(Struct, frozen=True):
    """Everything one command writes, as a whole or not at all, or why it is refused.

    ``wanted`` is who wanted which run, where the plan leans on it; ``deadlocked`` the version of every deadlocked run
    of the DAG, by row, where it leans on those (None: it does not).
    """

    kind: CommandKind
    dag_id: str
    task_instances: tuple[TaskInstanceChange, ...] = ()
    created: tuple[NewTaskInstance, ...] = ()
    runs: tuple[RunChange, ...] = ()
    backfill: BackfillChange | None = None
    structure: int = 0  # the row of the DAG version it was decided by
    wanted: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    deadlocked: Mapping[int, int] | None = None
    refusals: tuple[Message, ...] = ()  # not empty: nothing may be written
    notices: tuple[Message, ...] = ()  # for the person

    @property
    def writes(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.task_instances or self.created or self.runs or self.backfill)
