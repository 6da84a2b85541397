"""History says whose command it was, on both databases: of every command, and of nothing that a job did on its own."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Select, select, update
from sqlalchemy.dialects import sqlite

from tailrace.metastore.db.tables import history
from tailrace.metastore.db.transaction import SQLiteTransaction, Transaction
from tailrace.metastore.store import Done, Metastore
from tailrace.metastore.views import persons
from tailrace.metastore.views.runs import RunFilter
from tailrace.metastore.views.task_instances import TaskInstanceFilter
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState, JobKind, TaskInstanceState
from tailrace.model.transitions import Actor
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.triggering import TriggerRequest, plan_trigger
from tests.conformance.stories import busy
from tests.conformance.worlds import LEASE, PERSON, World, dag

AB = dag("a>b")
BO = "bo@there"
Told = tuple[str, str, bool] | None


@pytest.fixture
def bo(open_store: Callable[..., Metastore]) -> Metastore:
    """The same metastore, in the hands of somebody else."""
    return open_store(person=BO)


def told(command: PersonsCommand | None) -> Told:
    return None if command is None else (command.what, command.by, command.stands)


def of_run(world: World, run: int = 1) -> Told:
    return told(world.store.show_run(run).last_command)


def of_tasks(world: World, run: int = 1) -> dict[str, Told]:
    """As every view of them has it."""
    shown = {each.task_id: told(each.last_command) for each in world.store.task_instances_of(run)}
    explained = world.store.explained(run)
    assert {each.view.task_id: told(each.last_command) for each in explained.task_instances} == shown
    assert told(explained.last_command) == of_run(world, run)
    listed = world.store.list_task_instances(TaskInstanceFilter("dag"), 100)
    assert {each.task_id: told(each.last_command) for each in listed if each.run_id == explained.run.run_id} == shown
    return shown


def of_backfill(world: World, id: int) -> tuple[Told, Told]:
    shown = world.store.show_backfill(id)
    assert shown is not None and shown.last_command == world.store.backfill_summary(id).last_command
    return told(shown.created_by), told(shown.last_command)


def test_every_command_says_whose_it_was_and_nothing_else_does(world: World) -> None:
    busy(world)
    rows = world.rows(history)
    kinds = {row.kind for row in rows if row.person is not None}
    assert kinds >= {"task_instance", "dag_run", "backfill", "pool", "cleaned", "changed"}
    for row in rows:
        if row.kind == "schema" or row.pool == "default_pool":  # PostgreSQL's database is a copy that nobody made
            continue
        starts_job = row.kind == "changed" and row.after == "job" and row.cause == "created"
        assert row.person == (PERSON if row.actor == Actor.PERSON or starts_job else None), row


def test_a_new_metastore_says_who_made_it(tmp_path: Path) -> None:
    made = Metastore.open(f"sqlite:///{tmp_path}/new.sqlite", person=PERSON)
    rows = made.read(lambda tx: tx.rows(select(history.c.kind, history.c.person)))
    made.close()
    assert [tuple(row) for row in rows] == [("schema", PERSON), ("pool", PERSON)]


def test_nobody_is_made_up_where_nobody_is_named(world: World, open_store: Callable[..., Metastore]) -> None:
    nobody = World(open_store(person=None), world.clock)
    nobody.begun(AB)
    assert {row.person for row in world.rows(history) if row.actor == Actor.PERSON} <= {None, PERSON}
    assert (of_backfill(world, 1), of_run(world)) == ((None, None), None)
    assert [job.started_by for job in world.store.list_jobs(10)] == [None]


def test_an_audit_finds_another_person(world: World) -> None:
    """Also where one is taken away, or put where there was none."""
    world.begun(AB)
    rows = world.rows(history)
    by_person = next(row for row in rows if row.kind == "backfill")
    by_job = next(row for row in rows if row.actor == Actor.PLANNER and row.kind == "task_instance")
    assert (by_person.person, by_job.person) == (PERSON, None)
    for row, person in ((by_person, "eve@here"), (by_person, None), (by_person, ""), (by_job, "eve@here")):
        set_person(world, row.id, person)
        assert row.id in {each.history_id for each in world.store.audit().violations}
        set_person(world, row.id, row.person)
        assert not world.store.audit().violations


def set_person(world: World, row: int, person: str | None) -> None:
    changed = update(history).where(history.c.id == row).values(person=person)
    world.store._database.write(lambda tx: tx.change(changed))


def test_runs_and_tasks_say_who_made_them_what_they_are(world: World, bo: Metastore) -> None:
    _, job = world.begun(AB)
    assert (of_run(world), of_tasks(world)) == (("created", PERSON, False), {"a": None, "b": None})
    world.clock.advance(60)
    assert isinstance(world.do(plan_mark_runs(world.about(), DagRunState.SUCCESS), bo), Done)
    marked = ("marked success", BO, True)
    assert (of_run(world), of_tasks(world)) == (marked, {"a": marked, "b": marked})
    [line] = world.store.list_runs(RunFilter("dag"))
    assert line.last_command is not None and line.last_command.at == world.clock.now
    world.clear("b")
    cleared = ("cleared", PERSON, True)
    assert (of_run(world), of_tasks(world)) == (cleared, {"a": marked, "b": cleared})
    second = world.job(AB, world.backfill(AB))
    world.activate(AB, second, 1)
    world.run_try(AB, second, world.by_task(1)["b"])
    assert of_tasks(world) == {"a": marked, "b": ("cleared", PERSON, False)}
    world.sound()


@pytest.mark.parametrize("worker_ends", ["fails", "is lost"])
def test_a_try_that_was_stopped_says_who_stopped_it_until_the_end_and_after(
    world: World, bo: Metastore, worker_ends: str
) -> None:
    backfill, job = world.begun(AB)
    a = world.by_task(1)["a"]
    world.queue(AB, job, a)
    claim = world.running(a)
    mark = MarkRequest(TaskInstanceState.SKIPPED, ("a",))
    assert isinstance(world.do(plan_mark_tasks(world.about(), mark), bo), Done)
    assert (world.state(a), of_tasks(world)["a"]) == ("stopping", ("marked skipped", BO, True))
    if worker_ends == "fails":
        world.report(AB, claim, OutcomeKind.FAILED)
    else:
        world.clock.advance(LEASE + 1)
        world.step(AB, world.job(AB, backfill), backfill)
    assert (world.state(a), of_tasks(world)["a"]) == ("skipped", ("marked skipped", BO, True))


def test_a_run_that_was_triggered_says_by_whom(world: World, bo: Metastore) -> None:
    spec = replace(AB, dag_id="dag")
    facts = bo.trigger_facts("dag", world.clock.now, "none")
    plan = plan_trigger(spec, TriggerRequest(), world.clock.now, facts)
    assert isinstance(bo.trigger(spec, plan, world.write_id()), int)
    assert of_run(world) == ("triggered", BO, True)


def test_backfills_say_who_created_paused_resumed_and_cancelled_them(world: World, bo: Metastore) -> None:
    id = world.backfill(AB, days=2)
    created = ("created", PERSON, False)
    assert of_backfill(world, id) == (created, created)
    for paused, what in ((True, "paused"), (False, "resumed")):
        assert isinstance(world.do(plan_pause(world.about(backfill_id=id), paused), bo), Done)
        assert of_backfill(world, id) == (created, (what, BO, paused))
    assert World(bo, world.clock).decide(AB, 2, max_active_runs=1).continues == id
    world.backfill(AB, days=2, max_active_runs=1)
    assert of_backfill(world, id) == (created, ("continued", PERSON, False))
    assert isinstance(world.do(plan_cancel(world.about(backfill_id=id)), bo), Done)
    assert of_backfill(world, id) == (created, ("cancelled", BO, True))
    assert (of_run(world, 1), of_run(world, 2)) == (("cancelled", BO, True),) * 2


def test_dags_say_who_paused_them(world: World, bo: Metastore) -> None:
    def last(dag_id: str = "dag") -> list[Told]:
        loaded = {each.spec.dag_id: told(each.last_pause) for each in world.store.loaded_dags()}
        counted = {each.dag_id: told(each.last_pause) for each in world.store.dag_stats()}
        return [of[dag_id] for of in (loaded, counted) if dag_id in of]

    world.store.store_loaded([replace(AB, file="/dags/d.py", code_hash="1")], world.write_id(), paused=True)
    assert last() == [None, None], "it began so, and nobody did it"
    for paused, what in ((False, "resumed"), (True, "paused")):
        assert bo.set_paused("dag", paused, world.write_id())
        assert last() == [(what, BO, True)] * 2
    world.backfill(AB)
    assert last() == [("paused", BO, True)] * 2
    world.sound()


def test_pools_say_who_set_them(world: World, bo: Metastore) -> None:
    def last() -> dict[str, Any]:
        return {each.name: told(each.last_command) for each in world.store.list_pools() if each.name != "default_pool"}

    world.pool("small", 1, None)
    assert last() == {"small": ("created", PERSON, True)}
    world.pool("small", 3, None, bo)
    assert last() == {"small": ("set to 3", BO, True)}
    world.pool("small", 3, "for a few", bo)
    assert last() == {"small": ("described", BO, True)}
    world.pool("small", 2, "for two")
    assert last() == {"small": ("set to 2", PERSON, True)}
    bo.delete_pool("small", world.write_id())
    assert last() == {}
    assert {row.person for row in world.rows(history) if row.kind == "pool" and row.after == "deleted"} == {BO}


def test_jobs_say_who_started_them(world: World, bo: Metastore) -> None:
    id = world.backfill(AB)
    world.job(AB, id)
    bo.start_job(JobKind.SCHEDULER, world.process(), None, None, LEASE, world.write_id())
    assert [(job.kind, job.started_by) for job in world.store.list_jobs(10)] == [
        ("scheduler", BO),
        ("backfill", PERSON),
    ]


def test_a_long_history_costs_nothing_where_dags_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule leaves a row about its DAG for each run that it creates; who paused it is found without them."""
    file = tmp_path / "plans.sqlite"
    store, asked = Metastore.open(f"sqlite:///{file}"), list[Select[Any]]()
    rows = Transaction.rows

    def noted(self: Transaction, statement: Any, values: Any = None) -> Any:
        asked.append(statement)
        return rows(self, statement, values)

    monkeypatch.setattr(SQLiteTransaction, "rows", noted)
    for read in (persons.of_dags, persons.of_backfills):
        store.read(lambda tx, read=read: read(tx, ["dag", "other"]))
    store.read(lambda tx: persons.of_jobs(tx, {1: "dag", 2: None}))
    store.read(persons.of_pools)
    store.close()
    assert len(asked) == 4
    with closing(sqlite3.connect(file)) as connection:
        for statement in asked:
            text = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
            plan = connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
            assert "ix_history_of_persons (dag_id=? AND kind=?)" in plan[0][-1], plan
