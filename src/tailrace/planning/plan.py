"""What a planning step decides. Plain values: applying them is the metastore's duty, showing them the faces'.

Every part says what it expects to find; a part whose expectation fails is refused, the rest stands. A decision
not to act is a value too (``Decision`` with verdict WAIT and its reasons): ``explain`` and ``-v`` print those.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct, field

from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.spec import MOST_INSTANCES, DagSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.planning.messages import Message


class Verdict(StrEnum):
    """What a planning step makes of one unfinished task instance."""

    RUN = "run"
    SKIP = "skip"
    FAIL_UPSTREAM = "fail_upstream"
    WAIT = "wait"


class Dependency(StrEnum):
    """The dependency checks, by the names Airflow logs them by."""

    DAGRUN_RUNNING = "Dagrun Running"
    RETRY_PERIOD = "Not In Retry Period"
    RESCHEDULE = "Ready To Reschedule"
    BRANCH = "Not Previously Skipped"
    TRIGGER_RULE = "Trigger Rule"
    PREVIOUS_RUN = "Previous Dagrun State"
    POOL_SLOTS = "Pool Slots Available"
    DAG_SLOTS = "Task Instance Slots Available"
    TASK_SLOTS = "Task Concurrency"
    BACKFILL_RUNS = "Backfill Not Paused"
    FAIR_SHARE = "Fair Share"
    MAPPED = "Task has been mapped"


class DependencyStatus(NamedTuple):
    """What one dependency check says: which it is, met or not, and why."""

    dependency: Dependency
    passed: bool
    reason: Message


class Decision(Struct, frozen=True):
    """What was decided about one unfinished task instance, and each dependency's status."""

    key: TaskInstanceKey
    state: TaskInstanceState
    verdict: Verdict
    statuses: tuple[DependencyStatus, ...]
    doomed: bool = False  # it can never be met: its blockers are terminal or doomed

    @property
    def failed(self) -> tuple[DependencyStatus, ...]:
        """The dependencies that are not met."""
        return tuple(status for status in self.statuses if not status.passed)


class LookBack(Struct, frozen=True):
    """What a decision took from the past: true only while the DAG is at this version.

    ``run_id`` is the previous run that counted for the task; None: there was none. Its own version, where there is
    one, stands among the decision's other versions.
    """

    dag_version: int
    run_id: str | None = None


class TaskTransition(Struct, frozen=True):
    """One step of one task instance, guarded by the state and try number it was decided from.

    A step into ``queued`` needs room in its pool, its DAG and its task's limits: apply recounts them under the
    capacity locks and defers it when there is none left.
    """

    id: int
    run: int  # the run's row
    key: TaskInstanceKey
    before: TaskInstanceState
    before_try: int
    after: TaskInstanceState
    try_number: int
    cause: Cause
    reason: str
    token: int | None = None  # for a lost try: the claim that is declared lost
    versions: tuple[tuple[int, int], ...] = ()  # of the runs it leans on, by row: a command since then makes it stale
    looked_back: LookBack | None = None  # where it leans on a previous run, or on there being none
    only_if_expired: bool = False  # it is lost by its lease alone: one renewed since then is not lost
    retry_at: datetime | None = None
    stopping_to: TaskInstanceState | None = None  # into stopping: where it is to end
    max_tries: int | None = None  # new budget, where the step changes it
    lost_tries: int | None = None
    event: str = ""  # the callback that is to be called for it

    @property
    def takes_slot(self) -> bool:
        """Whether the step occupies capacity."""
        return self.after is TaskInstanceState.QUEUED


class Expansion(Struct, frozen=True):
    """How many instances a mapped task of a run has: decided once, from what the tasks above have left.

    With ``count`` 0 one without an index stays, and ``after`` is what it ends in; else each of ``count`` instances
    begins anew. Expects the run's version, every instance that the task has (by row), and the tries of the task
    instances above (by row, with their states) whose XComs were counted.
    """

    run: int
    run_id: str
    task_id: str
    version: int
    count: int
    after: TaskInstanceState
    reason: str
    lengths: tuple[int | None, ...]  # of what it is expanded over; None: it has no length
    instances: Mapping[int, TaskInstanceState]
    sources: Mapping[int, tuple[TaskInstanceState, int]]
    versions: tuple[tuple[int, int], ...] = ()  # of the other runs it leans on, as a transition's
    looked_back: LookBack | None = None
    event: str = ""  # the callback that is to be called for it
    beside: tuple[str, ...] = ()  # the other tasks of its mapped group, whose instances it expects too
    as_task: str = ""  # the number is that of this task of its group, which was expanded before
    most: int = MOST_INSTANCES  # so many instances were allowed


class RunStop(Struct, frozen=True):
    """A running run is stopped: what is left of it is ended in the steps that follow, then it is judged failed.

    ``failed`` is the task instance (by row, with its try) that it stops for; None where its time is up.
    """

    id: int
    run_id: str
    version: int
    cause: Cause
    reason: str
    failed: tuple[int, int] | None = None
    limit: timedelta | None = None
    began: datetime | None = None
    seen: datetime | None = None  # the moment at which its time was up


class RunLate(Struct, frozen=True):
    """An open run has missed its deadline: it is marked so, once."""

    id: int
    run_id: str
    due: datetime
    reason: str
    event: str = ""  # the callback that is to be called for it


class DagPause(Struct, frozen=True):
    """The DAG is paused, because these scheduled runs (by row) are the newest that have ended, and have all failed.

    ``after`` is the date and version of the newest of them; expects that the DAG is not paused, and was so last for
    ``before``.
    """

    after: tuple[datetime, int]
    before: tuple[datetime, int] | None
    reason: str
    runs: Mapping[int, DagRunState]


class RunActivation(Struct, frozen=True):
    """queued → running: creates the run's task instances (and clears those stored for reprocessing)."""

    id: int
    run_id: str
    version: int


class RunRequeue(Struct, frozen=True):
    """running → queued: nothing of the run is under way, and it waits for a previous run that needs its place."""

    id: int
    run_id: str
    version: int
    previous: int  # the row of the run it waits for, which must be queued
    reason: str
    dag_version: int = 0  # since then that run may count as its previous one no more


class RunAdoption(Struct, frozen=True):
    """An active run lacks task instances of tasks its DAG has now: they are created, with nothing decided."""

    id: int
    run_id: str
    task_ids: tuple[str, ...]


class RunTakeover(Struct, frozen=True):
    """An active run without a live owner becomes this job's; ``shared``: it has one, which has more than this job."""

    id: int
    run_id: str
    previous_owner: int | None
    shared: bool = False


class Blocker(Struct, frozen=True):
    """Why one doomed task instance can never run: the facts its proof stands on.

    ``previous`` is the run whose outcome blocks it; None where no previous run does.
    """

    key: TaskInstanceKey
    state: TaskInstanceState
    reasons: tuple[DependencyStatus, ...]
    previous: str | None = None


class CircleRun(Struct, frozen=True):
    """Another run that a deadlock leans on, because tries of both wait for each other: all of it, as it was seen.

    ``tokens`` are those of the tries of it that wait (by row), which another claim would have changed.
    """

    id: int
    dag_id: str
    run_id: str
    version: int
    state: DagRunState
    evidence: Mapping[int, TaskInstanceState]
    tokens: Mapping[int, int]


class RunVerdict(Struct, frozen=True):
    """running → success, failed or deadlocked.

    ``evidence`` is the state of every task instance of the run as the verdict assumes it (this plan's own
    transitions included); apply re-reads them and refuses the verdict as stale unless they are equal.
    ``past_evidence`` is the same for the previous runs that block it, with their versions in ``past_versions`` (a
    person may have marked a task of one and left its state) and the DAG's in ``dag_version`` (another run may stand in
    between by now), ``pool_evidence`` for the sizes of pools (None: no such pool), where the verdict leans on them.
    ``circle`` are the other runs of a circle of waits, ``tokens`` those of this run's own tries that wait in it.
    """

    id: int
    run_id: str
    version: int
    state: DagRunState
    evidence: Mapping[int, TaskInstanceState]
    blocked: tuple[Blocker, ...] = ()
    past_evidence: Mapping[int, DagRunState] = field(default_factory=lambda: MappingProxyType({}))
    past_versions: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    dag_version: int | None = None
    pool_evidence: Mapping[str, int | None] = field(default_factory=lambda: MappingProxyType({}))
    circle: tuple[CircleRun, ...] = ()
    tokens: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""
    stopped_by: Cause | None = None
    failed_inside: FailedTasks = FailedTasks()  # of a run that succeeds: to be reported, nothing depends on it
    event: str = ""  # the callback that is to be called for it


class BackfillVerdict(Struct, frozen=True):
    """The backfill's end: refused as stale while any wanted run is still open, or ended otherwise by now.

    ``closed`` counts the wanted runs that are closed by state, as the verdict was decided from. ``leaves_open``: it
    stopped at a failure, and runs that it wanted stay queued; no later run waits for those any more.
    """

    id: int
    version: int
    state: BackfillState
    closed: Mapping[DagRunState, int]
    reason: str = ""
    leaves_open: bool = False
    failed_inside: FailedTasks = FailedTasks()  # in its runs that succeeded
    event: str = ""  # the callback that is to be called for it


class CapacityWait(Struct, frozen=True):
    """A resource that a lane waits for, and what the lane has taken of it beside others, by weight."""

    resource: str
    taken: float


class WaitChanges(Struct, frozen=True):
    """What becomes of a lane's recorded waits. ``renewed`` are those it took something of and still waits for."""

    begun: tuple[CapacityWait, ...] = ()
    ended: tuple[str, ...] = ()
    renewed: tuple[CapacityWait, ...] = ()


class Plan(Struct, frozen=True):
    """The outcome of one planning step over one snapshot."""

    dag: DagSpec
    job_id: int
    transitions: tuple[TaskTransition, ...] = ()  # in the order in which they may take capacity
    expansions: tuple[Expansion, ...] = ()
    stops: tuple[RunStop, ...] = ()
    late: tuple[RunLate, ...] = ()
    pause: DagPause | None = None
    activations: tuple[RunActivation, ...] = ()
    yields: tuple[RunRequeue, ...] = ()
    adoptions: tuple[RunAdoption, ...] = ()
    takeovers: tuple[RunTakeover, ...] = ()
    run_verdicts: tuple[RunVerdict, ...] = ()
    backfill_start: int | None = None  # the backfill's row, to go queued → running
    backfill_verdict: BackfillVerdict | None = None
    resubmit: tuple[TryKey, ...] = ()  # queued tries that nobody claimed for a while
    decisions: tuple[Decision, ...] = ()
    wake_at: datetime | None = None  # when something becomes due by itself
    due_later: int = 0  # how much does, sooner or later
    activation_limit: int | None = None  # running runs of the DAG that activations may lead to
    waits: WaitChanges | None = None
    waiting: bool = False  # others hold or want what this lane lacks: look again soon
    lane: int = 0  # for which backfill the job takes runs; 0: live runs

    @property
    def writes(self) -> bool:
        """Whether there is anything to apply."""
        return bool(
            self.transitions
            or self.expansions
            or self.stops
            or self.late
            or self.pause
            or self.activations
            or self.yields
            or self.adoptions
            or self.takeovers
            or self.run_verdicts
            or self.backfill_start
            or self.backfill_verdict
            or self.waits
        )
