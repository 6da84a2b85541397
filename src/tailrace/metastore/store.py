"""The metastore as everyone else sees it: open it, read snapshots and views, apply plans, claim and report tries.

Every write is one transaction under a client-made id and is repeated under the same id when its commit is unknown.
Nothing is decided here, and no caller sees a connection, a statement or a table.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from tailrace.audit.records import AuditRecords, Report
from tailrace.audit.seals import Seal
from tailrace.effects.requests import Accepted
from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, ClaimRequest, Refused, Renewal, TryOutcome, XComQuery, XComReply
from tailrace.metastore.commands import command_facts, commanding, creation, loading, pools, schedules, triggering
from tailrace.metastore.commands.cleaning import Cleaning, clean_some, count_cleanable
from tailrace.metastore.commands.facts import ended_backfill, read_facts
from tailrace.metastore.commands.pools import PoolSummary
from tailrace.metastore.commands.secrets import StoredSecrets
from tailrace.metastore.db.address import Address
from tailrace.metastore.db.clock import Clock
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.db.witness import Witness
from tailrace.metastore.plans import applying, snapshots
from tailrace.metastore.repeating import PAUSES, Attempts, pauses_within
from tailrace.metastore.schema import revisions as schema
from tailrace.metastore.tries import claims as tries
from tailrace.metastore.tries import job_rows, leases
from tailrace.metastore.tries.events import Outbox
from tailrace.metastore.views.audit_records import audited, read_audit_records
from tailrace.metastore.views.explain_query import read_explained
from tailrace.metastore.views.lists import Views
from tailrace.metastore.writes import xcoms
from tailrace.metastore.writes.structures import Structures
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity
from tailrace.model.spec import DagSpec
from tailrace.model.states import JobKind, JobState
from tailrace.planning.backfills import BackfillCreation, BackfillFacts, BackfillRequest
from tailrace.planning.commands import CommandFacts, CommandPlan, CommandScope
from tailrace.planning.explain_facts import JobTrouble, RunFacts
from tailrace.planning.plan import Plan
from tailrace.planning.resizing import ResizeFacts, ResizePlan
from tailrace.planning.retries import AfterTry
from tailrace.planning.schedules import Agenda, DueRuns, LaneKey
from tailrace.planning.snapshot import Snapshot
from tailrace.planning.triggering import TriggerFacts, TriggerPlan

R = TypeVar("R")

#: How long a statement waits for a lock before the environment counts as broken, in seconds.
LOCK_WAIT = 30.0


class MetastoreStale:
    """A creation's facts have changed since they were read, and nothing was written: read them, decide again."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __repr__(self) -> str:
        return f"MetastoreStale({self.reason!r})"


class Done(Struct, frozen=True):
    """A command that landed as a whole: how many task instances and runs it changed."""

    task_instances: int
    runs: int


class Metastore(Views, StoredSecrets, Outbox):
    """One process's way to the metastore. Not for several threads; a fork gets its own connection by itself.

    Every method raises EnvironmentBroken when the store is out of reach or does not let us write. A method that takes
    a ``write_id`` returns the recorded result when that id has landed before.
    """

    def __init__(self, database: Database, pauses: Iterable[float] = PAUSES) -> None:
        self._database = database
        self._attempts = Attempts(database, pauses)
        self._witness = Witness(database.where)
        self._structures = Structures()

    @classmethod
    def open(
        cls,
        address: Address | str,
        *,
        sqlite_synchronous: str = "normal",
        clock: Clock | None = None,
        lock_wait: float = LOCK_WAIT,
        person: str | None = None,
    ) -> "Metastore":
        """Open the metastore at this address; create it, or migrate it (SQLite), if need be.

        ``clock`` stands in for the store's own clocks; ``person`` is whose commands are written. Raises CommandError
        for an address that names no metastore and EnvironmentBroken when it is out of reach, newer than this Tailrace,
        or older and may not be migrated now.
        """
        database = Database(
            address, sqlite_synchronous=sqlite_synchronous, clock=clock, wait_seconds=lock_wait, person=person
        )
        metastore = cls(database)
        metastore._attempts.repeat(lambda: schema.prepare(database))
        return metastore

    @classmethod
    def open_to_read(
        cls, address: Address | str, *, clock: Clock | None = None, lock_wait: float = LOCK_WAIT
    ) -> "Metastore | None":
        """Open the metastore at this address, to read alone; None where nothing was ever written.

        Nothing is made or written; the right to read will do. Raises as ``open`` does, and waits for nothing longer.
        """
        database = Database(address, clock=clock, wait_seconds=lock_wait, reads_only=True)
        if database.is_not_there_yet():
            return None
        metastore, made = cls(database, pauses_within(lock_wait)), False
        try:
            made = metastore._attempts.repeat(lambda: schema.is_made(database))
        finally:
            if not made:
                metastore.close()
        return metastore if made else None

    @staticmethod
    def migrate(
        address: Address | str, *, sqlite_synchronous: str = "normal", lock_wait: float = LOCK_WAIT
    ) -> schema.SchemaReport:
        """Create the metastore or bring it to the newest schema, after a backup copy (SQLite)."""
        database = Database(address, clock=None, wait_seconds=lock_wait, sqlite_synchronous=sqlite_synchronous)
        try:
            return schema.migrate(database)
        finally:
            database.release()

    @property
    def reads_only(self) -> bool:
        """Whether it was opened to read alone."""
        return self._database.reads_only

    def connect(self) -> None:
        """Open this process's connection now, and wait for a server that has been there and is not just now."""
        self._attempts.repeat(self._database.connect)

    def close(self) -> None:
        """Close the connection."""
        self._database.release()

    def release(self) -> None:
        """Close the connection before a fork; the next use opens it again, and finds what others have left."""
        self._database.require_same_file()
        self._database.release()

    def require_same_content(self) -> None:
        """Raise EnvironmentBroken if what this process has seen here is not here any more."""
        self.read(self._witness.look)

    def describe(self) -> str:
        """Where the metastore is, safe to print."""
        return self._database.where

    # --- planning ------------------------------------------------------------------------------------------

    def snapshot(self, job_id: int, dag: DagSpec, backfill_id: int | None) -> Snapshot:
        """Everything the next planning step of this job may know, of one moment."""
        return self.read(lambda tx: snapshots.read_snapshot(tx, job_id, dag, backfill_id))

    def apply(self, plan: Plan, write_id: str) -> Applied:
        """Apply the plan in one transaction; each part of it lands or is refused by itself."""
        if plan.backfill_verdict is not None:
            self._database.require_sound()  # no success is reported of a file that nobody can read any more

        def work(tx: Transaction) -> dict[str, Any]:
            return applying.apply_plan(tx, plan, write_id, self._structures)

        if plan.run_verdicts or plan.backfill_verdict is not None:
            result = self._attempts.write(self._witnessed(work), write_id)
        else:
            result = self._write(work, write_id)
        return applying.applied_from(plan, result)

    def backfill_facts(
        self, dag: DagSpec, request: BackfillRequest, intervals: Iterable[DataInterval]
    ) -> BackfillFacts:
        """What exists of the request's dates, of one moment."""
        dates = tuple(intervals)
        return self.read(lambda tx: read_facts(tx, dag, request, dates))

    def ended_backfill(self, request: BackfillRequest) -> int | None:
        """The newest backfill of this same command that has ended."""
        return self.read(lambda tx: ended_backfill(tx, request.fingerprint))

    def create_backfill(
        self, dag: DagSpec, plan: BackfillCreation, command: str, write_id: str
    ) -> int | MetastoreStale:
        """Write the backfill, its runs and its intents as a whole, or continue one; returns the backfill's row.

        Returns MetastoreStale, having written nothing, when the facts that ``plan`` was decided from have changed.
        """
        try:
            result = self._write(
                lambda tx: creation.write_backfill(tx, dag, plan, command, write_id, self._structures), write_id
            )
        except creation.StaleFacts as stale:
            return MetastoreStale(str(stale))
        return int(result["id"])

    # --- commands of a person ------------------------------------------------------------------------------

    def command_facts(self, scope: CommandScope) -> CommandFacts:
        """What a command is about, of one moment; ``planning.clearing`` and its neighbours decide from it."""
        return self.read(lambda tx: command_facts.read_command_facts(tx, scope))

    def command(self, plan: CommandPlan, write_id: str) -> Done | MetastoreStale:
        """Write the whole command, or nothing: MetastoreStale when a fact that it was decided from has changed."""
        try:
            result = self._write(lambda tx: commanding.write_command(tx, plan, write_id), write_id)
        except creation.StaleFacts as stale:
            return MetastoreStale(str(stale))
        return Done(**result)

    # --- schedulers ----------------------------------------------------------------------------------------

    def agenda(self, job_id: int) -> Agenda:
        """What there is for this scheduler to drive, and how far each schedule has come, of one moment."""
        return self.read(lambda tx: schedules.read_agenda(tx, job_id))

    def create_due_runs(self, due: DueRuns, job_id: int, write_id: str) -> int:
        """Create the runs that are due and do not exist; how many. None if the DAG's schedule has moved since."""

        def work(tx: Transaction) -> dict[str, Any]:
            return schedules.create_due_runs(tx, due, job_id, write_id, self._structures)

        return int(self._write(work, write_id)["created"])

    def release_runs(self, job_id: int, lane: LaneKey) -> None:
        """Let go of the runs that this job drives for a lane it no longer has."""
        self._attempts.write_again(lambda tx: schedules.release_runs(tx, job_id, lane))

    def trigger_facts(self, dag_id: str, logical_date: datetime, run_id: str) -> TriggerFacts:
        """Whether the DAG has a run of that date or id already."""
        return self.read(lambda tx: triggering.read_trigger_facts(tx, dag_id, logical_date, run_id))

    def trigger(self, dag: DagSpec, plan: TriggerPlan, write_id: str) -> int | MetastoreStale:
        """Create the run that a person asked for; returns its row. Stale when its date or id was taken meanwhile."""
        try:
            result = self._write(
                lambda tx: triggering.write_trigger(tx, dag, plan, write_id, self._structures), write_id
            )
        except creation.StaleFacts as stale:
            return MetastoreStale(str(stale))
        return int(result["id"])

    # --- tries ---------------------------------------------------------------------------------------------

    def claim(self, request: ClaimRequest, write_id: str) -> Claim | Refused:
        """queued → running for this worker, if nobody was first. User code may start only on a Claim."""
        result = self._write(lambda tx: tries.claim_try(tx, request, write_id), write_id)
        return tries.claimed_from(result)

    def renew(self, claim: Claim, lease_seconds: float, waiting: str = "") -> Renewal:
        """Renew the try's lease, unless it is somebody else's by now. ``waiting``: what its process still waits for."""
        return self._attempts.write_again(lambda tx: leases.renew(tx, claim, lease_seconds, waiting))

    def report(self, claim: Claim, outcome: TryOutcome, after: AfterTry, write_id: str) -> Accepted | Refused:
        """End the try, its XComs included. Refused: the try is no longer this claim's; history says so."""
        result = self._write(lambda tx: tries.report_outcome(tx, claim, outcome, after, write_id), write_id)
        return tries.reported_from(result)

    def read_xcom(self, query: XComQuery) -> XComReply:
        """The values asked for, or why they cannot be given."""
        return self.read(lambda tx: xcoms.read_xcoms(tx, query))

    # --- jobs ----------------------------------------------------------------------------------------------

    def start_job(
        self,
        kind: JobKind,
        identity: ProcessIdentity,
        dag_id: str | None,
        backfill_id: int | None,
        lease_seconds: float,
        write_id: str,
    ) -> int:
        """Record a job of this process as running; returns its row."""

        def work(tx: Transaction) -> dict[str, Any]:
            return job_rows.start_job(tx, kind, identity, dag_id, backfill_id, lease_seconds, write_id)

        return int(self._attempts.write(self._witnessed(work), write_id)["id"])

    def heartbeat(self, job_id: int, lease_seconds: float, trouble: JobTrouble | None = None) -> bool:
        """Renew the job's lease and say what hinders it. False: others took it for dead; it must start nothing more."""
        self._database.require_sound(if_touched=True)
        reported = trouble or JobTrouble()
        return self._attempts.write_again(
            self._witnessed(lambda tx: job_rows.heartbeat(tx, job_id, lease_seconds, reported))
        )

    def end_job(self, job_id: int, state: JobState) -> None:
        """Record how the job ended; one that has ended already is left as it is."""
        self._attempts.write_again(self._witnessed(lambda tx: job_rows.end_job(tx, job_id, state)))

    def mark_job_dead(self, job_id: int) -> None:
        """Record a job whose process is gone as failed: what it owns is free from now on."""
        self.end_job(job_id, JobState.FAILED)

    def jobs_running_on(self, host: str) -> tuple[tuple[int, ProcessIdentity], ...]:
        """Jobs of this host that have not recorded their end."""
        return self.read(lambda tx: job_rows.jobs_running_on(tx, host))

    def is_scheduler_alive(self) -> bool:
        """Whether any scheduler is believed alive."""
        return bool(self.read(job_rows.live_jobs).schedulers)

    # --- DAGs ----------------------------------------------------------------------------------------------

    def store_loaded(self, dags: Iterable[DagSpec], write_id: str, *, paused: bool = False) -> None:
        """Keep each of these DAGs as it was loaded just now; ``paused``: a new one that does not say so itself is."""
        kept = tuple(dags)
        self._write(lambda tx: loading.store_loaded(tx, kept, write_id, self._structures, paused=paused), write_id)

    # --- settings people change ----------------------------------------------------------------------------

    def set_paused(self, dag_id: str, paused: bool, write_id: str) -> bool:
        """Pause or resume the DAG's schedule. False: the DAG was never loaded, nor has it run."""
        return bool(self._write(lambda tx: pools.set_paused(tx, dag_id, paused, write_id), write_id)["known"])

    def list_pools(self) -> tuple[PoolSummary, ...]:
        """Every pool, by name, with what occupies it."""
        return self.read(pools.list_pools)

    def resize_facts(self, name: str) -> ResizeFacts:
        """What there is of this pool, and what is deadlocked for any, of one moment."""
        return self.read(lambda tx: pools.read_resize_facts(tx, name))

    def resize(self, plan: ResizePlan, write_id: str) -> bool | MetastoreStale:
        """Create the pool (True) or change it (False), or write nothing: stale when a fact of the plan has changed."""
        try:
            return bool(self._write(lambda tx: pools.write_resize(tx, plan, write_id), write_id)["created"])
        except creation.StaleFacts as stale:
            return MetastoreStale(str(stale))

    def delete_pool(self, name: str, write_id: str) -> None:
        """Delete a pool that nothing uses. Raises CommandError for any other."""
        self._write(lambda tx: pools.delete_pool(tx, name, write_id), write_id)

    def count_cleanable(self, cleaning: Cleaning) -> dict[str, int]:
        """How many rows of each kind ``clean_some``, repeated, would remove now."""
        return self.read(lambda tx: count_cleanable(tx, cleaning))

    def clean_some(self, cleaning: Cleaning, write_id: str) -> dict[str, int]:
        """Remove a bounded piece of what is old and closed; how much of what it was, nothing when all is done."""
        return dict(self._write(lambda tx: clean_some(tx, cleaning, write_id), write_id))

    def explained(self, run: int) -> RunFacts:
        """The facts of ``explain`` about this run (its row), of one moment. Raises KeyError for none."""
        return self.read(lambda tx: read_explained(tx, run))

    def audit(self, against: Seal | None = None) -> Report:
        """Check the whole history, of one moment, a page at a time; others go on working meanwhile.

        With a seal, every chain must go on from where it was then.
        """
        return self.read(lambda tx: audited(tx, against))

    def audit_records(self) -> AuditRecords:
        """Everything an audit looks at, of one moment, in memory."""
        return self.read(read_audit_records)

    # --- transactions --------------------------------------------------------------------------------------

    def read(self, work: Callable[[Transaction], R]) -> R:
        """Do ``work`` over one snapshot; again, if the connection breaks."""
        return self._attempts.read(work)

    def _write(self, work: Callable[[Transaction], Any], write_id: str) -> Any:
        # A server is not asked each time: who restores a database there ends the sessions first.
        return self._attempts.write(work if self._database.postgres else self._witnessed(work), write_id)

    def _write_again(self, work: Callable[[Transaction], R]) -> R:
        return self._attempts.write_again(work)

    def _witnessed(self, work: Callable[[Transaction], R]) -> Callable[[Transaction], R]:
        """``work`` on a metastore that holds what this process has seen in it; else it is not done."""

        def look_first(tx: Transaction) -> R:
            self._witness.look(tx)
            return work(tx)

        return look_first
