"""The messages about one try: the work handed to a worker, the claim it wins, the outcome it reports."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, TypeAlias

from msgspec import Struct, field

from tailrace.model.awaited import Awaited
from tailrace.model.chains import Chain
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity, TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.recorded import RecordsQuery, RecordsReply
from tailrace.model.states import TaskInstanceState
from tailrace.model.tagged_values import Tagged
from tailrace.secrets.requests import SecretReply, SecretRequest

Json: TypeAlias = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class Submission(Struct, frozen=True):
    """A queued try, offered to an executor. Offering twice is harmless: only one claim can win."""

    id: int  # the task instance's row
    key: TryKey
    priority: int = 1


class ClaimRequest(Struct, frozen=True):
    """A worker's request to start one try. ``task`` is the parked process that will run it, not yet
    running user code.
    """

    id: int
    try_number: int
    worker: ProcessIdentity
    task: ProcessIdentity | None
    code_hash: str
    lease_seconds: float


class PastRun(Struct, frozen=True):
    """A run that has ended: its data interval, and when it began and ended (None: nobody recorded that)."""

    data_interval: DataInterval
    started_at: datetime | None = None
    ended_at: datetime | None = None


class Claim(Struct, frozen=True):
    """A won claim: the token that every later write of this try names, and what the task needs to run."""

    id: int
    key: TryKey
    token: int
    max_tries: int
    lost_tries: int
    logical_date: datetime
    data_interval: DataInterval
    run_type: str
    run_conf: Mapping[str, Any] | None  # JSON values; None: it cannot be read
    disable_retry: bool
    mark_success: bool
    started_at: datetime  # of the try: by its first claim
    run_started_at: datetime | None = None
    previous_success: PastRun | None = None  # the newest earlier run of the DAG that succeeded
    chain: Chain = Chain()  # how far the task instance's history has come with this claim
    claimed_at: datetime | None = None  # None: as it started, this is the first claim of the try
    reschedules: int = 0  # how often the try has given its slot back before

    @property
    def task_instance(self) -> TaskInstanceKey:
        """The task instance the try belongs to."""
        return self.key.task_instance


class RefusalReason(StrEnum):
    """Why a write about a try was refused. Never an error: somebody else was first, or a person changed it."""

    NOT_QUEUED = "not_queued"
    OTHER_TRY = "other_try"
    RUN_NOT_RUNNING = "run_not_running"
    STALE_TOKEN = "stale_token"
    GONE = "gone"


class Refused(Struct, frozen=True):
    """A write about a try that did not land, with what was found instead."""

    reason: RefusalReason
    found: str


class TryOutcome(Struct, frozen=True):
    """The outcome of one try, with what it pushed. XCom values land in the transaction that accepts the outcome."""

    kind: OutcomeKind
    error: str = ""  # one line: what went wrong
    xcoms: Mapping[str, Json | Tagged] = field(default_factory=lambda: MappingProxyType({}))
    followed: tuple[str, ...] | None = None  # a branch's choice; None: excludes nothing
    rule: int | None = None  # of the task's retry policy that fits what was raised; another number: none does
    in_log: bool = False  # its process has written it as its log's last line
    resumes_at: datetime | None = None  # of one that is rescheduled: when it goes on
    times_out_at: datetime | None = None  # and when it gives up, where it does: for people
    rendered_map_index: str | None = None  # what its instance is called beside its index: for people
    awaits: Awaited | None = None  # and what has it go on before


class FailedTry(Struct, frozen=True):
    """A try that ended and did not succeed, as it was recorded: shown to people, and nothing is decided by it."""

    key: TryKey
    state: TaskInstanceState  # of its task instance now: failed, or up_for_retry
    lost: bool
    error: str  # one line
    max_tries: int
    retry_seconds: float = 0.0  # until the next try may begin


class Renewal(StrEnum):
    """The result of renewing a try's lease."""

    HELD = "held"  # the try is its own, and goes on
    STOPPING = "stopping"  # it is its own, and a person wants it ended; the lease is renewed all the same
    RUN_STOPPED = "run stopped"  # the same, because its whole run is stopped
    GONE = "gone"  # it is somebody else's by now


class Unstorable(Struct, frozen=True):
    """An outcome that the metastore cannot hold as it is, and why. Nothing landed, and nothing would another time."""

    why: str


class Unreadable(Struct, frozen=True):
    """XComs that cannot be given, and why: what was asked for, or what is stored, is not as it must be."""

    why: str


XComReply: TypeAlias = tuple[tuple[str, int, Json | Tagged], ...] | Unreadable
"""The values asked for, as (task id, map index, value), in topological then index order; or why there are none."""


class XComQuery(Struct, frozen=True):
    """What a running task asks for. An empty ``task_ids`` means every task of the run.

    With ``until``, a logical date, each task's values are those of the run of the latest date that has some, up to the
    run that is named, or up to that date where the DAG has no such run.
    """

    dag_id: str
    run_id: str
    task_ids: tuple[str, ...]
    key: str
    map_index: int | None = None
    until: datetime | None = None


TaskRequest: TypeAlias = XComQuery | SecretRequest | RecordsQuery
"""What a running task asks its worker for: XComs, a Variable or Connection, or what runs have done."""

TaskReply: TypeAlias = XComReply | SecretReply | RecordsReply
