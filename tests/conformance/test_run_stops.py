"""Runs that are stopped before their tasks have ended, as they are written: by whom, how often, and once."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import select, text

from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rows import stopped_by_from
from tailrace.metastore.store import Metastore
from tailrace.metastore.writes.records import Author, insert_metastore_history, schema_row
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec
from tailrace.model.states import TaskInstanceState
from tailrace.model.transitions import Actor, Cause
from tailrace.planning.explain import explain_run
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.planner import plan
from tests.conformance.test_secrets import SINCE_0008
from tests.conformance.worlds import World, dag

SECONDS = 15  # less than a lease
LIMITED = dag("a>b c", _dag={"dagrun_timeout": timedelta(seconds=SECONDS)})
FAST = dag("a>b c d", _dag={"fail_fast": True})
REASON = "dagrun_timeout of 0:00:15 exceeded, began 2024-05-01 12:00:00Z"


def states(world: World, run: int = 1) -> dict[str, str]:
    return {row.task_id: row.state for row in world.task_instances(run)}


def until_judged(world: World, spec: DagSpec, job: int, backfill: int) -> None:
    for _ in range(6):
        world.step(spec, job, backfill)


def test_a_run_whose_time_is_up_fails_with_its_reason(world: World) -> None:
    backfill, job = world.begun(LIMITED)
    world.step(LIMITED, job, backfill)
    claim = world.running(world.by_task(1)["a"])
    world.clock.advance(SECONDS - 1)
    assert not world.step(LIMITED, job, backfill).stopped
    world.clock.advance(1)
    version = world.row(dag_run, 1).version
    assert world.step(LIMITED, job, backfill).stopped == (1,)
    row = world.row(dag_run, 1)
    assert (row.state, row.version, stopped_by_from(row.stopped_by).reason) == ("running", version + 1, REASON)
    assert states(world) == {"a": "running", "b": "none", "c": "queued"}
    until_judged(world, LIMITED, job, backfill)
    assert states(world) == {"a": "stopping", "b": "skipped", "c": "skipped"}
    explained = explain_run(world.store.explained(1))
    assert f"it is being stopped: {REASON}" in explained.waits
    assert REASON in explained.task_instances[0].waits
    world.report(LIMITED, claim)
    until_judged(world, LIMITED, job, backfill)
    assert states(world) == {"a": "failed", "b": "skipped", "c": "skipped"}
    row = world.row(dag_run, 1)
    assert (row.state, row.reason) == ("failed", REASON)
    assert {row.reason for row in world.task_instances(1)} == {REASON}
    [shown] = world.store.list_runs()
    assert (shown.state, shown.reason, shown.stopped_by) == ("failed", REASON, "dagrun_timeout")
    assert explain_run(world.store.explained(1)).waits == REASON
    world.sound()


def test_a_worker_that_dies_while_its_try_is_stopped_is_not_waited_for(world: World) -> None:
    backfill, job = world.begun(LIMITED)
    world.step(LIMITED, job, backfill)
    world.running(world.by_task(1)["a"])
    world.clock.advance(SECONDS)
    until_judged(world, LIMITED, job, backfill)
    world.clock.advance(60)  # its lease too
    until_judged(world, LIMITED, job, backfill)
    assert (world.state(world.by_task(1)["a"]), world.row(dag_run, 1).state) == ("failed", "failed")
    assert REASON in world.row(task_instance, world.by_task(1)["a"]).reason
    world.sound()


def test_two_jobs_stop_a_run_once(world: World) -> None:
    backfill, job = world.begun(LIMITED)
    other = world.job(LIMITED, backfill)
    world.step(LIMITED, job, backfill)
    world.clock.advance(SECONDS)
    seen = plan(world.store.snapshot(job, LIMITED, backfill))
    decided = replace(seen, takeovers=())
    assert world.store.apply(decided, world.write_id()).stopped == (1,)
    again = world.store.apply(replace(decided, job_id=other), world.write_id())
    assert (again.stopped, len(again.stale)) == ((), 1)
    assert "stop for dagrun_timeout refused: expected running version" in str(again.stale[0])
    assert len(world.history(kind="dag_run", cause=Cause.DAGRUN_TIMEOUT)) == 1
    until_judged(world, LIMITED, job, backfill)
    world.sound()


def test_what_was_decided_before_it_was_stopped_does_not_begin(world: World) -> None:
    backfill, job = world.begun(LIMITED)
    late = plan(world.store.snapshot(job, LIMITED, backfill))
    world.clock.advance(SECONDS)
    world.step(LIMITED, job, backfill)
    assert not world.store.apply(late, world.write_id()).won
    until_judged(world, LIMITED, job, backfill)
    assert set(states(world).values()) == {"skipped"}
    world.sound()


def test_a_clear_begins_its_time_anew(world: World) -> None:
    backfill, job = world.begun(LIMITED)
    world.clock.advance(SECONDS)
    until_judged(world, LIMITED, job, backfill)
    assert world.row(dag_run, 1).state == "failed"
    world.clear(only_failed=True)
    row = world.row(dag_run, 1)
    assert (row.state, row.stopped_by, set(states(world).values())) == ("queued", None, {"none"})
    world.activate(LIMITED, job, 1)
    backfill = world.backfill(LIMITED)
    world.clock.advance(SECONDS - 1)
    assert not world.step(LIMITED, job, backfill).stopped
    world.clock.advance(1)
    assert world.step(LIMITED, job, backfill).stopped == (1,)
    world.sound()


def test_the_first_failure_ends_the_rest_of_its_run(world: World) -> None:
    backfill, job = world.begun(FAST)
    world.step(FAST, job, backfill)
    ids = world.by_task(1)
    c = world.running(ids["c"])
    world.report(FAST, world.running(ids["a"]), OutcomeKind.FAILED)
    until_judged(world, FAST, job, backfill)
    assert states(world) == {"a": "failed", "b": "skipped", "c": "stopping", "d": "skipped"}
    world.report(FAST, c)
    until_judged(world, FAST, job, backfill)
    row = world.row(dag_run, 1)
    assert (row.state, row.reason) == ("failed", "fail_fast: a failed")
    assert world.row(task_instance, ids["c"]).reason == "fail_fast: a failed"
    assert states(world)["c"] == "failed"
    world.sound()


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_failed_fast_goes_on_with_what_is_cleared(world: World, whole: bool) -> None:
    """What stays failed had failed before: it does not stop the run again."""
    backfill, job = world.begun(FAST)
    world.step(FAST, job, backfill)
    ids = world.by_task(1)
    c = world.running(ids["c"])
    world.report(FAST, world.running(ids["a"]), OutcomeKind.FAILED)
    until_judged(world, FAST, job, backfill)
    world.report(FAST, c)
    until_judged(world, FAST, job, backfill)
    world.clear(*([] if whole else ["a"]))
    again = world.backfill(FAST, reprocess="failed") if whole else backfill
    world.activate(FAST, job, 1)
    applied = world.step(FAST, job, again)
    assert not applied.stopped
    queued = {step.key.task_id for step in applied.won}
    assert queued == ({"a", "c", "d"} if whole else {"a"})
    world.sound()


def test_a_mark_below_leaves_a_stopped_run_failed_until_all_is_marked(world: World) -> None:
    backfill, job = world.begun(LIMITED)
    world.clock.advance(SECONDS)
    until_judged(world, LIMITED, job, backfill)
    for task_id, then in (("c", "failed"), ("b", "success")):
        world.do(plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, (task_id,))))
        assert world.row(dag_run, 1).state == then
    world.sound()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.sqlite"
    return str(request.getfixturevalue("postgres_server").new_database())


def test_a_metastore_of_the_schema_before_gets_the_columns(empty_url: str) -> None:
    changes = ["DROP TABLE outbox", *(f"ALTER TABLE {name[0]} DROP COLUMN {name[1]}" for name in SINCE_0008)]
    changes += ["DELETE FROM history", "DELETE FROM chain", "DELETE FROM pool", "DELETE FROM alembic_version"]
    with closing(Metastore.open(empty_url)) as unused:
        for change in (*changes, "INSERT INTO alembic_version VALUES ('0008')"):
            unused._database.write(lambda tx, change=change: tx.change(text(change)))  # type: ignore[misc]
        unused._database.write(begin_as_0008)
    Metastore.migrate(empty_url)
    with closing(Metastore.open(empty_url)) as migrated:
        for table in (dag_run, dag_table):
            assert migrated.read(lambda tx, table=table: tx.rows(select(table))) == []  # type: ignore[misc]
        assert migrated.audit().violations == ()


def begin_as_0008(tx: Transaction) -> None:
    """What the creation of a metastore by schema 0008 has recorded."""
    author = Author(tx.moment.wall, "schema-0008", Actor.PERSON)
    insert_metastore_history(tx, (schema_row(author, None, "0008"), None), begins=True)
