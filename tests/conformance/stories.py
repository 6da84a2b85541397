"""A finished metastore in which much has happened, made by the planner's own steps and the metastore's own writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from tailrace.effects.events import EventClaim, EventEnd
from tailrace.effects.tries import Claim, Refused, Submission, TryOutcome
from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.commands.secrets import NewSecret
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.store import Done
from tailrace.model.callbacks import EventState
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import BranchKind, DagSpec
from tailrace.model.states import JobKind, JobState, TaskInstanceState
from tailrace.planning.cancelling import plan_cancel
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandScope
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.plan import CapacityWait, WaitChanges
from tailrace.planning.schedules import ScheduleFacts
from tailrace.planning.scheduling import due_runs
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tailrace.secrets.names import SecretKind
from tests.conformance.worlds import DAY, FIRST, LEASE, World, dag

FAILED, SUCCESS, LOST = OutcomeKind.FAILED, OutcomeKind.SUCCESS, OutcomeKind.LOST

#: way follows x and leaves out y; flaky needs its retry; low fails under what fails.
BRANCHING = replace(
    dag(
        "way>x way>y x>z bad>low flaky",
        way={"decides": BranchKind.BRANCH},
        z={"trigger_rule": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS},
        flaky={"retries": 1, "pool": "small", "calls": ("on_retry_callback", "on_success_callback")},
    ),
    dag_id="branching",
    max_active_tasks=3,
    calls=("on_backfill_end", "on_failure_callback"),
)
#: p fails in the first run, so that the second one can never go on.
PAST = replace(dag("p>q", p={"depends_on_past": True}), dag_id="past", max_active_runs=1)
PLAIN = replace(dag("a>b"), dag_id="plain")

#: What is under way when nobody goes on.
DOING = replace(
    dag("r>s>u t v y", t={"pool": "small"}, v={"pool": "small"}, y={"retries": 1}), dag_id="doing", max_active_runs=1
)
#: Needs more of a pool than the pool has: its run is deadlocked.
GREEDY = replace(dag("w", w={"pool": "small", "pool_slots": 3}), dag_id="greedy")

Ends = Mapping[tuple[str, int], OutcomeKind]


@dataclass(slots=True)
class Drive:
    """Drives one backfill to its verdict; ``ends`` says how a task's try ends, success where it says nothing."""

    world: World
    spec: DagSpec
    backfill: int
    ends: Ends
    lost: dict[int, Claim] = field(default_factory=dict)

    def go(self) -> None:
        """Step by step; whenever nothing can be done, time passes."""
        world, job = self.world, self.world.job(self.spec, self.backfill)
        for _ in range(60):
            applied = world.step(self.spec, job, self.backfill)
            if applied.backfill_judged:
                return
            for submission in applied.queued:
                self._run(submission)
            if not applied.queued:
                world.clock.advance(400)
        raise AssertionError("the backfill never ended")

    def _run(self, submission: Submission) -> None:
        world, ti = self.world, submission.key.task_instance
        claim = world.running(submission.id, submission.key.try_number)
        kind = self.ends.get((ti.task_id, submission.key.try_number), SUCCESS)
        if kind is LOST:
            self.lost[claim.id] = claim
            world.clock.advance(LEASE + 1)
            return
        if claim.id in self.lost:
            self._report_late(self.lost.pop(claim.id))
        world.report(self.spec, claim, kind, followed=("x",) if ti.task_id == "way" else None)

    def _report_late(self, claim: Claim) -> None:
        outcome, after = TryOutcome(SUCCESS), self.world.after(self.spec, claim, SUCCESS)
        assert isinstance(self.world.store.report(claim, outcome, after, self.world.write_id()), Refused)


def eventful(world: World) -> None:
    """Retries, a lost try and its late result, a branch, failures, a deadlock, reprocessing, pools that change."""
    world.pool("small", 3, None)
    world.pool("gone", 1, "not for long")
    world.store.delete_pool("gone", world.write_id())
    ends = {("flaky", 1): FAILED, ("bad", 1): FAILED}
    Drive(world, BRANCHING, world.backfill(BRANCHING, days=3, max_active_runs=2), ends).go()
    world.pool("small", 1, None)
    Drive(world, PAST, world.backfill(PAST, days=2), {("p", 1): FAILED}).go()
    call_back(world)
    Drive(world, PLAIN, world.backfill(PLAIN, days=2), {("a", 1): LOST, ("b", 1): FAILED}).go()
    Drive(world, PLAIN, world.backfill(PLAIN, days=2, reprocess="failed"), {}).go()
    assert {row.state for row in world.rows(task_instance)} == {
        *("success", "failed", "skipped", "upstream_failed", "none")
    }


def call_back(world: World) -> None:
    """The callbacks of one event have been called, those of another have failed, those of a third are being called."""
    for end in (EventEnd(EventState.CALLED), EventEnd(EventState.FAILED, "notify: ValueError: no"), None):
        claim = world.store.claim_event({"branching"}, "process 1 on here", LEASE, world.write_id())
        assert isinstance(claim, EventClaim)
        assert end is None or world.store.end_event(claim, end)


def _secrets(world: World) -> None:
    """Variables and a Connection are set, one of them twice, once by a task; one is deleted."""
    variable, connection = SecretKind.VARIABLE, SecretKind.CONNECTION
    key = TaskInstanceKey("plain", "a run", "a")
    world.store.write_secrets([NewSecret(variable, "gone", "e0"), NewSecret(variable, "kept", "e1")], world.write_id())
    world.store.write_secrets([NewSecret(variable, "gone", None)], world.write_id())
    world.store.write_secrets([NewSecret(variable, "kept", "e2", "what for")], world.write_id(), key)
    world.store.write_secrets([NewSecret(connection, "warehouse", "e3", "of facts")], world.write_id())


def busy(world: World) -> None:
    """An eventful metastore in the middle of things: every table has rows, and hardly a column is empty in all of them.

    Runs deadlocked by a pool, marked, cancelled, triggered, due and waiting to be done again with a conf; tries that
    are queued, running, being stopped and up for retry; somebody who waits for room; and old rows that were cleaned.
    """
    older = replace(PLAIN, dag_id="older")
    Drive(world, older, world.backfill(older, days=2), {}).go()
    eventful(world)
    world.clock.advance(86400)
    while world.store.clean_some(Cleaning(world.clock.now, "older"), world.write_id()):
        pass
    world.pool("small", 3, None)
    _secrets(world)
    greedy = world.backfill(GREEDY)
    world.pool("small", 1, None)
    Drive(world, GREEDY, greedy, {}).go()
    world.backfill(PLAIN, days=2, reprocess="all", conf='{"k":1}', pool="small", disable_retry=True)
    _marked_and_cancelled(world)
    doing = world.backfill(DOING, days=2, conf='{"k":2}', max_active_runs=1, detached=True, stop_on_failure=True)
    job = world.job(DOING, doing)
    world.step(DOING, job, doing)
    [first, *_] = [row.id for row in world.rows(dag_run) if row.dag_id == "doing"]
    ids = world.by_task(first)
    world.step(DOING, job, doing)
    world.report(DOING, world.running(ids["r"]), xcoms={"return_value": {"rows": 12}})
    world.report(DOING, world.running(ids["y"]), FAILED)
    world.running(ids["t"])
    facts = world.store.command_facts(CommandScope("doing", first=FIRST))
    assert isinstance(world.do(plan_clear(facts, ClearRequest(("t",)))), Done)  # it is being stopped
    world.step(DOING, job, doing)
    world.running(ids["s"])
    waiting = WaitChanges(begun=(CapacityWait("pool:small", 0.5),))
    world.apply(DOING, job, lane=doing, waits=waiting)
    scheduled = replace(PLAIN, dag_id="scheduled", catchup=True)
    due = due_runs(scheduled, ScheduleFacts(), FIRST + 2 * DAY)
    scheduler = world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, LEASE, world.write_id())
    ended = world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, LEASE, world.write_id())
    world.store.end_job(ended, JobState.SUCCESS)
    assert due is not None and world.store.create_due_runs(due, scheduler, world.write_id()) == 2
    request = TriggerRequest(FIRST + 5 * DAY, None, '{"k":3}')
    wanted = plan_trigger(scheduled, request, world.clock.now, None)
    assert isinstance(world.store.trigger(scheduled, wanted, world.write_id()), int)
    world.store.store_loaded([replace(scheduled, file="/dags/a.py", code_hash="1")], world.write_id())
    found = world.store.audit()
    assert found.violations == (), found.violations


def _marked_and_cancelled(world: World) -> None:
    marked = replace(PLAIN, dag_id="marked")
    Drive(world, marked, world.backfill(marked), {("a", 1): FAILED}).go()
    facts = world.store.command_facts(CommandScope("marked", first=FIRST))
    mark = MarkRequest(TaskInstanceState.SUCCESS, ("a",), downstream=True)
    assert isinstance(world.do(plan_mark_tasks(facts, mark)), Done)
    cancelled = replace(PLAIN, dag_id="cancelled")
    id = world.backfill(cancelled, days=2)
    world.step(cancelled, world.job(cancelled, id), id)
    assert isinstance(world.do(plan_cancel(world.about(backfill_id=id))), Done)
