"""One consistent read of everything a decision needs. Values only: no clock, no connection, no lazy loading.

The metastore builds a snapshot inside one read transaction; ``plan`` turns it into a plan. Times are aware and in
UTC, read from the metastore's clock, so two planners on two hosts agree about what is due.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct, field

from tailrace.model.awaited import Awaited, Seen
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import UNMAPPED, ProcessIdentity, RunType, TaskInstanceKey
from tailrace.model.parts import RunPart
from tailrace.model.spec import MOST_INSTANCES, DagSpec, XComRef
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.failed_tasks import FailedTasks


class Holder(Struct, frozen=True):
    """Who holds a claimed try: the worker process, and the task's process group leader (its pid is the group id)."""

    worker: ProcessIdentity
    task: ProcessIdentity | None


class TaskInstanceSnapshot(Struct, frozen=True):
    """A task instance as it stood when it was read. ``id`` is its row in the metastore.

    What a command reads of it has the cause of its last transition, and neither leases nor tokens.
    """

    id: int
    task_id: str
    state: TaskInstanceState
    map_index: int = UNMAPPED
    try_number: int = 0  # of the current or last try; 0 before the first
    max_tries: int = 1  # tries the budget allows, lost ones included as they occur
    lost_tries: int = 0
    token: int = 0  # fencing token of the last claim; grows with every claim
    retry_at: datetime | None = None  # set while up_for_retry or up_for_reschedule
    queued_at: datetime | None = None
    followed: tuple[str, ...] | None = None  # a branch's choice; None: it excluded nothing
    holder: Holder | None = None
    lease_expired: bool = False  # by the metastore's own clock
    stopping_to: TaskInstanceState | None = None  # while stopping: where the person wants it to end
    cause: Cause | None = None  # of its last transition

    @property
    def is_awaiting(self) -> bool:
        """Whether its try goes on by what it has named in other runs, not by the time alone."""
        return self.cause is Cause.AWAITS and self.state is TaskInstanceState.UP_FOR_RESCHEDULE


class Awaiting(Struct, frozen=True):
    """What a rescheduled try waits for, and all that there is of that."""

    awaited: Awaited
    seen: tuple[Seen, ...]


class StoredLength(Struct, frozen=True):
    """How many items an XCom has that a mapped task is expanded over; where it has no items, what it is instead."""

    length: int | None
    wrong: str = ""


class StoppedBy(Struct, frozen=True):
    """Why a run is stopped before its tasks have ended."""

    cause: Cause
    reason: str  # for people


class RunOptions(Struct, frozen=True):
    """Outcome-affecting options of a run, stored with it so that whoever drives it applies them."""

    disable_retry: bool = False
    mark_success: bool = False
    ignore_depends_on_past: bool = False  # waives only this run's look at its previous run
    pool: str | None = None  # stands in for every task's own pool


class RunSnapshot(Struct, frozen=True):
    """A run as it stood when it was read, with its task instances if it has been activated and they were asked for.

    The fields from ``live`` on are what commands ask beside: a planning step reads none of them.
    """

    id: int
    run_id: str
    logical_date: datetime
    data_interval: DataInterval
    state: DagRunState
    version: int  # fact guard: bumped by every command that touches the run
    run_type: RunType = RunType.BACKFILL
    owner_job_id: int | None = None
    owner_alive: bool = False  # by heartbeat, as the metastore judges it
    options: RunOptions = field(default_factory=RunOptions)
    task_instances: tuple[TaskInstanceSnapshot, ...] = ()
    started_at: datetime | None = None  # it was activated
    stopped_by: StoppedBy | None = None  # what is left of it is to be ended
    created_at: datetime | None = None
    late_since: datetime | None = None  # the deadline that it has missed
    reopened: bool = False  # it had ended, and was opened again: no deadline is watched
    failed_before: tuple[tuple[int, int], ...] = ()  # rows and tries that had failed when it was activated (fail_fast)
    part: RunPart | None = None  # what parts of its DAG have made of it; None: it is whole
    live: bool = False  # schedulers drive it, whoever else wants it
    conf: str | None = None  # JSON
    to_clear: tuple[str, ...] = ()  # tasks, or instances of them, stored to be cleared at its next activation
    wanted_by: tuple[int, ...] = ()  # unfinished backfills that want it
    conf_given_by: tuple[int, ...] = ()  # those of them that say what its conf is
    judged_by: int | None = None  # the newest judged backfill that wanted it
    wanted_in_part: bool = False  # by a backfill of a part of the DAG, whether that has ended or not
    #: What its mapped tasks are expanded over: only what has ended, for those which are to be expanded now.
    lengths: Mapping[XComRef, StoredLength] = field(default_factory=lambda: MappingProxyType({}))


class AwaitedRun(Struct, frozen=True):
    """A run of any DAG, driven by another job or deadlocked, whose tries may wait for those of this job's runs.

    ``run`` has its task instances while it is running, ``dag`` is what it was activated with.
    """

    dag: DagSpec
    run: RunSnapshot


class PreviousRun(Struct, frozen=True):
    """What depends_on_past needs of a run that a later one looks at: its state and its tasks' states."""

    id: int
    run_id: str
    state: DagRunState
    states: Mapping[str, tuple[TaskInstanceState, ...]]  # by task id, one entry per map index
    version: int = 0  # fact guard: bumped by every command that touches the run
    to_clear: frozenset[str] = frozenset()  # tasks stored to be cleared when it is activated: their states are old


class EndedRun(Struct, frozen=True):
    """A scheduled run that has ended, as far as ``max_consecutive_failed_dag_runs`` looks at it."""

    id: int
    run_id: str
    logical_date: datetime
    version: int
    state: DagRunState


class OrphanTry(Struct, frozen=True):
    """A stopping try of a run that is not running (cancelled, marked, or cleared since), in any DAG.

    It keeps its slot like any other, and no run's driver looks at it: whoever plans settles it once it is lost.
    """

    run: int  # the run's row
    key: TaskInstanceKey
    ti: TaskInstanceSnapshot


class PoolSnapshot(Struct, frozen=True):
    """A pool: ``occupied`` counts the slots of every occupying task instance in the whole metastore."""

    name: str
    slots: int
    occupied: int


class BackfillSnapshot(Struct, frozen=True):
    """The backfill a job drives. ``open_runs`` are wanted runs not closed, whoever owns them."""

    id: int
    state: BackfillState
    version: int
    paused: bool = False
    max_active_runs: int | None = None  # can only lower the DAG's own limit
    stop_on_failure: bool = False
    open_runs: int = 0
    failed_runs: int = 0  # wanted runs that failed or deadlocked since it was created (not those left as they were)
    closed_by_state: Mapping[DagRunState, int] = field(default_factory=lambda: MappingProxyType({}))
    active_runs: int = 0  # wanted runs that are running, whoever owns them
    failed_inside: FailedTasks = FailedTasks()  # in its runs that succeeded, once none is open

    @property
    def has_stopped(self) -> bool:
        """Whether a run has failed after which it begins no other."""
        return self.stop_on_failure and self.failed_runs > 0


class Contender(Struct, frozen=True):
    """A lane of a live job that waits for room: pool slots, active tasks or active runs of a DAG."""

    job_id: int
    lane: int  # a backfill's row; 0: live runs
    resource: str
    since: datetime  # it began to wait, or last took some
    taken: float = 0.0  # what it took beside others, by weight
    occupied: int = 0  # what it holds now


class Snapshot(Struct, frozen=True):
    """Everything one planning step may know."""

    now: datetime
    job_id: int
    dag: DagSpec
    runs: tuple[RunSnapshot, ...]  # active and driven by this job: its own, or without a live owner; in plan order
    candidates: tuple[RunSnapshot, ...] = ()  # the next queued runs, in activation order, without task instances
    dag_version: int = 0  # fact guard: bumped by every insertion of a run, and by whatever changes which runs count
    previous: Mapping[int, PreviousRun] = field(default_factory=lambda: MappingProxyType({}))  # by row
    #: By run, then by task with depends_on_past: the row of the chronologically previous run that counts for the task.
    looks_at: Mapping[int, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    pools: Mapping[str, PoolSnapshot] = field(default_factory=lambda: MappingProxyType({}))
    dag_active_runs: int = 0  # running runs of the DAG, over all jobs
    dag_active_tasks: int = 0  # occupying task instances of the DAG, over all runs and jobs
    task_active: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))  # the same, by task id
    backfill: BackfillSnapshot | None = None  # None: the lane of the DAG's live runs
    max_map_length: int = MOST_INSTANCES  # a mapped task that would have more instances fails
    schedule_paused: bool = False  # for live runs: the DAG is paused, none of them begins
    contended: bool = False  # there are other lanes: this one says what it waits for
    contenders: tuple[Contender, ...] = ()  # every lane that waits for something, this one too
    backfill_weight: float = 1.0  # of all backfills together, beside live runs
    orphans: tuple[OrphanTry, ...] = ()
    #: Of a DAG with max_consecutive_failed_dag_runs: so many of its newest scheduled runs that have ended.
    ended: tuple[EndedRun, ...] = ()
    dag_paused: bool = False  # and whether it is paused, and
    paused_after: tuple[datetime, int] | None = None  # the date and version of the newest run it was paused for
    overdue: tuple[RunSnapshot, ...] = ()  # live runs of a DAG with a deadline, not marked late, that may be
    #: By row, what task instances wait for that go on by it; and then the newest row of history.
    awaiting: Mapping[int, Awaiting] = field(default_factory=lambda: MappingProxyType({}))
    newest_change: int = 0
    #: The runs around those of this job that waits lead to, where they may lead back.
    around: tuple[AwaitedRun, ...] = ()
    lost: frozenset[int] = frozenset()  # task-instance rows whose local holder was found dead, group killed

    def previous_runs(self, run: RunSnapshot) -> Mapping[str, PreviousRun]:
        """The previous run of each task done in a run that looks at one, by task id; a task without one is left out."""
        found, part = self.looks_at.get(run.id, {}), run.part
        return {
            task_id: self.previous[id]
            for task_id, id in found.items()
            if id in self.previous and (part is None or part.holds(task_id))
        }
