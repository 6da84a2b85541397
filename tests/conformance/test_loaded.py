"""What DAG files held when they were loaded last is kept: a DAG that never ran is known, wherever its file lies."""

import json
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from sqlalchemy import update

from tailrace.cli.remedies import command_of
from tailrace.metastore.db.connection import Database
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.db.tables import dag_run, dag_version, loaded_dag
from tailrace.metastore.schema import migrating
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.loaded import LoadedDag
from tailrace.model.states import DagRunState
from tailrace.planning.explain import explain_run
from tailrace.planning.messages import Sentence
from tests.conformance.worlds import World, dag

A = replace(dag("a"), file="/dags/a.py", code_hash="1")
B = replace(dag("b"), dag_id="never_ran", file="/dags/a.py", code_hash="1")


def test_a_dag_that_never_ran_is_known(world: World) -> None:
    world.store.store_loaded([B, A], world.write_id())
    assert world.store.loaded_dags() == (LoadedDag(A, world.clock.now), LoadedDag(B, world.clock.now))
    assert (world.store.known_dags(), world.store.dag_stats()) == ((), ()), "it has not run"


def test_it_is_loaded_again(world: World) -> None:
    world.store.store_loaded([A], world.write_id())
    world.clock.advance(60)
    later = replace(dag("a>c"), file="/dags/a.py", code_hash="2")
    world.store.store_loaded([later, B], world.write_id())
    assert [each.spec for each in world.store.loaded_dags()] == [later, B]
    assert {each.loaded_at for each in world.store.loaded_dags()} == {world.clock.now}


def test_where_it_was_loaded_from_is_no_part_of_its_structure(world: World) -> None:
    moved = replace(A, file="/elsewhere/a.py", code_hash="2")
    world.backfill(A)
    world.backfill(moved, days=2)
    world.store.store_loaded([A], world.write_id())
    world.store.store_loaded([moved], world.write_id())
    assert len(world.rows(dag_version)) == 1
    assert world.store.loaded_dags() == (LoadedDag(moved, world.clock.now),)
    world.backfill(replace(dag("a>c"), file="/dags/a.py", code_hash="1"), days=3)
    assert len(world.rows(dag_version)) == 2


@pytest.mark.parametrize(
    ("itself", "setting", "paused"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
def test_a_dag_that_is_new_here_begins_paused_where_that_is_asked(
    world: World, itself: bool | None, setting: bool, paused: bool
) -> None:
    spec = replace(B, paused_at_creation=itself)
    world.store.store_loaded([spec], world.write_id(), paused=setting)
    assert [row.paused for row in world.rows(dag_table)] == [True] * paused
    [known] = world.store.loaded_dags()
    assert known.spec == B, "it is no part of its structure"
    world.store.set_paused("never_ran", False, world.write_id())
    world.store.store_loaded([spec], world.write_id(), paused=True)
    assert [row.paused for row in world.rows(dag_table)] == [False], "it is not new any more"


def test_a_dag_that_has_run_is_not_new_here(world: World) -> None:
    world.backfill(A)
    world.store.store_loaded([replace(A, paused_at_creation=True)], world.write_id(), paused=True)
    assert [row.paused for row in world.rows(dag_table)] == [False]


def test_a_dag_is_paused_before_its_first_run(world: World) -> None:
    assert not world.store.set_paused("never_ran", True, world.write_id())
    world.store.store_loaded([B], world.write_id())
    assert world.store.set_paused("never_ran", True, world.write_id())
    [row] = world.rows(dag_table)
    assert (row.dag_id, row.paused, row.dag_version_id) == ("never_ran", True, world.rows(dag_version)[0].id)
    world.backfill(B)
    assert world.store.set_paused("never_ran", False, world.write_id())


def test_repeated_under_its_id_it_is_kept_once(world: World) -> None:
    world.store.store_loaded([A], "same")
    world.store.store_loaded([A], world.write_id())
    assert len(world.rows(loaded_dag)) == 1


def test_two_that_load_the_same_at_once_both_keep_it(world: World, open_store: Callable[..., Metastore]) -> None:
    specs = [replace(A, dag_id=f"dag_{n:02}") for n in range(30)]
    stores = [open_store() for _ in range(3)]
    failed: list[BaseException] = []

    def keep(number: int) -> None:
        try:
            for again in range(5):
                stores[number].store_loaded(specs, f"write-of-{number}-{again}")
            stores[number].close()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert len(world.store.loaded_dags()) == len(world.rows(dag_version)) == 30


@pytest.fixture
def older(request: pytest.FixtureRequest, url: str) -> str:
    """A metastore of the revision before, in which a DAG has run."""
    if url.startswith("postgresql"):
        url = str(request.getfixturevalue("postgres_server").new_database())
    database = Database(url, sqlite_synchronous="normal", clock=None, wait_seconds=5.0)
    database.write(lambda tx: migrating.upgrade(tx, "0005"))
    database.release()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO dag_version (id, dag_id, spec_hash, spec, code_hash, created_at) "
                "VALUES (1, 'dag', 'h', :spec, '1', '2024-01-01 00:00:00')"
            ),
            {"spec": json.dumps(json.loads(_text()))},
        )
        connection.execute(
            sa.text(
                "INSERT INTO dag (dag_id, paused, version, dag_version_id, created_at) "
                "VALUES ('dag', false, 1, 1, '2024-01-01 00:00:00')"
            )
        )
    engine.dispose()
    return url


def _text() -> str:
    from tailrace.metastore.writes.specs import spec_text

    return spec_text(A)


def test_a_metastore_of_the_revision_before_is_brought_here(older: str) -> None:
    database = Database(older, sqlite_synchronous="normal", clock=None, wait_seconds=5.0)
    database.write(lambda tx: migrating.upgrade(tx, "0006"))
    database.release()
    Metastore.migrate(older)
    store = Metastore.open(older)
    assert (store.known_dags(), store.loaded_dags()) == (("dag",), ())
    assert store.stored_dag("dag") == A, "its file as its structure had it"
    store.store_loaded([replace(A, code_hash="2")], "write")
    assert [each.spec.code_hash for each in store.loaded_dags()] == ["2"]
    store.close()


def test_proofs_of_sentences_are_still_read(world: World) -> None:
    """As they were stored before there were codes."""
    world.begun(A)
    run = world.row(dag_run, 1)
    key = {"dag_id": "dag", "run_id": run.run_id, "task_id": "a", "map_index": -1}
    reasons = [{"dependency": "Trigger Rule", "reason": "said so"}]
    blocked = json.dumps([{"task_instance": key, "state": "none", "reasons": reasons}])
    values = {"state": DagRunState.DEADLOCKED, "blocked": blocked}
    world.store._database.write(lambda tx: tx.change(update(dag_run).values(**values), {}))
    [blocker] = world.store.explained(run.id).blocked
    assert blocker.reasons[0].reason == Sentence("said so")
    [instance] = explain_run(world.store.explained(run.id), command_of).task_instances
    assert instance.waits == "said so"
