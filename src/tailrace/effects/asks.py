"""The effects themselves. ``Effect[R]`` is a question whose answer has type R; loops ask through ``yield from ask``.

Small on purpose: a new row here is a new thing that can fail between any two others, in the simulator too.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar, cast

from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, ClaimRequest, Json, Refused, Submission, TryOutcome, XComQuery
from tailrace.model.keys import ProcessIdentity
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import JobState
from tailrace.planning.plan import Decision, Plan
from tailrace.planning.retries import AfterTry
from tailrace.planning.schedules import Agenda, DueRuns, LaneKey
from tailrace.planning.snapshot import Holder, Snapshot

R = TypeVar("R")


class Effect(Generic[R]):
    """A thing a loop asks for; its answer has type R."""

    __slots__ = ()


Loop: TypeAlias = Generator[Effect[Any], Any, R]
"""A loop that yields effects, is sent their answers, and ends with an R."""


def ask(effect: Effect[R]) -> Generator[Effect[Any], Any, R]:
    """Yield one effect and return its answer, typed."""
    return cast(R, (yield effect))


# --- asked by jobs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReadSnapshot(Effect[Snapshot]):
    """One read transaction: everything the next decision needs."""

    job_id: int
    dag: DagSpec
    backfill_id: int | None


@dataclass(frozen=True, slots=True)
class ApplyPlan(Effect[Applied]):
    """One write transaction. The driver gives it its write id and repeats it under that id when a commit is unknown."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Submit(Effect[None]):
    """Hand queued tries to the executor, outside any transaction. At least once; claims make it exactly once."""

    submissions: tuple[Submission, ...]


@dataclass(frozen=True, slots=True)
class FindLost(Effect[frozenset[int]]):
    """Which of these claimed task instances (row, holder) have a worker on this host that is gone.

    Of those, and of the ``expired`` ones whose lease has run out whoever lives, the task's process group is killed
    first, by identity, if it is on this host: what is lost runs no longer.
    """

    held: tuple[tuple[int, Holder], ...]
    expired: tuple[tuple[int, Holder], ...] = ()


@dataclass(frozen=True, slots=True)
class BuryDeadJobs(Effect[int]):
    """Mark jobs of this host whose process is gone as failed, so that their runs are free. Answers how many."""


@dataclass(frozen=True, slots=True)
class Heartbeat(Effect[bool]):
    """Renew this job's lease. False: it is no longer believed alive and must stop starting work."""

    job_id: int


@dataclass(frozen=True, slots=True)
class EndJob(Effect[None]):
    """Record how this job ended."""

    job_id: int
    state: JobState


@dataclass(frozen=True, slots=True)
class Woken:
    """Why a wait ended. Hints only: nothing here may decide a state."""

    finished: int = 0  # tries the executor says have ended
    worker_lost: bool = False  # the executor says a worker died
    drain: bool = False  # somebody asked the job to start nothing more and finish what runs
    terminate: bool = False  # somebody asked the job to stop what runs
    busy: int = 0  # tries the executor still has in hand


@dataclass(frozen=True, slots=True)
class Wait(Effect[Woken]):
    """Sleep until the executor or a signal has news, at most ``seconds``. 0 only polls."""

    seconds: float


@dataclass(frozen=True, slots=True)
class StopStarting(Effect[None]):
    """Tell the executor to forget the tries no worker has begun; they stay queued in the metastore."""


@dataclass(frozen=True, slots=True)
class TerminateTasks(Effect[None]):
    """Tell the executor to kill what it runs and report those tries as lost."""


@dataclass(frozen=True, slots=True)
class Note(Effect[None]):
    """Something a person or a log may want to hear: the decisions of a plan, and what applying it did."""

    decisions: tuple[Decision, ...]
    applied: Applied | None = None
    text: str = ""
    dag_id: str = ""  # which DAG the plan was about


# --- asked by schedulers -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DagBook:
    """The DAGs as the executor runs them now. ``edition`` grows when DAG files were loaded anew."""

    dags: Mapping[str, DagSpec] = field(default_factory=lambda: MappingProxyType({}))
    edition: int = 1
    unscheduled: frozenset[str] = frozenset()  # never run by themselves: the bundled examples


@dataclass(frozen=True, slots=True)
class ReadDags(Effect[DagBook]):
    """Which DAGs there are; the files are looked at again from time to time."""


@dataclass(frozen=True, slots=True)
class ReadAgenda(Effect[Agenda]):
    """One read transaction: what there is to drive, and how far each schedule has come."""

    job_id: int


@dataclass(frozen=True, slots=True)
class CreateDueRuns(Effect[int]):
    """One write transaction: those of the runs that do not exist. Answers how many; none if the facts had changed."""

    job_id: int
    due: DueRuns


@dataclass(frozen=True, slots=True)
class ReleaseRuns(Effect[None]):
    """Give up the runs that this job drives for a lane it no longer has: others may take them at once."""

    job_id: int
    lane: LaneKey


# --- asked by workers --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NextTry(Effect[Submission | None]):
    """Wait for the next submission. None: no more will come, end."""


@dataclass(frozen=True, slots=True)
class ParkTask(Effect["Parked | None"]):
    """Have a process ready for the try, stopped before any user code. None: it could not be made."""

    submission: Submission


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked task process, and what the worker knows of the task it will run."""

    worker: ProcessIdentity
    task: ProcessIdentity | None
    task_spec: TaskSpec
    code_hash: str


@dataclass(frozen=True, slots=True)
class ClaimTry(Effect[Claim | Refused]):
    """queued → running, guarded by state and try number; the answer carries the token. User code starts only on it."""

    request: ClaimRequest


@dataclass(frozen=True, slots=True)
class StartTask(Effect[None]):
    """Let the parked process go: user code runs from here, and is killed before ``lease_seconds`` pass unrenewed."""

    claim: Claim
    task_spec: TaskSpec
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class DropTask(Effect[None]):
    """End the parked process: its claim was refused."""


@dataclass(frozen=True, slots=True)
class StillRunning:
    """The task has not ended yet."""


@dataclass(frozen=True, slots=True)
class AwaitTask(Effect["TryOutcome | XComQuery | StillRunning"]):
    """Wait for the task to end or to ask for an XCom, until its lease is ``seconds`` old.

    The lease's age counts from its claim or last renewal, not from this wait: a task that asks all the time must not
    put off the renewal.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class ReadXCom(Effect[tuple[tuple[str, int, Json], ...]]):
    """The values asked for, as (task id, map index, value) in topological then index order."""

    query: XComQuery


@dataclass(frozen=True, slots=True)
class AnswerTask(Effect[None]):
    """Send a running task the answer to its XCom query."""

    values: tuple[tuple[str, int, Json], ...]


@dataclass(frozen=True, slots=True)
class RenewLease(Effect[bool]):
    """Heartbeat of one try, guarded by its token. False: the try is no longer ours (or must stop); kill the task."""

    claim: Claim
    lease_seconds: float


@dataclass(frozen=True, slots=True)
class KillTask(Effect[None]):
    """Kill the task's whole process group."""


@dataclass(frozen=True, slots=True)
class ReportOutcome(Effect["Accepted | Refused"]):
    """The try's outcome, guarded by state, try number and token; ``after`` was decided by ``planning.retries``."""

    claim: Claim
    outcome: TryOutcome
    after: AfterTry


@dataclass(frozen=True, slots=True)
class Accepted:
    """An outcome that landed; ``state`` is the task instance's state now."""

    state: str


@dataclass(frozen=True, slots=True)
class TellExecutor(Effect[None]):
    """Tell whoever submitted that the try is over. A hint: lost or doubled, it harms nothing."""

    submission: Submission
