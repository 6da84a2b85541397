"""Deliberately broken variants, one for each hole of the 2016 thread. A simulator that misses them
proves nothing.

Each breaks one rule of the product and nothing else, so that what catches it is the check for that rule.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from msgspec import Struct

from tailrace.effects.requests import (
    ApplyPlan,
    ClaimTry,
    EndJob,
    Event,
    Loop,
    ReadSnapshot,
    ReapDeadJobs,
    Submit,
    Wait,
    ask,
)
from tailrace.effects.tries import Claim, Refused, Submission
from tailrace.jobs.backfill import BackfillEnd, Ending, backfill_loop
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.spec import DagSpec
from tailrace.model.states import (
    BACKFILL_CLOSED,
    FINISHED,
    OCCUPYING,
    BackfillState,
    DagRunState,
    JobState,
    TaskInstanceState,
)
from tailrace.model.transitions import Cause
from tailrace.planning.messages import Sentence
from tailrace.planning.plan import Blocker, Plan, RunVerdict, TaskTransition
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import RunSnapshot, Snapshot
from tailrace.simulator import (
    broken_callbacks,
    broken_claims,
    broken_history,
    broken_mapping,
    broken_past,
    broken_stops,
    broken_writes,
)
from tailrace.simulator.broken_writes import Replaced
from tailrace.simulator.performing import Performer
from tailrace.simulator.processes import Job, Worker
from tailrace.simulator.world_state import JobLoop, WorldState


class Canary(Struct, frozen=True):
    """A broken variant: which hole it is, and the parts it puts in place of the product's."""

    name: str
    hole: str
    job_loop: JobLoop = backfill_loop
    performer: type[Performer] = Performer
    replaced: Replaced | None = None
    lock_wait: float = 30.0
    worlds: str = "any"  # in which of WORLDS it is looked for

    def applied(self) -> AbstractContextManager[None]:
        """The product is broken in this way inside, and as it was again after."""
        return nullcontext() if self.replaced is None else self.replaced.applied()


def non_atomic_loop(job_id: int, dag: DagSpec, backfill_id: int) -> Loop[BackfillEnd]:
    """The backfill loop of 2016: looks at one task instance at a time, the last of the run first.

    It keeps ``to_run`` in memory and calls the run deadlocked when, in one pass, everything left in it was found not
    ready. Each look is a read of its own, so the looks of one pass are of different moments.
    """
    yield from ask(ReapDeadJobs())
    while True:
        snapshot = yield from ask(ReadSnapshot(job_id, dag, backfill_id))
        backfill = snapshot.backfill
        if backfill is None or backfill.state in BACKFILL_CLOSED:
            yield from ask(EndJob(job_id, JobState.SUCCESS))
            return BackfillEnd(Ending.JUDGED, BackfillState.SUCCESS if backfill is None else backfill.state)
        decided = plan(snapshot)
        frame = Plan(
            dag,
            job_id,
            activations=decided.activations,
            takeovers=decided.takeovers,
            run_verdicts=decided.run_verdicts,
            backfill_start=decided.backfill_start,
            backfill_verdict=decided.backfill_verdict,
            activation_limit=decided.activation_limit,
        )
        if frame.writes:
            yield from ask(ApplyPlan(frame))
        forgotten = tuple(_unclaimed(snapshot, decided))
        if forgotten:
            yield from ask(Submit(forgotten))
        for run in snapshot.runs:
            yield from _pass_over(job_id, dag, backfill_id, run)
        yield from ask(Wait(1.0))


def _pass_over(job_id: int, dag: DagSpec, backfill_id: int, run: RunSnapshot) -> Loop[None]:
    to_run = {ti.id for ti in run.task_instances if ti.state not in FINISHED}
    not_ready: set[int] = set()
    for ti in reversed(run.task_instances):
        if ti.id not in to_run:
            continue
        look = yield from ask(ReadSnapshot(job_id, dag, backfill_id))
        state = _state(look, ti.id)
        if state is None or state in FINISHED:
            to_run.discard(ti.id)  # seen to be done: dropped, although what waits for it was judged before
            yield from ask(Event((), text=Sentence(f"{ti.task_id} is {state}: done, off the list")))
            continue
        steps = tuple(step for step in plan(look).transitions if step.id == ti.id)
        if steps:
            applied = yield from ask(ApplyPlan(Plan(dag, job_id, transitions=steps)))
            if applied.queued:
                yield from ask(Submit(applied.queued))
        elif state not in OCCUPYING:
            not_ready.add(ti.id)
            yield from ask(Event((), text=Sentence(f"{ti.task_id} is {state}: not ready")))
    if not_ready and not_ready == to_run:
        yield from ask(Event((), text=Sentence("all that is left is not ready: deadlocked")))
        look = yield from ask(ReadSnapshot(job_id, dag, backfill_id))
        found = next((each for each in look.runs if each.id == run.id), None)
        if found is not None:
            evidence = {ti.id: ti.state for ti in found.task_instances}
            blocked = tuple(
                Blocker(TaskInstanceKey(dag.dag_id, found.run_id, ti.task_id, ti.map_index), ti.state, ())
                for ti in found.task_instances
                if ti.state not in FINISHED
            )
            verdict = RunVerdict(found.id, found.run_id, found.version, DagRunState.DEADLOCKED, evidence, blocked)
            yield from ask(ApplyPlan(Plan(dag, job_id, run_verdicts=(verdict,))))


def _unclaimed(snapshot: Snapshot, decided: Plan) -> Iterator[Submission]:
    for run in snapshot.runs:
        for ti in run.task_instances:
            key = TryKey(TaskInstanceKey(snapshot.dag.dag_id, run.run_id, ti.task_id, ti.map_index), ti.try_number)
            if key in decided.resubmit:
                yield Submission(ti.id, key)


def _state(snapshot: Snapshot, id: int) -> TaskInstanceState | None:
    return next((ti.state for run in snapshot.runs for ti in run.task_instances if ti.id == id), None)


class UnguardedClaim(Performer):
    """A worker that does not look whether the try is running already: whoever asks gets it."""

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """A refused claim is forced."""
        result = super().claim(process, effect)
        if isinstance(result, Claim):
            return result
        self._put_back(effect.request.id, effect.request.try_number)
        return super().claim(process, effect)

    def _put_back(self, id: int, try_number: int) -> None:
        with sqlite3.connect(self.world.file) as connection:
            connection.execute(
                "UPDATE task_instance SET state = 'queued' WHERE id = ? AND try_number = ? AND state = 'running'",
                (id, try_number),
            )
        connection.close()


class NewWriteId(Performer):
    """A driver that repeats a write whose acknowledgement was lost under a new id: it is done twice, or refused by
    itself.
    """

    def write(self, write: Callable[[str], Any]) -> Any:
        """What the repetition returns."""
        before = self.world.broken
        result = write(self.world.write_id())
        return result if self.world.broken == before else write(self.world.write_id())


class OpenTransaction(Performer):
    """A refresh that takes the row's lock and returns early, "already running", without ending its transaction."""

    def __init__(self, world: WorldState) -> None:
        super().__init__(world)
        self._held: sqlite3.Connection | None = None

    def claim(self, process: Worker, effect: ClaimTry) -> Claim | Refused:
        """A refused claim leaves its lock behind."""
        result = super().claim(process, effect)
        if isinstance(result, Refused) and self._held is None:
            self._held = sqlite3.connect(self.world.file, isolation_level=None)
            self._held.execute("BEGIN IMMEDIATE")
        return result

    def close(self) -> None:
        """Let go, so that what happened can be read."""
        if self._held is not None:
            self._held.close()


class TrustingEvents(Performer):
    """A loop that believes its executor's events: a try said to have ended, whose row says otherwise, is failed."""

    def wait(self, process: Job, effect: Wait) -> Any:
        """Reconcile the row with the event, as Airflow does, then go on."""
        for submission in process.hints if self.world.stuck is None else ():
            self._fail(process, submission.id, submission.key.task_instance)
        return super().wait(process, effect)

    def _fail(self, process: Job, id: int, key: TaskInstanceKey) -> None:
        snapshot = self.world.metastore.snapshot(process.id, self.world.scenario.dag, process.backfill_id)
        for run in snapshot.runs:
            for ti in run.task_instances:
                if ti.id == id and ti.state is TaskInstanceState.RUNNING:
                    step = TaskTransition(
                        id,
                        run.id,
                        key,
                        ti.state,
                        ti.try_number,
                        TaskInstanceState.FAILED,
                        ti.try_number,
                        Cause.LOST,
                        "the executor reported that it finished although its state is running",
                        token=ti.token,
                    )
                    self.world.metastore.apply(
                        Plan(self.world.scenario.dag, process.id, transitions=(step,)), self.world.write_id()
                    )


CANARIES: Mapping[str, Canary] = {
    canary.name: canary
    for canary in (
        Canary("non-atomic-reads", "task instances are read one by one while workers change them", non_atomic_loop),
        Canary("unguarded-claim", "nobody checks that the try is already running", performer=UnguardedClaim),
        Canary(
            "open-transaction",
            "a refresh takes a lock and never ends its transaction",
            performer=OpenTransaction,
            lock_wait=0.05,
        ),
        Canary("trusting-events", "the executor's event is believed over the metastore", performer=TrustingEvents),
        Canary(
            "new-write-id", "a write whose acknowledgement was lost is repeated under a new id", performer=NewWriteId
        ),
        Canary(
            "swap-without-try-number", "whatever try is queued is claimed", performer=broken_writes.SwapWithoutTryNumber
        ),
        Canary("report-by-state", "a report names no try and no token", performer=broken_writes.ReportByState),
        Canary("renewed-by-anyone", "a renewal names no try and no token", performer=broken_writes.RenewedByAnyone),
        Canary(
            "resubmitted-anew", "a try nobody claimed is offered as a new one", performer=broken_writes.ResubmittedAnew
        ),
        Canary("claim-without-token", "a claim takes no token", replaced=broken_writes.claim_without_token),
        Canary(
            "resumed-with-old-token",
            "a rescheduled try is resumed with the old token",
            replaced=broken_claims.resumed_with_old_token,
            worlds="rescheduled",
        ),
        Canary("forgotten-claim", "a repeated claim is refused by itself", replaced=broken_writes.forgotten_claim),
        Canary(
            "submitted-before-commit",
            "tries are handed to workers before they are queued",
            performer=broken_writes.SubmittedBeforeCommit,
        ),
        Canary("created-in-two", "a backfill is created in two transactions", performer=broken_writes.CreatedInTwo),
        Canary("forgets-conf", "a run that is done again loses its conf", performer=broken_writes.ForgetsConf),
        Canary("verdict-unchecked", "evidence is not read again", replaced=broken_writes.verdict_unchecked),
        Canary(
            "cleared-without-stopping",
            "a running try is cleared behind its worker's back",
            performer=broken_writes.ClearedWithoutStopping,
        ),
        Canary("no-capacity-guard", "limits are not counted again", replaced=broken_writes.no_capacity_guard),
        Canary("window-without-recount", "runs are not counted again", replaced=broken_writes.window_without_recount),
        Canary("trusting-owner", "an owner writes without looking", replaced=broken_writes.trusting_owner),
        Canary("lost-spends-retry", "a lost try spends a retry", replaced=broken_writes.lost_spends_retry),
        Canary(
            "all-spend-retry",
            "tries that are lost together spend retries",
            replaced=broken_writes.all_spend_retry,
            worlds="zygotes",
        ),
        Canary("reclaimed-early", "a lease is over before it ran out", replaced=broken_writes.reclaimed_early),
        Canary(
            "schedule-point",
            "depends_on_past looks at the schedule point before, or at nothing",
            replaced=broken_past.schedule_point,
            worlds="holes",
        ),
        Canary(
            "hole-unseen",
            "a start does not see the run that was inserted before its own",
            replaced=broken_past.hole_unseen,
            worlds="holes",
        ),
        Canary(
            "expanded-twice",
            "an expansion does not look again at what it was decided from",
            replaced=broken_mapping.expanded_twice,
            worlds="mapped",
        ),
        Canary(
            "forgotten-index",
            "a mapped task lacks its last instance",
            replaced=broken_mapping.forgotten_index,
            worlds="mapped",
        ),
        Canary(
            "expanded-for-ever",
            "a mapped task that was cleared is not expanded anew",
            replaced=broken_mapping.expanded_for_ever,
            worlds="mapped",
        ),
        Canary(
            "any-index",
            "in a mapped group one index waits for another",
            replaced=broken_mapping.any_index,
            worlds="mapped",
        ),
        Canary(
            "half-a-group",
            "a mapped group is expanded task by task",
            replaced=broken_mapping.half_a_group,
            worlds="mapped",
        ),
        Canary(
            "skip-overtakes",
            "a skip does not wait for its date before",
            replaced=broken_past.skip_overtakes,
            worlds="holes",
        ),
        Canary(
            "goes-on-when-stopped",
            "what was decided before a run was stopped goes on after it",
            replaced=broken_stops.goes_on,
            worlds="stopped",
        ),
        Canary(
            "stopped-by-the-past",
            "a run fails fast for what had failed before it was opened again",
            replaced=broken_stops.by_the_past,
            worlds="stopped",
        ),
        Canary(
            "called-by-lost-claim",
            "a claim that was lost has callbacks called",
            replaced=broken_callbacks.called_by_lost_claim,
            worlds="calling",
        ),
        Canary(
            "called-without-lease",
            "two jobs call the callbacks of one event at once",
            replaced=broken_callbacks.called_without_lease,
            worlds="calling",
        ),
        Canary(
            "forgotten-event",
            "a try that ends has no event",
            replaced=broken_callbacks.forgotten_event,
            worlds="calling",
        ),
        Canary("chain-left", "a row of history is chained behind nothing", replaced=broken_history.chain_left),
        Canary("column-unsaid", "a step sets a column without a word", replaced=broken_history.column_unsaid),
        Canary("version-unsaid", "a run's version grows without a word", replaced=broken_history.version_unsaid),
    )
}
