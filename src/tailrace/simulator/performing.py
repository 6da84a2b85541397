"""Performs effects in a simulated world: the metastore is real, all around it is not. Canaries override parts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tailrace.effects.asks import (
    Accepted,
    AnswerTask,
    ApplyPlan,
    AwaitTask,
    BuryDeadJobs,
    ClaimTry,
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
    ReadSnapshot,
    ReadXCom,
    RenewLease,
    ReportOutcome,
    StartTask,
    StillRunning,
    StopStarting,
    Submit,
    TellExecutor,
    TerminateTasks,
    Wait,
    Woken,
)
from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, Refused, Submission, TryOutcome
from tailrace.planning.snapshot import Snapshot
from tailrace.simulator.actors import Actor, Job, Worker

if TYPE_CHECKING:
    from tailrace.simulator.world import World

_LEASE_SECONDS = 20.0


class Performer:
    """The product's world: every effect answered truthfully, faults of the world included."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._perform: dict[type, Callable[[Any, Any], Any]] = {
            ReadSnapshot: self.read_snapshot,
            ApplyPlan: self.apply,
            Submit: self.submit,
            FindLost: self.find_lost,
            BuryDeadJobs: self.bury,
            Heartbeat: lambda actor, effect: world.metastore.heartbeat(effect.job_id, _LEASE_SECONDS),
            EndJob: lambda actor, effect: world.metastore.end_job(effect.job_id, effect.state),
            Wait: self.wait,
            NextTry: self.next_try,
            ParkTask: self.park,
            ClaimTry: self.claim,
            StartTask: self.start,
            AwaitTask: self.await_task,
            ReadXCom: lambda actor, effect: world.metastore.read_xcom(effect.query),
            RenewLease: lambda actor, effect: world.metastore.renew(effect.claim, effect.lease_seconds),
            ReportOutcome: self.report,
            TellExecutor: self.tell_executor,
        }

    def close(self) -> None:
        """Give back what a canary holds; the product holds nothing."""

    def perform(self, actor: Actor, effect: Effect[Any]) -> Any:
        """The answer to one effect of one actor."""
        if isinstance(effect, (Note, StopStarting, TerminateTasks, DropTask, KillTask, AnswerTask)):
            return None
        return self._perform[type(effect)](actor, effect)

    def words(self, effect: Effect[Any], answer: Any) -> str:
        """What an effect saw or did, for the story."""
        if isinstance(answer, Snapshot):
            states = (f"{ti.task_id} {ti.state}" for run in answer.runs for ti in run.task_instances)
            return ", ".join(states) or f"{len(answer.candidates)} runs wait"
        if isinstance(answer, Applied):
            steps = [f"{step.key.task_id} {step.before} → {step.after}" for step in answer.won]
            steps += [f"run {verdict.run_id} {verdict.state}" for verdict in answer.judged]
            steps += [f"{len(answer.activated)} runs activated"] if answer.activated else []
            steps += [f"lost {step.key.task_id} → {step.after}" for step in answer.lost]
            return ", ".join([*steps, *answer.stale]) or "nothing landed"
        if isinstance(answer, Claim):
            return f"{answer.task_instance.task_id} try {answer.key.try_number}, token {answer.token}"
        if isinstance(answer, Refused):
            return f"refused: {answer.found}"
        if isinstance(answer, Accepted):
            return answer.state
        if isinstance(answer, TryOutcome):
            return answer.kind
        return ""

    # --- jobs ----------------------------------------------------------------------------------------------

    def read_snapshot(self, actor: Job, effect: ReadSnapshot) -> Snapshot:
        """One read transaction."""
        return self.world.metastore.snapshot(effect.job_id, effect.dag, effect.backfill_id)

    def apply(self, actor: Job, effect: ApplyPlan) -> Applied:
        """One write; when its answer is lost it is repeated under the same id."""
        applied: Applied = self._acknowledged(lambda id: self.world.metastore.apply(effect.plan, id))
        return applied

    def _acknowledged(self, write: Callable[[str], Any]) -> Any:
        id = self.world.write_id()
        answer = write(id)
        if self.world.chooser.chance("the answer of a commit is lost", self.world.faults.unacknowledged):
            return write(id)
        return answer

    def submit(self, actor: Job, effect: Submit) -> None:
        """Each submission arrives, or late, or twice, or never."""
        world = self.world
        for submission in effect.submissions:
            if world.chooser.chance("a submission is lost", world.faults.lost_submission):
                continue
            world.queue.append(submission)
            if world.chooser.chance("a submission comes twice", world.faults.doubled_submission):
                world.late.append(submission)

    def find_lost(self, actor: Job, effect: FindLost) -> frozenset[int]:
        """Those whose worker the world knows to be dead."""
        return frozenset(id for id, holder in effect.held if holder.worker.pid in self.world.dead)

    def bury(self, actor: Job, effect: BuryDeadJobs) -> int:
        """Bury the jobs whose process is gone."""
        running = self.world.metastore.jobs_running_on("simulated")
        dead = [job_id for job_id, identity in running if identity.pid in self.world.dead]
        for job_id in dead:
            self.world.metastore.bury_job(job_id)
        return len(dead)

    def wait(self, actor: Job, effect: Wait) -> Woken:
        """What the executor says by now."""
        if effect.seconds > 0 and not actor.hints and not actor.worker_lost:
            actor.idle_polls -= 1
            # While others have something to do, waiting costs little: else a slow draw would cost them their lease.
            self.world.clock.advance(effect.seconds if self.world.all_wait() else 0.01)
        woken = Woken(finished=len(actor.hints), worker_lost=actor.worker_lost)
        actor.hints.clear()
        actor.worker_lost = False
        return woken

    # --- workers -------------------------------------------------------------------------------------------

    def next_try(self, actor: Worker, effect: NextTry) -> Submission:
        """The first submission in the queue."""
        actor.submission = self.world.queue.pop(0)
        return actor.submission

    def park(self, actor: Worker, effect: ParkTask) -> Parked:
        """A process that waits."""
        task = self.world.scenario.dag.by_id[effect.submission.key.task_instance.task_id]
        return Parked(actor.identity, self.world.identity(), task, "simulated")

    def claim(self, actor: Worker, effect: ClaimTry) -> Claim | Refused:
        """queued → running, if nobody was first."""
        answer: Claim | Refused = self._acknowledged(lambda id: self.world.metastore.claim(effect.request, id))
        return answer

    def start(self, actor: Worker, effect: StartTask) -> None:
        """The task begins; how it will end is written in the scenario."""
        claim = effect.claim
        attempt = claim.key.try_number - claim.lost_tries
        date = claim.logical_date
        kind, followed = self.world.scenario.ending(claim.task_instance.task_id, date, attempt)
        actor.claim = claim
        actor.ending = TryOutcome(kind, f"as written: {kind}", followed=followed)
        most = self.world.scenario.found_running
        found_running = [f"found running {times} times" for times in range(most + 1)]
        actor.steps_left = self.world.chooser.pick(found_running) if most else 0
        self._false_report(actor)

    def _false_report(self, actor: Worker) -> None:
        if self.world.chooser.chance("a false report", self.world.faults.false_report):
            self._hint(actor)

    def await_task(self, actor: Worker, effect: AwaitTask) -> TryOutcome | StillRunning:
        """Still running as often as was chosen, then its ending."""
        if actor.steps_left > 0:
            actor.steps_left -= 1
            return StillRunning()
        ending: TryOutcome = actor.ending
        return ending

    def report(self, actor: Worker, effect: ReportOutcome) -> Accepted | Refused:
        """The outcome, under the token."""
        answer: Accepted | Refused = self._acknowledged(
            lambda id: self.world.metastore.report(effect.claim, effect.outcome, effect.after, id)
        )
        return answer

    def tell_executor(self, actor: Worker, effect: TellExecutor) -> None:
        """The hint reaches the job once, twice or never."""
        world = self.world
        if world.chooser.chance("a report is lost", world.faults.lost_report):
            return
        self._hint(actor)
        if world.chooser.chance("a report comes twice", world.faults.doubled_report):
            self._hint(actor)

    def _hint(self, actor: Worker) -> None:
        for job in self.world.actors:
            if isinstance(job, Job) and actor.submission is not None:
                job.hints.append(actor.submission)
