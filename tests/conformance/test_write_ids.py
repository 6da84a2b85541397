"""A write repeated under its id answers what it first answered and does nothing more, whatever became of the answer."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from tailrace.effects.results import Applied
from tailrace.effects.tries import Claim, ClaimRequest, TryOutcome
from tailrace.errors import CommandError, CommitUnknown
from tailrace.metastore.db.driver_errors import ConnectionLost
from tailrace.metastore.db.tables import backfill, dag_run, history, job, task_instance, write_record
from tailrace.metastore.store import Metastore, MetastoreStale
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import JobKind
from tailrace.planning.plan import Plan, RunActivation
from tailrace.planning.resizing import plan_resize
from tests.conformance.worlds import LEASE, World, dag

AB = dag("a b")
TABLES = (backfill, dag_run, task_instance, job, history, write_record)


def contents(world: World) -> list[Any]:
    return [world.rows(table) for table in TABLES]


def twice(world: World, write: Callable[[], Any]) -> Any:
    """The answer of a write, which must be that of its repetition too, without any other effect."""
    first = write()
    before = contents(world)
    world.clock.advance(1)
    assert write() == first
    assert contents(world) == before
    return first


def test_apply(world: World) -> None:
    id = world.backfill(AB)
    begin = Plan(AB, world.job(AB, id), activations=(RunActivation(1, "run", 1),), backfill_start=id)
    assert twice(world, lambda: world.store.apply(begin, "begin")).activated == (1,)
    steps = tuple(world.transition(each) for each in world.by_task(1).values())
    queue = Plan(AB, 1, transitions=steps)
    applied: Applied = twice(world, lambda: world.store.apply(queue, "queue"))
    assert (len(applied.won), len(applied.queued)) == (2, 2)


def test_claim_and_report(world: World) -> None:
    _, job_id = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job_id, a)
    request = ClaimRequest(a, 1, world.process(), None, "hash", LEASE)
    claim = twice(world, lambda: world.store.claim(request, "claim"))
    assert isinstance(claim, Claim)
    outcome, after = TryOutcome(OutcomeKind.SUCCESS, xcoms={"k": 1}), world.after(AB, claim, OutcomeKind.SUCCESS)
    twice(world, lambda: world.store.report(claim, outcome, after, "report"))
    late = twice(world, lambda: world.store.report(claim, outcome, after, "late"))
    assert late.reason == "stale_token"
    assert len(world.history(kind="refused")) == 1


def test_create_backfill(world: World) -> None:
    creation = world.decide(AB, days=3)
    assert twice(world, lambda: world.store.create_backfill(AB, creation, "typed", "create")) == 1
    again = world.store.create_backfill(AB, creation, "typed", "another id")
    assert isinstance(again, MetastoreStale)
    assert len(world.rows(dag_run)) == 3


def test_jobs_pools_and_pauses(world: World) -> None:
    world.backfill(AB)
    process = world.process()
    assert twice(world, lambda: world.store.start_job(JobKind.BACKFILL, process, "dag", 1, LEASE, "job")) == 1
    plan = plan_resize(world.store.resize_facts("small"), "small", 1)
    assert twice(world, lambda: world.store.resize(plan, "pool")) is True
    assert twice(world, lambda: world.store.set_paused("dag", True, "pause")) is True
    twice(world, lambda: world.store.delete_pool("small", "delete"))
    with pytest.raises(CommandError, match="no pool 'small'"):
        world.store.delete_pool("small", "another id")


def test_the_record_lands_with_the_write_or_not_at_all(world: World) -> None:
    _, job_id = world.begun(AB)
    before = contents(world)
    step = world.transition(world.by_task(1)["a"])

    def fail(*_: object) -> None:
        raise RuntimeError("the process dies here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailrace.metastore.plans.applying.record", fail)
        with pytest.raises(RuntimeError):
            world.apply(AB, job_id, transitions=(step,))
    assert contents(world) == before


# --- the connection dies during the commit ---------------------------------------------------------------------


class Cutter:
    """Cuts a metastore's connection at its next commits: before the server has it, or after it has landed."""

    def __init__(self, store: Metastore, patch: pytest.MonkeyPatch) -> None:
        self.landed: list[bool] = []  # for each commit to cut, whether it lands
        self.commits = 0
        self._database = store._database
        self._control = store._database._control
        patch.setattr(store._attempts, "_pauses", (0.0, 0.0, 0.0))
        patch.setattr(store._database, "_control", self._cut)

    def _cut(self, connection: Connection, statement: str) -> None:
        if statement != "COMMIT":
            self._control(connection, statement)
            return
        self.commits += 1
        if not self.landed:
            self._control(connection, statement)
            return
        if self.landed.pop(0):
            self._control(connection, statement)
        self._database.release()
        raise CommitUnknown("the connection died during a commit")


@pytest.fixture
def cutter(world: World, monkeypatch: pytest.MonkeyPatch) -> Cutter:
    return Cutter(world.store, monkeypatch)


@pytest.mark.parametrize("landed", [[True], [False], [False, True], [False, False]])
def test_an_unknown_commit_is_repeated_under_its_id(world: World, cutter: Cutter, landed: list[bool]) -> None:
    _, job_id = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job_id, a)
    cutter.landed, cutter.commits = list(landed), 0
    claim = world.claim(a)
    assert isinstance(claim, Claim)
    assert (claim.token, world.row(task_instance, a).token) == (1, 1)
    assert len(world.history(cause="claimed")) == 1
    assert cutter.commits == len(landed) + (not landed[-1])


def test_a_commit_that_stays_unknown_is_reported(world: World, cutter: Cutter) -> None:
    cutter.landed = [False, False, False]
    with pytest.raises(CommitUnknown):
        world.backfill(AB)
    assert world.rows(dag_run) == []


def test_what_lands_after_it_was_given_up_is_the_result_of_the_next_repetition(world: World, cutter: Cutter) -> None:
    creation = world.decide(AB)
    cutter.landed = [False, False, True]
    with pytest.raises(CommitUnknown):
        world.store.create_backfill(AB, creation, "typed", "create")
    [landed] = world.rows(backfill)
    assert world.store.create_backfill(AB, creation, "typed", "create") == landed.id
    assert len(world.rows(dag_run)) == 1


def test_a_write_whose_connection_broke_before_the_commit_is_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, job_id = world.begun(AB)
    step = world.transition(world.by_task(1)["a"])
    write, attempts = world.store._database.write, []

    def break_once(work: Callable[[Any], Any]) -> Any:
        def broken(tx: Any) -> Any:
            work(tx)
            raise ConnectionLost("the connection broke")

        attempts.append(work)
        return write(broken if len(attempts) == 1 else work)

    monkeypatch.setattr(world.store._database, "write", break_once)
    assert world.apply(AB, job_id, transitions=(step,)).won == (step,)
    assert len(attempts) == 2
    assert len(world.history(after="queued", kind="task_instance")) == 1
