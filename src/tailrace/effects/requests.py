"""The effects themselves. ``Effect[R]`` is a request whose result has type R; loops make it by ``yield from ask``.

Small on purpose: a new row here is a new thing that can fail between any two others, in the simulator too.
"""

from collections.abc import Generator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Generic, TypeAlias, TypeVar, cast

from msgspec import Struct, field

from tailrace.effects.events import CallbackEvent, EventClaim, EventEnd, OutboxLeft, Uncallable
from tailrace.effects.results import Applied
from tailrace.effects.tries import (
    Claim,
    ClaimRequest,
    FailedTry,
    Refused,
    Renewal,
    Submission,
    TaskReply,
    TaskRequest,
    TryOutcome,
    Unstorable,
    XComQuery,
    XComReply,
)
from tailrace.model.keys import ProcessIdentity
from tailrace.model.recorded import RecordsQuery, RecordsReply
from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import JobState
from tailrace.planning.messages import Message
from tailrace.planning.plan import Decision, Plan
from tailrace.planning.retries import AfterTry
from tailrace.planning.schedules import Agenda, DueRuns, LaneKey
from tailrace.planning.snapshot import Holder, Snapshot
from tailrace.secrets.requests import SecretReply, SecretRequest

R = TypeVar("R")


class Effect(Struct, Generic[R], frozen=True):
    """A request of a loop; its result has type R."""


Loop: TypeAlias = Generator[Effect[Any], Any, R]
"""A loop that yields effects, is sent their results, and ends with an R."""


def ask(effect: Effect[R]) -> Generator[Effect[Any], Any, R]:
    """Yield one effect and return its result, typed."""
    return cast(R, (yield effect))


# --- asked by jobs -----------------------------------------------------------------------------------------


class ReadSnapshot(Effect[Snapshot], frozen=True):
    """One read transaction: everything the next decision needs."""

    job_id: int
    dag: DagSpec
    backfill_id: int | None


class ApplyPlan(Effect[Applied], frozen=True):
    """One write transaction. The driver gives it its write id and repeats it under that id when a commit is unknown."""

    plan: Plan


class Submit(Effect[None], frozen=True):
    """Hand queued tries to the executor, outside any transaction. At least once; claims make it exactly once."""

    submissions: tuple[Submission, ...]


class FindLost(Effect[frozenset[int]], frozen=True):
    """Which of these claimed task instances (row, holder) have a worker on this host that is gone.

    Of those, and of the ``expired`` ones whose lease has run out whoever lives, the task's process group is killed
    first, by identity, if it is on this host: what is lost runs no longer.
    """

    held: tuple[tuple[int, Holder], ...]
    expired: tuple[tuple[int, Holder], ...] = ()


class ReapDeadJobs(Effect[int], frozen=True):
    """Mark jobs of this host whose process is gone as failed, so that their runs are free. Returns how many."""


class Heartbeat(Effect[bool], frozen=True):
    """Renew this job's lease. False: it is no longer believed alive and must stop starting work."""

    job_id: int


class EndJob(Effect[None], frozen=True):
    """Record how this job ended."""

    job_id: int
    state: JobState


class WaitResult(Struct, frozen=True):
    """Why a wait ended. Hints only: nothing here may decide a state."""

    finished: int = 0  # tries the executor says have ended
    worker_lost: bool = False  # the executor says a worker died
    drain: bool = False  # somebody asked the job to start nothing more and finish what runs
    terminate: bool = False  # somebody asked the job to stop what runs
    kill: bool = False  # somebody asked it to do so at once
    changed: bool = False  # something has happened to a DAG that was watched
    busy: int = 0  # tries the executor still has in hand


class Watch(Struct, frozen=True):
    """What a wait may end by: a step of a task instance or a run of these DAGs, after this row of history."""

    dags: frozenset[str]
    since: int


class Wait(Effect[WaitResult], frozen=True):
    """Sleep until the executor or a signal has an event, at most ``seconds``. 0 only polls.

    It may end before by what is watched: a hint like the others.
    """

    seconds: float
    watch: Watch | None = None


class StopStarting(Effect[None], frozen=True):
    """Tell the executor to forget the tries no worker has begun; they stay queued in the metastore."""


class TerminateTasks(Effect[None], frozen=True):
    """Tell the executor to end what it runs, gently or at once, and report those tries as lost."""

    at_once: bool = False


class Event(Effect[None], frozen=True):
    """What may be shown or logged: the decisions of a plan, and what applying it did."""

    decisions: tuple[Decision, ...]
    applied: Applied | None = None
    text: Message | None = None
    dag_id: str = ""  # which DAG the plan was about


# --- asked by schedulers -----------------------------------------------------------------------------------


class DagBag(Struct, frozen=True):
    """The DAGs as the executor runs them now. ``generation`` grows when DAG files were loaded anew."""

    dags: Mapping[str, DagSpec] = field(default_factory=lambda: MappingProxyType({}))
    generation: int = 1
    unscheduled: frozenset[str] = frozenset()  # never run by themselves: the bundled examples


class ReadDags(Effect[DagBag], frozen=True):
    """Which DAGs there are; the files are looked at again from time to time."""


class ReadAgenda(Effect[Agenda], frozen=True):
    """One read transaction: what there is to drive, and how far each schedule has come."""

    job_id: int


class CreateDueRuns(Effect[int], frozen=True):
    """One write transaction: those of the runs that do not exist. Returns how many; none if the facts had changed."""

    job_id: int
    due: DueRuns


class ReleaseRuns(Effect[None], frozen=True):
    """Give up the runs that this job drives for a lane it no longer has: others may take them at once."""

    job_id: int
    lane: LaneKey


# --- asked by workers --------------------------------------------------------------------------------------


class NextTry(Effect[Submission | None], frozen=True):
    """Wait for the next submission. None: no more will come, end."""


class ParkTask(Effect["Parked | None"], frozen=True):
    """Have a process ready for the try, stopped before any user code. None: it could not be made."""

    submission: Submission


class Parked(Struct, frozen=True):
    """A parked task process, and what the worker knows of the task it will run."""

    worker: ProcessIdentity
    task: ProcessIdentity | None
    task_spec: TaskSpec
    code_hash: str


class ClaimTry(Effect[Claim | Refused], frozen=True):
    """queued → running, guarded by state and try number; the result carries the token. User code starts only on it."""

    request: ClaimRequest


class StartTask(Effect[None], frozen=True):
    """Let the parked process go: user code runs from here, and is killed before ``lease_seconds`` pass unrenewed."""

    claim: Claim
    task_spec: TaskSpec
    lease_seconds: float
    calls: "Calls | None" = None  # it calls the callbacks of an event about the try instead


class Calls(Struct, frozen=True):
    """An event whose callbacks a process is to call within ``timeout``; ``try_state``: how its task instance stood."""

    event: CallbackEvent
    try_state: str
    timeout: timedelta
    also: tuple[str, ...] = ()  # who is told besides, by the setting ``notify``


class DropTask(Effect[None], frozen=True):
    """End the parked process: its claim was refused."""


class StillRunning(Struct, frozen=True):
    """The task has not ended yet; ``waiting`` is what its process waits for after its function has returned."""

    waiting: str = ""


class AwaitTask(Effect[TryOutcome | TaskRequest | StillRunning], frozen=True):
    """Wait for the task to end or to ask for something, until its lease is ``seconds`` old.

    The lease's age counts from its claim or last renewal, not from this wait: a task that asks all the time must not
    put off the renewal.
    """

    seconds: float


class ReadXCom(Effect[XComReply], frozen=True):
    """The values that a running task asks for."""

    query: XComQuery


class ReadRecords(Effect[RecordsReply], frozen=True):
    """The runs or task instances that a running task asks about, or how many there are."""

    query: RecordsQuery


class ResolveSecret(Effect[SecretReply], frozen=True):
    """Look up a Variable or Connection for a running task, or set a Variable for it."""

    claim: Claim
    request: SecretRequest


class ReplyToTask(Effect[None], frozen=True):
    """Send a running task the reply to what it has asked for."""

    reply: TaskReply


class RenewLease(Effect[Renewal], frozen=True):
    """Heartbeat of one try, guarded by its token; its result is also how the worker learns that it must stop."""

    claim: Claim
    lease_seconds: float
    waiting: str = ""  # shown to whoever asks why the try still runs


class StopTask(Effect[None], frozen=True):
    """Ask the task's whole process group to end, and kill it once the grace is over: ``AwaitTask`` returns its end.

    ``with_run``: its whole run is stopped, by no person.
    """

    with_run: bool = False


class KillTask(Effect[None], frozen=True):
    """Kill the task's whole process group, and wait for its end."""


class Accepted(Struct, frozen=True):
    """An outcome that landed; ``state`` is the task instance's state now, ``stopped`` why its run was stopped."""

    state: str
    stopped: str = ""


class ReportOutcome(Effect[Accepted | Refused | Unstorable], frozen=True):
    """The try's outcome, guarded by state, try number and token; ``after`` was decided by ``planning.retries``."""

    claim: Claim
    outcome: TryOutcome
    after: AfterTry


# --- asked by who calls back -------------------------------------------------------------------------------


class NextEvent(Effect[bool], frozen=True):
    """Wait until there may be an event of which callbacks are to be called. False: no more are to be called, end."""


class ClaimEvent(Effect[EventClaim | Uncallable | None], frozen=True):
    """Claim the oldest event that nobody has. None: there is none just now."""

    lease_seconds: float


class StartCallbacks(Effect["TryOutcome | None"], frozen=True):
    """Call the event's callbacks in a process of their own. An outcome: none could be had, and why."""

    claim: EventClaim
    lease_seconds: float


class RenewEvent(Effect[Renewal], frozen=True):
    """Heartbeat of one event, guarded by its token."""

    claim: EventClaim
    lease_seconds: float


class EndEvent(Effect[bool], frozen=True):
    """Write what came of the callbacks, guarded by the token. False: the event is another's by now."""

    claim: EventClaim
    end: EventEnd


class ReadOutbox(Effect[OutboxLeft], frozen=True):
    """How many events of these DAGs wait for their callbacks. Asked by jobs that are about to end."""

    dags: tuple[str, ...]


class NotifyExecutor(Effect[None], frozen=True):
    """Notify whoever submitted the try that it is over. A hint: lost or doubled, it harms nothing.

    ``failed``: how it ended, where it did not succeed.
    """

    submission: Submission
    failed: FailedTry | None = None
