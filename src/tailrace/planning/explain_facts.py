"""The facts of ``explain``: one run, its task instances, its owner and who wants it, of one moment. Values only."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct, field

from tailrace.model.moments import moment_text
from tailrace.planning.plan import Blocker
from tailrace.planning.snapshot import RunSnapshot, Snapshot, TaskInstanceSnapshot

#: What a command may have done that made what it is about.
CREATED, TRIGGERED = "created", "triggered"


class PersonsCommand(Struct, frozen=True):
    """What a person's command did to something: fields are the JSON's. ``by`` is user@host.

    ``stands``: its state is still the one that the command gave it; nothing has happened to it since.
    """

    by: str
    at: datetime
    what: str
    stands: bool = True

    @property
    def text(self) -> str:
        """What was done, who did it, and when."""
        return f"{self.what} by {self.by} at {moment_text(self.at)}"

    @property
    def is_creation(self) -> bool:
        """Whether it made what it is about."""
        return self.what in (CREATED, TRIGGERED)


class JobTrouble(Struct, frozen=True):
    """What hinders a job: why its ``tries`` cannot be begun, and what is wrong with what it could not load.

    ``files`` are DAG files none of whose DAGs it has, ``dags`` are DAGs that it has not although their file loads.
    """

    tries: str = ""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class JobFacts(Struct, frozen=True):
    """A job that drives something; ``lease_seconds`` is how long it is still believed alive without a heartbeat."""

    id: int
    kind: str
    host: str
    pid: int
    alive: bool
    lease_seconds: float
    backfill_id: int | None = None
    trouble: JobTrouble = field(default_factory=JobTrouble)

    @property
    def name(self) -> str:
        """The job as people read it."""
        return f"job {self.id} ({self.kind} on {self.host}, pid {self.pid})"


class WantedBy(Struct, frozen=True):
    """A backfill that wants the run. ``ahead`` counts its queued runs before this one, ``active`` its running ones.

    ``interrupted``: it is open, and no live job drives it or will.
    """

    backfill_id: int
    state: str
    paused: bool
    ahead: int = field(name="queued_before_it")
    active: int = field(name="running")
    max_active_runs: int | None
    detached: bool
    command: str
    interrupted: bool = False


class TryFacts(Struct, frozen=True):
    """One try, from history; ``outcome`` is None while it goes on."""

    number: int = field(name="try_number")
    queued_at: datetime | None = field(default=None, name="queued")
    started_at: datetime | None = field(default=None, name="start")
    ended_at: datetime | None = field(default=None, name="end")
    outcome: str | None = field(default=None, name="became")
    cause: str = ""
    reason: str = ""


class CallbackFacts(Struct, frozen=True):
    """An event of the run and how its callbacks stand; ``task_id`` is None where it is of the run itself.

    ``called_by`` is who calls them now; ``jobs`` are the live ones that may, where they wait.
    """

    event_id: str
    callback: str
    task_id: str | None
    map_index: int | None
    try_number: int | None
    at: datetime
    state: str
    error: str = ""
    ended_at: datetime | None = field(default=None, name="end")
    called_by: str | None = None
    jobs: tuple[int, ...] = ()


class TaskInstanceFacts(Struct, frozen=True):
    """A task instance as it stands; ``lease_seconds`` is what its try's lease has left, negative once it ran out."""

    view: TaskInstanceSnapshot
    reason: str = ""
    pool: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    lease_seconds: float | None = None
    tries: tuple[TryFacts, ...] = ()
    last_command: PersonsCommand | None = None
    reschedules: int = 0  # how often its newest try has given its worker back
    times_out_at: datetime | None = None  # when that gives up, where it said so
    rendered_map_index: str | None = None  # what it is called beside its index


class RunFacts(Struct, frozen=True):
    """Everything about one run, of one moment. ``snapshot`` is the planner's own, of the lane that drives the run.

    ``drivers`` are the live jobs that may drive it.
    """

    run: RunSnapshot
    snapshot: Snapshot
    task_instances: tuple[TaskInstanceFacts, ...] = ()
    owner: JobFacts | None = None
    drivers: tuple[JobFacts, ...] = ()
    wanted_by: tuple[WantedBy, ...] = ()
    reason: str = ""
    blocked: tuple[Blocker, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    last_command: PersonsCommand | None = None
    callbacks: tuple[CallbackFacts, ...] = ()

    @property
    def dag_id(self) -> str:
        """The run's DAG."""
        return self.snapshot.dag.dag_id
