"""A finished metastore in which much has happened, made by the planner's own steps and the metastore's own writes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from tailrace.effects.tries import Claim, Refused, Submission, TryOutcome
from tailrace.metastore.tables import task_instance
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DagSpec, Decides
from tests.conformance.worlds import LEASE, World, dag

FAILED, SUCCESS, LOST = OutcomeKind.FAILED, OutcomeKind.SUCCESS, OutcomeKind.LOST

#: way follows x and leaves out y; flaky needs its retry; low fails under what fails.
BRANCHING = replace(
    dag(
        "way>x way>y x>z bad>low flaky",
        way={"decides": Decides.BRANCH},
        z={"trigger_rule": TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS},
        flaky={"retries": 1, "pool": "small"},
    ),
    dag_id="branching",
    max_active_tasks=3,
)
#: p fails in the first run, so that the second one can never go on.
PAST = replace(dag("p>q", p={"depends_on_past": True}), dag_id="past", max_active_runs=1)
PLAIN = replace(dag("a>b"), dag_id="plain")

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
    Drive(world, PLAIN, world.backfill(PLAIN, days=2), {("a", 1): LOST, ("b", 1): FAILED}).go()
    Drive(world, PLAIN, world.backfill(PLAIN, days=2, reprocess="failed"), {}).go()
    assert {row.state for row in world.rows(task_instance)} == {
        *("success", "failed", "skipped", "upstream_failed", "none")
    }
