"""Performs effects in a simulated world: the metastore is real, all around it is not. Canaries override parts."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from tailrace.effects.requests import (
    Accepted,
    ApplyPlan,
    AwaitTask,
    ClaimEvent,
    ClaimTry,
    CreateDueRuns,
    DagBag,
    DropTask,
    Effect,
    EndEvent,
    EndJob,
    Event,
    FindLost,
    Heartbeat,
    KillTask,
    NextTry,
    NotifyExecutor,
    Parked,
    ParkTask,
    ReadAgenda,
    ReadDags,
    ReadRecords,
    ReadSnapshot,
    ReadXCom,
    ReapDeadJobs,
    ReleaseRuns,
    RenewEvent,
    RenewLease,
    ReplyToTask,
    ReportOutcome,
    StartTask,
    StillRunning,
    StopStarting,
    StopTask,
    Submit,
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
from tailrace.simulator.callbacks import Callbacks
from tailrace.simulator.ledger import Execution
from tailrace.simulator.processes import Caller, Job, Process, Worker
from tailrace.simulator.scenario import LEASE_SECONDS
from tailrace.simulator.sensing import outcome_of_look
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
    ClaimEvent,
    RenewEvent,
    EndEvent,
)

#: Effects that nobody else can see: whether others go before or after one, and whether a process dies before it or
#: before its next effect, comes to the same. A search takes them together with the effect before. (What is submitted
#: is for the job's own workers, who need not take it at once, and is gone with the job.)
UNSEEN = (Event, ParkTask, DropTask, StartTask, StopTask, KillTask, ReplyToTask, ReadDags, Submit)


class Performer:
    """The product's world: every effect performed truthfully, faults of the world included."""

    def __init__(self, world: WorldState) -> None:
        self.world = world
        self._running: dict[int, Execution] = {}  # by the worker's pid
        self._perform: dict[type, Callable[[Any, Any], Any]] = {
            ReadSnapshot: self.read_snapshot,
            ApplyPlan: self.apply,
            Submit: self.submit,
            FindLost: self.find_lost,
            ReapDeadJobs: self.reap,
            ReadDags: lambda process, effect: DagBag({dag.dag_id: dag for dag in self.world.scenario.dags}),
            ReadAgenda: lambda process, effect: self.world.metastore.agenda(effect.job_id),
            CreateDueRuns: lambda process, effect: self.write(
                lambda id: self.world.metastore.create_due_runs(effect.due, effect.job_id, id)
            ),
            ReleaseRuns: lambda process, effect: self.write(
                lambda id: self.world.metastore.release_runs(effect.job_id, effect.lane)
            ),
            Heartbeat: lambda process, effect: self.write(
                lambda id: self.world.metastore.heartbeat(effect.job_id, LEASE_SECONDS)
            ),
            EndJob: lambda process, effect: self.write(
                lambda id: self.world.metastore.end_job(effect.job_id, effect.state)
            ),
            Wait: self.wait,
            StopStarting: self.stop_starting,
            TerminateTasks: self.terminate,
            NextTry: self.next_try,
            ParkTask: self.park,
            ClaimTry: self.claim,
            StartTask: self.start,
            AwaitTask: lambda process, effect: (
                self.callbacks.wait(process, effect)
                if isinstance(process, Caller)
                else self.await_task(process, effect)
            ),
            ReadXCom: lambda process, effect: world.metastore.read_xcom(effect.query),
            ReadRecords: lambda process, effect: world.metastore.recorded(effect.query),
            RenewLease: self.renew,
            StopTask: self.stop_task,
            KillTask: lambda process, effect: self.is_gone(process),
            ReportOutcome: self.report,
            NotifyExecutor: self.notify_executor,
        }
        self.callbacks = Callbacks(world, self.write)
        self._perform.update(self.callbacks.handlers)

    def close(self) -> None:
        """Give back what a canary holds; the product holds nothing."""

    def perform(self, process: Process, effect: Effect[Any]) -> Any:
        """The result of one effect of one process."""
        if isinstance(effect, (Event, DropTask, ReplyToTask)):
            return None
        return self._perform[type(effect)](process, effect)

    # --- jobs ----------------------------------------------------------------------------------------------

    def read_snapshot(self, process: Job, effect: ReadSnapshot) -> Snapshot:
        """One read transaction; a job that ignores owners sees the runs of every other job too, as if nobody owned
        them.
        """
        metastore = self.world.metastore
        snapshot = metastore.snapshot(effect.job_id, effect.dag, effect.backfill_id)
        if not process.command.ignores_owners:
            return snapshot
        runs = {run.id: run for run in snapshot.runs}
        previous, looks_at = dict(snapshot.previous), dict(snapshot.looks_at)
        awaiting = dict(snapshot.awaiting)
        for other in self.world.processes:  # nobody writes between these reads: they are of one moment
            if isinstance(other, Job) and other is not process:
                theirs = metastore.snapshot(other.id, effect.dag, effect.backfill_id)
                runs |= {run.id: run for run in theirs.runs}
                previous |= theirs.previous
                looks_at |= theirs.looks_at
                awaiting |= theirs.awaiting
        in_order = tuple(sorted(runs.values(), key=lambda run: run.id))
        return replace(snapshot, runs=in_order, previous=previous, looks_at=looks_at, awaiting=awaiting)

    def apply(self, process: Job, effect: ApplyPlan) -> Applied:
        """One write; when its connection breaks, the metastore repeats it under the same id."""
        applied: Applied = self.write(lambda id: self.world.metastore.apply(effect.plan, id))
        return applied

    def write(self, write: Callable[[str], Any]) -> Any:
        """One write under an id of its own."""
        return write(self.world.write_id())

    def submit(self, process: Job, effect: Submit) -> None:
        """Each submission arrives, or late, or twice, or never."""
        faults, chance = self.world.faults, self.world.chooser.chance
        for submission in effect.submissions:
            if chance("a submission is lost", faults.lost_submission):
                continue
            if chance("a submission is late", faults.late_submission):
                self.world.send_late(process.queue, submission)
            elif not self.world.healed or submission not in process.queue:
                process.queue.append(submission)
            if chance("a submission comes twice", faults.doubled_submission):
                self.world.send_late(process.queue, submission)

    def find_lost(self, process: Job, effect: FindLost) -> frozenset[int]:
        """Those whose worker the world knows to be dead."""
        return frozenset(id for id, holder in effect.held if holder.worker.pid in self.world.dead)

    def reap(self, process: Job, effect: ReapDeadJobs) -> int:
        """Bury the jobs whose process is gone."""
        running = self.world.metastore.jobs_running_on("simulated")
        dead = [job_id for job_id, identity in running if identity.pid in self.world.dead]
        for job_id in dead:
            self.write(partial(self._mark_dead, job_id))
        return len(dead)

    def wait(self, process: Job, effect: Wait) -> WaitResult:
        """What the executor says by now."""
        world = self.world
        if world.disrupt("Ctrl-C", world.faults.interrupt):
            process.interrupts = 2 if world.chooser.chance("twice", 0.5) else 1
        waited = WaitResult(
            finished=len(process.hints),
            worker_lost=process.worker_lost,
            drain=process.interrupts > 0,
            terminate=process.interrupts > 1,
            busy=world.busy(process),
        )
        process.hints.clear()
        process.worker_lost = False
        return waited

    def stop_starting(self, process: Job, effect: StopStarting) -> None:
        """The executor forgets what no worker has begun."""
        process.draining = True
        process.queue.clear()

    def terminate(self, process: Job, effect: TerminateTasks) -> None:
        """The executor kills the tasks of its workers; each reports its try as lost."""
        for worker in self.world.workers_of(process):
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

    def next_try(self, process: Worker, effect: NextTry) -> Submission | None:
        """The first submission in the queue; None when its job is no more."""
        process.submission = process.job.queue.pop(0) if process.job.alive and process.job.queue else None
        return process.submission

    def park(self, process: Worker, effect: ParkTask) -> Parked:
        """A process that waits."""
        task = self.world.scenario.task(effect.submission.key.task_instance.task_id)
        return Parked(process.identity, self.world.identity(process), task, "simulated")

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """queued → running, if nobody was first."""
        process.lease_until = self.world.clock.seconds + LEASE_SECONDS
        result: Claim | Refused = self.write(lambda id: self.world.metastore.claim(effect.request, id))
        return result

    def start(self, process: Worker, effect: StartTask) -> None:
        """The task begins; how it will end is written in the scenario."""
        claim, scenario = effect.claim, self.world.scenario
        if process.lease_until <= self.world.clock.seconds:  # its deadline comes with its order to go: no code runs
            process.ending = TryOutcome(OutcomeKind.LOST, "its worker was held up beyond the lease")
            process.steps_left = 0
            return
        execution = self._running[process.identity.pid] = self.world.ledger.start(
            claim, process.identity.pid, self.world.clock.seconds, process.lease_until
        )
        if claim.max_tries - claim.key.try_number == scenario.task(claim.task_instance.task_id).retries:
            self.world.ledger.failures[claim.id] = 0  # its budget is whole: it was cleared, or never failed
        attempt = claim.key.try_number if scenario.fickle else self.world.ledger.failures[claim.id] + 1
        place = claim.task_instance.place
        kind, followed, rule = scenario.ending(place, claim.logical_date, attempt)
        pause = scenario.goes_on_after(place, claim.logical_date, attempt, claim.reschedules)
        goes_on = None if pause is None else self.world.clock.wall() + timedelta(seconds=pause)
        if goes_on is not None:
            kind, followed, rule, execution.gives_back = OutcomeKind.RESCHEDULED, None, None, True
        counted = kind is OutcomeKind.SUCCESS and self._is_counted(claim)
        leaves = scenario.leaves(place, claim.logical_date, attempt) if counted else {}
        process.claim = claim
        sensor = next((each for each in scenario.sensors if each.task_id == claim.task_instance.task_id), None)
        if sensor is not None:
            process.ending = outcome_of_look(
                self.world.metastore, sensor, claim, self.world.clock.wall(), scenario.logical_dates()[0]
            )
            execution.gives_back = process.ending.kind is OutcomeKind.RESCHEDULED
            process.steps_left = 0 if scenario.acts else self.world.choose_up_to("found running", 1)
            return
        process.ending = TryOutcome(kind, f"as written: {kind}", leaves, followed, resumes_at=goes_on, rule=rule)
        process.steps_left = self.world.choose_up_to("found running", scenario.found_running)
        if self.world.chooser.chance("a false report", self.world.faults.false_report):
            self._hint(process)

    def _is_counted(self, claim: Claim) -> bool:
        """Whether a mapped task is expanded over what it leaves."""
        mapped = self.world.scenario.dag.mapped
        return any(ref.task_id == claim.task_instance.task_id for task in mapped for ref in task.length_sources)

    def await_task(self, process: Worker, effect: AwaitTask) -> TryOutcome | StillRunning:
        """Still running as often as was chosen, then its ending."""
        if process.terminated:
            self.task_is_gone(process)
            return TryOutcome(OutcomeKind.LOST, "its task was killed: somebody pressed Ctrl-C twice")
        together = [each for each in self.world.workers_of(process.job) if each.identity.pid in self._running]
        if len(together) > 1 and self.world.disrupt("its zygote dies", self.world.faults.zygote):
            self._lose_together(together)
        if process.lost is not None:
            lost, process.lost = process.lost, None
            return lost
        execution = self._running.get(process.identity.pid)
        overdue = execution is not None and execution.lease_until <= self.world.clock.seconds
        if overdue and process.steps_left > 0 and not self.world.chooser.chance("it had ended in time", 0.5):
            self.task_is_gone(process)
            return TryOutcome(OutcomeKind.LOST, "its task was killed: its lease had not been renewed")
        if process.steps_left > 0 and not overdue:
            process.steps_left -= 1
            if self.world.chooser.chance("its executor says that it ended and died", self.world.faults.contradiction):
                self._hint(process)
                process.job.worker_lost = True
            return StillRunning()
        self.task_is_gone(process)
        assert process.ending is not None, "a task is awaited that was never started"
        return process.ending

    def stop_task(self, process: Worker, effect: StopTask) -> None:
        """The task may clean up for a while; then nothing of it runs."""
        process.steps_left = self.world.choose_up_to("found cleaning up", 1) if process.steps_left else 0
        process.ending = TryOutcome(OutcomeKind.LOST, "its task was ended, as a person asked")

    def _lose_together(self, workers: list[Worker]) -> None:
        """The tasks of a job's workers are gone at once, with the zygote that had started them."""
        for worker in workers:
            self.task_is_gone(worker)
            text = f"its zygote died with {len(workers)} tries"
            worker.lost, worker.due = TryOutcome(OutcomeKind.LOST_TOGETHER, text), 0.0

    def is_gone(self, process: Process) -> None:
        """What a worker, or a process that calls back, has started is no more."""
        if isinstance(process, Caller):
            self.callbacks.are_gone(process)
        elif isinstance(process, Worker):
            self.task_is_gone(process)

    def task_is_gone(self, process: Worker) -> None:
        """The task's process is no more."""
        execution = self._running.pop(process.identity.pid, None)
        if execution is not None:
            execution.over = True

    def renew(self, process: Worker, effect: RenewLease) -> Renewal:
        """The lease is renewed, or the try is somebody else's."""
        renewal: Renewal = self.write(
            lambda id: self.world.metastore.renew(effect.claim, effect.lease_seconds, effect.waiting)
        )
        execution = self._running.get(process.identity.pid)
        if renewal is not Renewal.GONE and execution is not None:
            self.world.ledger.renew(execution, self.world.clock.seconds + LEASE_SECONDS)
        return renewal

    def report(self, process: Worker, effect: ReportOutcome) -> Accepted | Refused:
        """The outcome, under the token."""
        result: Accepted | Refused = self.write(
            lambda id: self.world.metastore.report(effect.claim, effect.outcome, effect.after, id)
        )
        if isinstance(result, Accepted):
            lost = effect.outcome.kind in (OutcomeKind.LOST, OutcomeKind.LOST_TOGETHER)
            retried = result.state == TaskInstanceState.UP_FOR_RETRY and not lost
            self.world.ledger.accept(effect.claim, retried=retried)
        return result

    def notify_executor(self, process: Worker, effect: NotifyExecutor) -> None:
        """The hint reaches the job once, late, twice or never."""
        faults, chance = self.world.faults, self.world.chooser.chance
        if not chance("a report is lost", faults.lost_report):
            if chance("a report is late", faults.late_report):
                self.world.send_late(process.job.hints, effect.submission)
            else:
                self._hint(process)
            if chance("a report comes twice", faults.doubled_report):
                self.world.send_late(process.job.hints, effect.submission)
        process.submission = process.lost = None
        process.terminated = False

    def _mark_dead(self, job_id: int, write_id: str) -> None:
        self.world.metastore.mark_job_dead(job_id)

    def _hint(self, process: Worker) -> None:
        if process.submission is not None:
            process.job.hints.append(process.submission)
