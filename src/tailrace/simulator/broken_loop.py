"""The backfill loop of 2016, which looked at one task instance at a time: see ``canaries``."""

from collections.abc import Iterator

from tailrace.effects.requests import (
    ApplyPlan,
    EndJob,
    Event,
    Loop,
    ReadSnapshot,
    ReapDeadJobs,
    Submit,
    Wait,
    ask,
)
from tailrace.effects.tries import Submission
from tailrace.jobs.backfill import BackfillEnd, Ending
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
from tailrace.planning.messages import Sentence
from tailrace.planning.plan import Blocker, Plan, RunVerdict
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import RunSnapshot, Snapshot


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
