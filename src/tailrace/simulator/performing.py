"""Performs effects in a simulated world: the metastore is real, all around it is not. Canaries override parts."""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from tailrace.effects.requests import (
    Accepted,
    AnswerTask,
    ApplyPlan,
    AwaitTask,
    ClaimTry,
    CreateDueRuns,
    DagBook,
    DropTask,
    Effect,
    EndJob,
    FindLost,
    Heartbeat,
    KillTask,
    NextTry,
    Note,
    Parked,
    ParkTask,
    ReadAgenda,
    ReadDags,
    ReadSnapshot,
    ReadXCom,
    ReapDeadJobs,
    ReleaseRuns,
    RenewLease,
    ReportOutcome,
    StartTask,
    StillRunning,
    StopStarting,
    StopTask,
    Submit,
    TellExecutor,
    TerminateTasks,
    Wait,
    WaitResult,
)
from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, Refused, Renewal, Submission, TryOutcome
from tailrace.errors import InternalError
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec
from tailrace.model.states import TaskInstanceState
from tailrace.planning.backfills import BackfillCreation
from tailrace.planning.commands import CommandPlan
from tailrace.planning.snapshot import Snapshot
from tailrace.simulator.actors import Actor, Job, Worker
from tailrace.simulator.ledger import Execution
from tailrace.simulator.scenario import LEASE_SECONDS
from tailrace.simulator.world_state import WorldState

#: Effects that write to the metastore: while somebody holds its lock, whoever is at one of these waits.
WRITING = (
    ApplyPlan,
    ReapDeadJobs,
    Heartbeat,
    EndJob,
    CreateDueRuns,
    ReleaseRuns,
    ClaimTry,
    RenewLease,
    ReportOutcome,
)

#: Effects that nobody else can see: whether others go before or after one, and whether a process dies before it or
#: before its next effect, comes to the same. A search takes them together with the effect before. (What is submitted
#: is for the job's own workers, who need not take it at once, and is gone with the job.)
UNSEEN = (Note, ParkTask, DropTask, StartTask, StopTask, KillTask, AnswerTask, ReadDags, Submit)


class Performer:
    """The product's world: every effect answered truthfully, faults of the world included."""

    def __init__(self, world: WorldState) -> None:
        self.world = world
        self._running: dict[int, Execution] = {}  # by the worker's pid
        self._perform: dict[type, Callable[[Any, Any], Any]] = {
            ReadSnapshot: self.read_snapshot,
            ApplyPlan: self.apply,
            Submit: self.submit,
            FindLost: self.find_lost,
            ReapDeadJobs: self.bury,
            ReadDags: lambda actor, effect: DagBook({self.world.scenario.dag.dag_id: self.world.scenario.dag}),
            ReadAgenda: lambda actor, effect: self.world.metastore.agenda(effect.job_id),
            CreateDueRuns: lambda actor, effect: self.write(
                lambda id: self.world.metastore.create_due_runs(effect.due, effect.job_id, id)
            ),
            ReleaseRuns: lambda actor, effect: self.write(
                lambda id: self.world.metastore.release_runs(effect.job_id, effect.lane)
            ),
            Heartbeat: lambda actor, effect: self.write(
                lambda id: self.world.metastore.heartbeat(effect.job_id, LEASE_SECONDS)
            ),
            EndJob: lambda actor, effect: self.write(
                lambda id: self.world.metastore.end_job(effect.job_id, effect.state)
            ),
            Wait: self.wait,
            StopStarting: self.stop_starting,
            TerminateTasks: self.terminate,
            NextTry: self.next_try,
            ParkTask: self.park,
            ClaimTry: self.claim,
            StartTask: self.start,
            AwaitTask: self.await_task,
            ReadXCom: lambda actor, effect: world.metastore.read_xcom(effect.query),
            RenewLease: self.renew,
            StopTask: self.stop_task,
            KillTask: lambda actor, effect: self.task_is_gone(actor),
            ReportOutcome: self.report,
            TellExecutor: self.tell_executor,
        }

    def close(self) -> None:
        """Give back what a canary holds; the product holds nothing."""

    def perform(self, actor: Actor, effect: Effect[Any]) -> Any:
        """The answer to one effect of one actor."""
        if isinstance(effect, (Note, DropTask, AnswerTask)):
            return None
        return self._perform[type(effect)](actor, effect)

    # --- jobs ----------------------------------------------------------------------------------------------

    def read_snapshot(self, actor: Job, effect: ReadSnapshot) -> Snapshot:
        """One read transaction; a lawless job sees the runs of every other job too, as if nobody owned them."""
        metastore = self.world.metastore
        snapshot = metastore.snapshot(effect.job_id, effect.dag, effect.backfill_id)
        if not actor.command.ignores_owners:
            return snapshot
        runs = {run.id: run for run in snapshot.runs}
        previous, looks_at = dict(snapshot.previous), dict(snapshot.looks_at)
        for other in self.world.actors:  # nobody writes between these reads: they are of one moment
            if isinstance(other, Job) and other is not actor:
                theirs = metastore.snapshot(other.id, effect.dag, effect.backfill_id)
                runs |= {run.id: run for run in theirs.runs}
                previous |= theirs.previous
                looks_at |= theirs.looks_at
        in_order = tuple(sorted(runs.values(), key=lambda run: run.id))
        return replace(snapshot, runs=in_order, previous=previous, looks_at=looks_at)

    def apply(self, actor: Job, effect: ApplyPlan) -> Applied:
        """One write; when its connection breaks, the metastore repeats it under the same id."""
        applied: Applied = self.write(lambda id: self.world.metastore.apply(effect.plan, id))
        return applied

    def write(self, write: Callable[[str], Any]) -> Any:
        """One write under an id of its own."""
        return write(self.world.write_id())

    def submit(self, actor: Job, effect: Submit) -> None:
        """Each submission arrives, or late, or twice, or never."""
        faults, chance = self.world.faults, self.world.chooser.chance
        for submission in effect.submissions:
            if chance("a submission is lost", faults.lost_submission):
                continue
            if chance("a submission is late", faults.late_submission):
                self.world.send_late(actor.queue, submission)
            elif not self.world.healed or submission not in actor.queue:
                actor.queue.append(submission)
            if chance("a submission comes twice", faults.doubled_submission):
                self.world.send_late(actor.queue, submission)

    def find_lost(self, actor: Job, effect: FindLost) -> frozenset[int]:
        """Those whose worker the world knows to be dead."""
        return frozenset(id for id, holder in effect.held if holder.worker.pid in self.world.dead)

    def bury(self, actor: Job, effect: ReapDeadJobs) -> int:
        """Bury the jobs whose process is gone."""
        running = self.world.metastore.jobs_running_on("simulated")
        dead = [job_id for job_id, identity in running if identity.pid in self.world.dead]
        for job_id in dead:
            self.write(partial(self._bury, job_id))
        return len(dead)

    def wait(self, actor: Job, effect: Wait) -> WaitResult:
        """What the executor says by now."""
        world = self.world
        if world.mishap("Ctrl-C", world.faults.interrupt):
            actor.interrupts = 2 if world.chooser.chance("twice", 0.5) else 1
        woken = WaitResult(
            finished=len(actor.hints),
            worker_lost=actor.worker_lost,
            drain=actor.interrupts > 0,
            terminate=actor.interrupts > 1,
            busy=world.busy(actor),
        )
        actor.hints.clear()
        actor.worker_lost = False
        return woken

    def stop_starting(self, actor: Job, effect: StopStarting) -> None:
        """The executor forgets what no worker has begun."""
        actor.draining = True
        actor.queue.clear()

    def terminate(self, actor: Job, effect: TerminateTasks) -> None:
        """The executor kills the tasks of its workers; each reports its try as lost."""
        for worker in self.world.workers_of(actor):
            worker.terminated = worker.submission is not None

    def create(self, dag: DagSpec, creation: BackfillCreation, write_id: str) -> int:
        """A person's backfill, with its runs, in one transaction."""
        created = self.world.metastore.create_backfill(dag, creation, "simulated", write_id)
        if not isinstance(created, int):
            raise InternalError("nobody wrote in between, yet the creation was stale")
        return created

    def commanded(self, plan: CommandPlan) -> None:
        """A person's command has landed."""

    # --- workers -------------------------------------------------------------------------------------------

    def next_try(self, actor: Worker, effect: NextTry) -> Submission | None:
        """The first submission in the queue; None when its job is no more."""
        actor.submission = actor.job.queue.pop(0) if actor.job.alive and actor.job.queue else None
        return actor.submission

    def park(self, actor: Worker, effect: ParkTask) -> Parked:
        """A process that waits."""
        task = self.world.scenario.dag.by_id[effect.submission.key.task_instance.task_id]
        return Parked(actor.identity, self.world.identity(actor), task, "simulated")

    def claim(self, actor: Worker, effect: ClaimTry) -> Claim | Refused:
        """queued → running, if nobody was first."""
        actor.lease_until = self.world.clock.seconds + LEASE_SECONDS
        answer: Claim | Refused = self.write(lambda id: self.world.metastore.claim(effect.request, id))
        return answer

    def start(self, actor: Worker, effect: StartTask) -> None:
        """The task begins; how it will end is written in the scenario."""
        claim, scenario = effect.claim, self.world.scenario
        if actor.lease_until <= self.world.clock.seconds:  # its deadline comes with its order to go: no code runs
            actor.ending = TryOutcome(OutcomeKind.LOST, "its worker was held up beyond the lease")
            actor.steps_left = 0
            return
        self._running[actor.identity.pid] = self.world.ledger.start(
            claim, actor.identity.pid, self.world.clock.seconds, actor.lease_until
        )
        if claim.max_tries - claim.key.try_number == scenario.dag.by_id[claim.task_instance.task_id].retries:
            self.world.ledger.failures[claim.id] = 0  # its budget is whole: it was cleared, or never failed
        attempt = claim.key.try_number if scenario.fickle else self.world.ledger.failures[claim.id] + 1
        kind, followed = scenario.ending(claim.task_instance.task_id, claim.logical_date, attempt)
        actor.claim = claim
        actor.ending = TryOutcome(kind, f"as written: {kind}", followed=followed)
        actor.steps_left = self.world.drawn("found running", scenario.found_running)
        if self.world.chooser.chance("a false report", self.world.faults.false_report):
            self._hint(actor)

    def await_task(self, actor: Worker, effect: AwaitTask) -> TryOutcome | StillRunning:
        """Still running as often as was chosen, then its ending."""
        if actor.terminated:
            self.task_is_gone(actor)
            return TryOutcome(OutcomeKind.LOST, "its task was killed: somebody pressed Ctrl-C twice")
        together = [each for each in self.world.workers_of(actor.job) if each.identity.pid in self._running]
        if len(together) > 1 and self.world.mishap("its zygote dies", self.world.faults.zygote):
            self._lose_together(together)
        if actor.lost is not None:
            lost, actor.lost = actor.lost, None
            return lost
        execution = self._running.get(actor.identity.pid)
        overdue = execution is not None and execution.lease_until <= self.world.clock.seconds
        if overdue and actor.steps_left > 0 and not self.world.chooser.chance("it had ended in time", 0.5):
            self.task_is_gone(actor)
            return TryOutcome(OutcomeKind.LOST, "its task was killed: its lease had not been renewed")
        if actor.steps_left > 0 and not overdue:
            actor.steps_left -= 1
            if self.world.chooser.chance("its executor says that it ended and died", self.world.faults.contradiction):
                self._hint(actor)
                actor.job.worker_lost = True
            return StillRunning()
        self.task_is_gone(actor)
        assert actor.ending is not None, "a task is awaited that was never started"
        return actor.ending

    def stop_task(self, actor: Worker, effect: StopTask) -> None:
        """The task may clean up for a while; then nothing of it runs."""
        actor.steps_left = self.world.drawn("found cleaning up", 1) if actor.steps_left else 0
        actor.ending = TryOutcome(OutcomeKind.LOST, "its task was ended, as a person asked")

    def _lose_together(self, workers: list[Worker]) -> None:
        """The tasks of a job's workers are gone at once, with the zygote that had started them."""
        for worker in workers:
            self.task_is_gone(worker)
            text = f"its zygote died with {len(workers)} tries"
            worker.lost, worker.due = TryOutcome(OutcomeKind.LOST_TOGETHER, text), 0.0

    def task_is_gone(self, actor: Worker) -> None:
        """The task's process is no more."""
        execution = self._running.pop(actor.identity.pid, None)
        if execution is not None:
            execution.over = True

    def renew(self, actor: Worker, effect: RenewLease) -> Renewal:
        """The lease is renewed, or the try is somebody else's."""
        renewal: Renewal = self.write(
            lambda id: self.world.metastore.renew(effect.claim, effect.lease_seconds, effect.waiting)
        )
        execution = self._running.get(actor.identity.pid)
        if renewal is not Renewal.GONE and execution is not None:
            self.world.ledger.renew(execution, self.world.clock.seconds + LEASE_SECONDS)
        return renewal

    def report(self, actor: Worker, effect: ReportOutcome) -> Accepted | Refused:
        """The outcome, under the token."""
        answer: Accepted | Refused = self.write(
            lambda id: self.world.metastore.report(effect.claim, effect.outcome, effect.after, id)
        )
        if isinstance(answer, Accepted):
            retried = answer.state == TaskInstanceState.UP_FOR_RETRY and effect.outcome.kind is OutcomeKind.FAILED
            self.world.ledger.accept(effect.claim, retried=retried)
        return answer

    def tell_executor(self, actor: Worker, effect: TellExecutor) -> None:
        """The hint reaches the job once, late, twice or never."""
        faults, chance = self.world.faults, self.world.chooser.chance
        if not chance("a report is lost", faults.lost_report):
            if chance("a report is late", faults.late_report):
                self.world.send_late(actor.job.hints, effect.submission)
            else:
                self._hint(actor)
            if chance("a report comes twice", faults.doubled_report):
                self.world.send_late(actor.job.hints, effect.submission)
        actor.submission = actor.lost = None
        actor.terminated = False

    def _bury(self, job_id: int, write_id: str) -> None:
        self.world.metastore.bury_job(job_id)

    def _hint(self, actor: Worker) -> None:
        if actor.submission is not None:
            actor.job.hints.append(actor.submission)
