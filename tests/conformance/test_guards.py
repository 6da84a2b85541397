"""The guards, over SQLite and a real PostgreSQL: one winner, no stale write, no limit exceeded, nothing half-made."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tailrace.audit.checks import audit
from tailrace.effects.asks import Accepted
from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, ClaimRequest, RefusalReason, Refused, TryOutcome, XComQuery
from tailrace.metastore.store import Metastore
from tailrace.model.intervals import DataInterval
from tailrace.model.keys import ProcessIdentity
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec, Schedule, ScheduleKind, TaskSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.backfills import BackfillRequest
from tailrace.planning.creation import plan_backfill
from tailrace.planning.plan import Plan, RunVerdict
from tailrace.planning.planner import plan
from tailrace.planning.retries import AfterTry
from tailrace.planning.snapshot import Snapshot

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WORKER = ProcessIdentity("host", "boot", 11, 1)
TASK = ProcessIdentity("host", "boot", 12, 2)
SUCCESS = AfterTry(TaskInstanceState.SUCCESS, Cause.OUTCOME, "fine", 1, 0)


@dataclass
class Place:
    """A metastore with a backfill of one DAG in it, and a job that drives it."""

    url: str
    dag: DagSpec
    dates: int = 1
    metastore: Metastore = field(init=False)
    backfill_id: int = field(init=False)
    job_id: int = field(init=False)
    ids: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.metastore = Metastore.open(self.url)
        self.metastore.set_pool("one", 1, "", self.id())
        self.create()
        self.job_id = self.metastore.start_job("backfill", WORKER, self.dag.dag_id, self.backfill_id, 20.0, self.id())

    def id(self) -> str:
        return f"write-{next(self.ids)}"

    def create(self, **options: Any) -> None:
        intervals = [DataInterval(FIRST + n * DAY, FIRST + (n + 1) * DAY) for n in range(self.dates)]
        request = BackfillRequest(self.dag.dag_id, intervals[0].start, intervals[-1].start, **options)
        facts = self.metastore.backfill_facts(self.dag, request, intervals)
        created = self.metastore.create_backfill(
            self.dag, plan_backfill(self.dag, request, intervals, facts), "typed", self.id()
        )
        assert isinstance(created, int)
        self.backfill_id = created

    def look(self) -> Snapshot:
        return self.metastore.snapshot(self.job_id, self.dag, self.backfill_id)

    def step(self) -> Applied:
        return self.metastore.apply(plan(self.look()), self.id())

    def queue(self) -> Applied:
        self.step()  # activates
        return self.step()  # queues what is ready

    def states(self) -> dict[str, str]:
        return {ti.task_id: str(ti.state) for run in self.look().runs for ti in run.task_instances}

    def request(self, applied: Applied, place: int = 0) -> ClaimRequest:
        submission = applied.queued[place]
        return ClaimRequest(submission.id, submission.key.try_number, WORKER, TASK, "code", 20.0)

    def claim(self, applied: Applied, place: int = 0) -> Claim:
        claimed = self.metastore.claim(self.request(applied, place), self.id())
        assert isinstance(claimed, Claim)
        return claimed


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        f"sqlite:///{tmp_path}/metastore.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )


@pytest.fixture
def chain(url: str) -> Iterator[Place]:
    tasks = (TaskSpec("a", downstream=("b",), retries=1), TaskSpec("b", upstream=("a",)))
    place = Place(url, DagSpec("chain", tasks, schedule=Schedule(ScheduleKind.CRON, "0 0 * * *")))
    yield place
    assert audit(place.metastore.audit_records()) == ()
    place.metastore.close()


@pytest.fixture
def wide(url: str) -> Iterator[Place]:
    tasks = tuple(TaskSpec(name, pool="one") for name in "abc")
    place = Place(url, DagSpec("wide", tasks, schedule=Schedule(ScheduleKind.CRON, "0 0 * * *"), max_active_runs=2), 4)
    yield place
    assert audit(place.metastore.audit_records()) == ()
    place.metastore.close()


def test_task_instances_come_with_their_run(chain: Place) -> None:
    assert chain.look().runs == ()
    applied = chain.step()
    assert len(applied.activated) == 1
    assert chain.states() == {"a": "none", "b": "none"}


def test_a_try_is_claimed_once(chain: Place) -> None:
    applied = chain.queue()
    first = chain.claim(applied)
    second = chain.metastore.claim(chain.request(applied), chain.id())
    assert first.token == 1
    assert isinstance(second, Refused)
    assert second.reason is RefusalReason.NOT_QUEUED


def test_another_try_number_is_refused(chain: Place) -> None:
    applied = chain.queue()
    refused = chain.metastore.claim(replace(chain.request(applied), try_number=2), chain.id())
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.OTHER_TRY


def test_a_claim_repeated_under_its_id_is_the_claim(chain: Place) -> None:
    applied = chain.queue()
    id = chain.id()
    assert chain.metastore.claim(chain.request(applied), id) == chain.metastore.claim(chain.request(applied), id)


def test_an_outcome_lands_with_its_xcoms_and_only_under_its_token(chain: Place) -> None:
    claim = chain.claim(chain.queue())
    outcome = TryOutcome(OutcomeKind.SUCCESS, xcoms={"return_value": {"rows": 3}})
    stale = chain.metastore.report(replace(claim, token=claim.token + 1), outcome, SUCCESS, chain.id())
    assert isinstance(stale, Refused)
    ti = claim.task_instance
    query = XComQuery(ti.dag_id, ti.run_id, ("a",), "return_value")
    assert chain.metastore.read_xcom(query) == ()
    assert chain.metastore.report(claim, outcome, SUCCESS, chain.id()) == Accepted("success")
    assert chain.metastore.read_xcom(query) == (("a", -1, {"rows": 3}),)


def test_a_late_result_is_refused_and_recorded_as_refused(chain: Place) -> None:
    claim = chain.claim(chain.queue())
    lost = replace(chain.look(), lost=frozenset({claim.id}))
    chain.metastore.apply(plan(lost), chain.id())
    late = chain.metastore.report(claim, TryOutcome(OutcomeKind.SUCCESS), SUCCESS, chain.id())
    assert isinstance(late, Refused)
    assert chain.states()["a"] == "up_for_retry"
    assert [row.after for row in chain.metastore.audit_records().history if row.kind == "refused"] == ["success"]


def test_a_lease_is_renewed_only_by_its_holder(chain: Place) -> None:
    claim = chain.claim(chain.queue())
    assert chain.metastore.renew(claim, 20.0)
    assert not chain.metastore.renew(replace(claim, token=9), 20.0)


def test_a_plan_repeated_under_its_id_answers_the_same_and_changes_nothing(chain: Place) -> None:
    chain.step()
    decided, id = plan(chain.look()), chain.id()
    first = chain.metastore.apply(decided, id)
    rows = len(chain.metastore.audit_records().history)
    assert chain.metastore.apply(decided, id) == first
    assert len(chain.metastore.audit_records().history) == rows


def test_what_was_decided_from_an_old_state_is_lost(chain: Place) -> None:
    chain.step()
    decided = plan(chain.look())
    chain.metastore.apply(decided, chain.id())
    again = chain.metastore.apply(decided, chain.id())
    assert (again.won, [step.key.task_id for step in again.lost]) == ((), ["a"])


def test_two_planners_with_one_snapshot_cannot_both_take_the_last_slot(wide: Place) -> None:
    wide.step()
    seen = wide.look()
    other = Metastore.open(wide.url)
    step = plan(seen).transitions[0]
    rival = next(ti for run in seen.runs for ti in run.task_instances if ti.id != step.id)
    key = replace(step.key, task_id=rival.task_id)
    mine = wide.metastore.apply(Plan(wide.dag, wide.job_id, transitions=(step,)), wide.id())
    theirs = other.apply(Plan(wide.dag, wide.job_id, transitions=(replace(step, id=rival.id, key=key),)), wide.id())
    other.close()
    assert (len(mine.won), len(theirs.won), len(theirs.deferred)) == (1, 0, 1)


def test_the_window_is_recounted(wide: Place) -> None:
    decided = plan(wide.look())
    assert len(decided.activations) == 2
    first = wide.metastore.apply(decided, wide.id())
    third = replace(decided, activations=plan(wide.look()).activations)
    assert len(first.activated) == 2
    assert third.activations == ()
    forced = wide.look().candidates[0]
    greedy = replace(decided, activations=(replace(decided.activations[0], id=forced.id, run_id=forced.run_id),))
    refused = wide.metastore.apply(greedy, wide.id())
    assert refused.activated == ()
    assert "the limit is 2" in refused.stale[0]


def test_a_verdict_whose_evidence_changed_is_stale(chain: Place) -> None:
    """The race of 2016, if it could be decided: the write itself would refuse it."""
    claim = chain.claim(chain.queue())
    (run,) = chain.look().runs
    seen = {ti.id: ti.state for ti in run.task_instances}
    verdict = RunVerdict(run.id, run.run_id, run.version, DagRunState.DEADLOCKED, seen)
    chain.metastore.report(claim, TryOutcome(OutcomeKind.SUCCESS), SUCCESS, chain.id())
    applied = chain.metastore.apply(Plan(chain.dag, chain.job_id, run_verdicts=(verdict,)), chain.id())
    assert applied.judged == ()
    assert "expected running, found success" in applied.stale[0]


def test_a_run_is_judged_and_the_backfill_after_it(chain: Place) -> None:
    applied = chain.queue()
    for _ in range(2):
        claim = chain.claim(applied)
        chain.metastore.report(claim, TryOutcome(OutcomeKind.SUCCESS), SUCCESS, chain.id())
        applied = chain.step()
    assert [verdict.state for verdict in applied.judged] == [DagRunState.SUCCESS]
    assert chain.step().backfill_judged
    assert chain.metastore.backfill_summary(chain.backfill_id).state == BackfillState.SUCCESS


def test_the_same_command_continues_and_new_makes_another(chain: Place) -> None:
    first = chain.backfill_id
    chain.create()
    assert chain.backfill_id == first
    chain.create(new=True)
    assert chain.backfill_id != first


def test_a_creation_from_old_facts_is_stale_and_writes_nothing(chain: Place) -> None:
    dag = replace(chain.dag, dag_id="other")
    interval = DataInterval(FIRST, FIRST + DAY)
    request = BackfillRequest("other", FIRST, FIRST)
    creation = plan_backfill(dag, request, [interval], chain.metastore.backfill_facts(dag, request, [interval]))
    chain.metastore.create_backfill(dag, creation, "first", chain.id())
    rows = len(chain.metastore.audit_records().history)
    again = chain.metastore.create_backfill(dag, creation, "second", chain.id())
    assert not isinstance(again, int)
    assert len(chain.metastore.audit_records().history) == rows


def test_a_run_whose_job_is_buried_is_anyones(chain: Place) -> None:
    chain.step()
    heir = chain.metastore.start_job("backfill", TASK, chain.dag.dag_id, chain.backfill_id, 20.0, chain.id())
    assert chain.metastore.snapshot(heir, chain.dag, chain.backfill_id).runs == ()
    chain.metastore.bury_job(chain.job_id)
    assert not chain.metastore.heartbeat(chain.job_id, 20.0)
    chain.job_id = heir
    assert len(chain.step().taken_over) == 1
