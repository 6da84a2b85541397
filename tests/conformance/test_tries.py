"""A try is claimed once and reported once; whoever comes late changes nothing, and history says that he came."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import Accepted
from tailrace.effects.tries import Claim, RefusalReason, Refused, Renewal, XComQuery
from tailrace.metastore.db.tables import dag_run, task_instance, xcom
from tailrace.metastore.store import Metastore
from tailrace.model.intervals import DataInterval
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.snapshot import Holder
from tests.conformance.worlds import DAY, FIRST, LEASE, World, dag

AB = dag("a>b", a={"retries": 1})


@pytest.fixture
def queued(world: World) -> int:
    """The row of a task instance whose first try is queued."""
    _, job = world.begun(AB)
    a = world.by_task(1)["a"]
    assert world.queue(AB, job, a).won
    return a


def test_a_claim_carries_what_the_task_needs(world: World, queued: int) -> None:
    worker, task = world.process(), world.process()
    claim = world.claim(queued, worker=worker, task=task)
    assert isinstance(claim, Claim)
    assert (claim.id, claim.key.try_number, claim.token, claim.max_tries) == (queued, 1, 1, 2)
    assert claim.data_interval == DataInterval(FIRST, FIRST + DAY)
    assert (claim.logical_date, claim.started_at, claim.run_type) == (FIRST, world.clock.now, "backfill")
    row = world.row(task_instance, queued)
    assert (row.state, row.token, row.code_hash, row.lease_until) == ("running", 1, "hash", 1000 + LEASE)
    [run] = world.store.snapshot(1, AB, 1).runs
    assert run.task_instances[0].holder == Holder(worker, task)
    [told] = world.history(cause="claimed")
    assert (told.before, told.after, told.actor, told.try_number, told.token) == ("queued", "running", "worker", 1, 1)


def test_of_many_claims_one_wins(world: World, queued: int, other: object) -> None:
    answers = [world.claim(queued, store=store) for store in (world.store, other, world.store, other)]  # type: ignore[arg-type]
    assert [type(answer) for answer in answers] == [Claim, Refused, Refused, Refused]
    assert {answer.reason for answer in answers[1:]} == {RefusalReason.NOT_QUEUED}  # type: ignore[union-attr]
    assert world.row(task_instance, queued).token == 1


def test_a_claim_of_another_try_is_refused(world: World, queued: int) -> None:
    refused = world.claim(queued, 2)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.OTHER_TRY
    assert "expected queued try 2, found queued try 1" in refused.found
    gone = world.claim(999)
    assert isinstance(gone, Refused)
    assert gone.reason is RefusalReason.GONE
    assert world.state(queued) == "queued"


def test_a_try_of_a_run_that_does_not_run_is_not_claimed(world: World, queued: int) -> None:
    world.store._database.write(lambda tx: tx.change(dag_run.update().values(state="cancelled")))
    refused = world.claim(queued)
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.RUN_NOT_RUNNING
    assert world.state(queued) == "queued"


@pytest.mark.parametrize(
    ("kind", "state", "cause"),
    [
        (OutcomeKind.SUCCESS, "success", "outcome"),
        (OutcomeKind.SKIPPED, "skipped", "outcome"),
        (OutcomeKind.FAILED_FOR_GOOD, "failed", "outcome"),
        (OutcomeKind.FAILED, "up_for_retry", "retry"),
        (OutcomeKind.LOST, "up_for_retry", "lost"),
    ],
)
def test_an_outcome_lands_with_its_history(
    world: World, queued: int, kind: OutcomeKind, state: str, cause: str
) -> None:
    claim = world.running(queued)
    world.clock.advance(3)
    assert world.report(AB, claim, kind) == Accepted(state)
    row = world.row(task_instance, queued)
    assert (row.state, row.ended_at, row.holder, row.lease_until) == (state, world.clock.now, None, None)
    assert row.started_at == world.clock.now - timedelta(seconds=3)
    [told] = world.history(task_instance_id=queued, after=state)
    assert (told.before, told.actor, told.cause, told.token) == ("running", "worker", cause, 1)


def test_the_delay_of_a_retry_counts_from_the_stores_now(world: World, queued: int) -> None:
    world.report(AB, world.running(queued), OutcomeKind.FAILED)
    assert world.row(task_instance, queued).retry_at == world.clock.now + AB.by_id["a"].retry_delay
    assert world.report(AB, world.running(_again(world, queued), 2), OutcomeKind.FAILED) == Accepted("failed")
    assert world.row(task_instance, queued).retry_at is None


def _again(world: World, id: int) -> int:
    assert world.queue(AB, 1, id).won
    return id


def test_a_second_report_is_refused_and_recorded(world: World, queued: int) -> None:
    claim = world.running(queued)
    world.report(AB, claim)
    late = world.report(AB, claim, OutcomeKind.FAILED)
    assert isinstance(late, Refused)
    assert late.reason is RefusalReason.STALE_TOKEN
    assert world.state(queued) == "success"
    [told] = world.history(kind="refused")
    assert (told.before, told.after, told.try_number, told.token) == ("success", "up_for_retry", 1, 1)


def test_a_worker_thought_dead_cannot_finish_the_next_try(world: World, queued: int) -> None:
    """Oban, River and Procrastinate have this hole: a terminal write guarded by the state alone."""
    old = world.running(queued)
    lose = world.transition(queued, TaskInstanceState.UP_FOR_RETRY, Cause.LOST, token=1, retry_at=world.clock.now)
    assert world.apply(AB, 1, transitions=(lose,)).won
    new = world.running(_again(world, queued), 2)
    assert new.token == 2
    assert world.store.renew(old, LEASE) is Renewal.GONE
    refused = world.report(AB, old, xcoms={"k": "old"})
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.OTHER_TRY
    assert world.rows(xcom) == []
    assert world.report(AB, replace(new, token=1)) != Accepted("success")
    assert world.report(AB, new) == Accepted("success")


def test_a_lease_is_renewed_only_by_its_holder(world: World, queued: int) -> None:
    claim = world.running(queued)
    world.clock.advance(5)
    assert world.store.renew(claim, LEASE) is Renewal.HELD
    assert world.row(task_instance, queued).lease_until == 1005 + LEASE
    assert world.store.renew(replace(claim, token=2), LEASE) is Renewal.GONE
    world.report(AB, claim)
    assert world.store.renew(claim, LEASE) is Renewal.GONE


def test_what_a_try_waits_for_at_its_end_is_why_it_still_runs(world: World, queued: int) -> None:
    claim = world.running(queued)
    assert world.store.renew(claim, LEASE, "waiting for thread slow to end")
    assert world.row(task_instance, queued).reason == "waiting for thread slow to end"
    assert world.report(AB, claim) == Accepted("success")
    assert "slow" not in world.row(task_instance, queued).reason


def test_a_lease_of_before_the_server_started_can_still_be_renewed(
    world: World, queued: int, open_store: Callable[..., Metastore]
) -> None:
    """Nobody could renew while it was down: no lease runs out until one lease after its start."""
    own_clock = open_store(clock=None)
    claim = world.claim(queued, store=own_clock)
    assert isinstance(claim, Claim)
    postgres = own_clock._database.postgres
    world.set_state(queued, lease_until=0.0, lease_seconds=1e9)
    renewed = own_clock.renew(claim, LEASE) is Renewal.HELD
    assert renewed is postgres, "a file's clock does not stop with any server"
    world.set_state(queued, lease_until=0.0, lease_seconds=0.0)
    assert own_clock.renew(claim, LEASE) is Renewal.GONE


@pytest.mark.parametrize("intent", ["none", "success", "failed", "skipped"])
def test_a_stopping_try_ends_as_the_person_wanted(world: World, queued: int, intent: str) -> None:
    claim = world.running(queued)
    world.set_state(queued, state="stopping", stopping_to=intent, reason="as asked")
    world.clock.advance(5)
    assert world.store.renew(claim, LEASE, "waiting") is Renewal.STOPPING, "it must stop, and may take its time"
    row = world.row(task_instance, queued)
    assert (row.state, row.lease_until, row.reason) == ("stopping", 1005 + LEASE, "as asked")
    assert world.store.renew(replace(claim, token=2), LEASE) is Renewal.GONE
    assert world.report(AB, claim, xcoms={"k": 1}) == Accepted(intent)
    row = world.row(task_instance, queued)
    assert (row.state, row.stopping_to, row.holder) == (intent, None, None)
    assert world.rows(xcom) == []


def test_xcoms_land_with_the_outcome_and_go_with_the_next_try(world: World, queued: int) -> None:
    world.report(AB, world.running(queued), OutcomeKind.FAILED, xcoms={"k": [1, {"é": None}], "return_value": "x"})
    query = XComQuery("dag", world.row(dag_run, 1).run_id, ("a",), "k")
    assert world.store.read_xcom(query) == (("a", -1, [1, {"é": None}]),)
    assert world.store.read_xcom(replace(query, map_index=0)) == ()
    assert world.store.read_xcom(replace(query, run_id="another")) == ()
    claim = world.running(_again(world, queued), 2)
    assert world.store.read_xcom(query) == ()
    world.report(AB, claim, xcoms={"k": 2})
    assert world.store.read_xcom(replace(query, task_ids=())) == (("a", -1, 2),)


def test_xcoms_come_in_topological_order(world: World) -> None:
    spec = dag("b>a a>c")
    _, job = world.begun(spec)
    for task_id in ("c", "a", "b"):
        world.run_try(spec, job, world.by_task(1)[task_id], xcoms={"k": task_id})
    run_id = world.row(dag_run, 1).run_id
    assert [name for name, _, _ in world.store.read_xcom(XComQuery("dag", run_id, ("c", "a", "b"), "k"))] == [
        "b",
        "a",
        "c",
    ]


def test_a_branchs_choice_is_kept(world: World, queued: int) -> None:
    world.report(AB, world.running(queued), followed=())
    [run] = world.store.snapshot(1, AB, 1).runs
    assert [ti.followed for ti in run.task_instances] == [(), None]


def test_a_claim_knows_the_runs_before_it(world: World) -> None:
    spec = dag("a")
    _, job = world.begun(spec, days=3)
    for run, kind, state in (
        (1, OutcomeKind.SUCCESS, DagRunState.SUCCESS),
        (2, OutcomeKind.FAILED, DagRunState.FAILED),
    ):
        world.run_try(spec, job, world.by_task(run)["a"], kind)
        assert world.apply(spec, job, run_verdicts=(world.verdict(run, state),)).judged
    last = world.by_task(3)["a"]
    world.queue(spec, job, last)
    claim = world.running(last)
    assert claim.previous_success is not None
    assert claim.previous_success.data_interval == DataInterval(FIRST, FIRST + DAY)
