"""Stored Variables and Connections: written whole or not at all, told in history by name alone, and audited."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text, update

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.commands.secrets import NewSecret, SecretsWritten
from tailrace.metastore.db.tables import history, variable
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.schema import revisions as schema
from tailrace.metastore.store import Metastore
from tailrace.metastore.writes.records import Author, insert_metastore_history, schema_row
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.transitions import Actor
from tailrace.secrets.names import SecretKind
from tests.conformance.worlds import FalseClock, World

V, C = SecretKind.VARIABLE, SecretKind.CONNECTION


def told(world: World) -> list[tuple[str, str | None, str, str, str | None]]:
    """What history says of secrets."""
    kinds = ("variable", "connection")
    rows = [row for row in world.rows(history) if row.after in kinds]
    return [(row.after, row.pool, row.cause, row.actor, row.task_id) for row in rows]


def test_they_are_set_changed_and_deleted(world: World) -> None:
    store = world.store
    done = store.write_secrets([NewSecret(V, "a", "e1", "for a"), NewSecret(C, "a", "e2")], world.write_id())
    assert done == SecretsWritten(created=2)
    task = TaskInstanceKey("d", "run", "t", 3)
    assert store.write_secrets([NewSecret(V, "a", "e3")], world.write_id(), task) == SecretsWritten(changed=1)
    found = store.stored_secret(V, "a")
    assert found is not None and (found.value, found.description) == ("e3", "for a")
    assert [each.name for each in store.list_secrets(C)] == ["a"] and store.read_secret(V, "b") is None
    deleted = store.write_secrets([NewSecret(V, "a", None), NewSecret(V, "b", None)], world.write_id())
    assert deleted == SecretsWritten(deleted=1)
    assert store.list_secrets(V) == () and store.read_secret(C, "a") == "e2"
    assert told(world) == [
        ("variable", "a", "created", "person", None),
        ("connection", "a", "created", "person", None),
        ("variable", "a", "recorded", "worker", "t"),
        ("variable", "a", "deleted", "person", None),
    ]
    everything = str(world.rows(history))
    assert not any(value in everything for value in ("'e1'", "'e2'", "'e3'", '"e1"', '"e2"', '"e3"'))
    assert store.audit().violations == ()


def test_a_pool_of_the_same_name_is_another_thing(world: World) -> None:
    before = world.store.list_pools()
    world.store.write_secrets([NewSecret(V, pool.name, "e1") for pool in before], world.write_id())
    assert world.store.list_pools() == before


def test_who_has_set_one_is_told(open_store: Callable[..., Metastore], clock: FalseClock) -> None:
    store = open_store(person="ann@host")
    store.write_secrets([NewSecret(V, "a", "e1"), NewSecret(V, "b", "e1")], "w1")
    clock.advance(1)
    store.write_secrets([NewSecret(V, "b", "e2")], "w2", TaskInstanceKey("d", "run", "t"))
    assert {each.name: each.set_by for each in store.list_secrets(V)} == {"a": "ann@host", "b": ""}
    assert store.audit().violations == ()


def test_the_same_write_lands_once(world: World) -> None:
    store, write_id = world.store, world.write_id()
    assert store.write_secrets([NewSecret(V, "a", "e1")], write_id) == SecretsWritten(created=1)
    assert store.write_secrets([NewSecret(V, "a", "e1")], write_id) == SecretsWritten(created=1)
    assert len(told(world)) == 1


def test_one_that_was_changed_meanwhile_is_not_encrypted_anew(world: World) -> None:
    store = world.store
    store.write_secrets([NewSecret(V, "a", "e1"), NewSecret(V, "b", "e1")], world.write_id())
    new = [NewSecret(V, name, "e2", expected=was) for name, was in (("a", "e1"), ("b", "e0"), ("c", "e1"))]
    assert store.write_secrets(new, world.write_id()) == SecretsWritten(changed=1)
    assert (store.read_secret(V, "a"), store.read_secret(V, "b")) == ("e2", "e1")
    assert store.audit().violations == ()


def test_some_are_found_to_try_a_key_on(world: World) -> None:
    store = world.store
    assert store.some_secrets(V, "a") == ()
    store.write_secrets([NewSecret(V, f"v{n}", "e") for n in range(30)], world.write_id())
    store.write_secrets([NewSecret(C, "v1", "e")], world.write_id())
    some = store.some_secrets(V, "v1")
    assert 10 <= len(some) < 25 and (C, "v1", "e") in some and (V, "v1", "e") not in some


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE variable SET value = 'another'",
        "UPDATE variable SET description = 'another'",
        "DELETE FROM variable",
        "INSERT INTO connection SELECT * FROM variable",
        "UPDATE variable SET name = 'b'",
        "DELETE FROM history WHERE after = 'variable'",
        "UPDATE history SET pool = 'b' WHERE after = 'variable'",
    ],
)
def test_what_is_changed_behind_the_products_back_is_found(world: World, change: str) -> None:
    world.store.write_secrets([NewSecret(V, "a", "e1")], world.write_id())
    assert world.store.audit().violations == ()
    world.store._database.write(lambda tx: tx.change(text(change)))
    assert world.store.audit().violations != ()


def test_a_former_value_put_back_is_found(world: World) -> None:
    for value in ("e1", "e2"):
        world.store.write_secrets([NewSecret(V, "a", value)], world.write_id())
    world.store._database.write(lambda tx: tx.change(update(variable).values(value="e1")))
    assert [violation.about for violation in world.store.audit().violations] == ["Variable a"]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.sqlite"
    return str(request.getfixturevalue("postgres_server").new_database())


def test_a_metastore_of_the_schema_before_gets_the_tables(empty_url: str) -> None:
    """As schema 0007 left it: history goes on in its chains, and says so."""
    with closing(Metastore.open(empty_url)) as unused:
        assert unused.audit().violations == ()
        newer = [f"DROP TABLE {table}" for table in ("variable", "connection", "outbox")]
        newer += [f"ALTER TABLE {name[0]} DROP COLUMN {name[1]}" for name in SINCE_0008]
        for change in newer:
            unused._database.write(lambda tx, change=change: tx.change(text(change)))  # type: ignore[misc]
        for change in ("DELETE FROM history", "DELETE FROM chain", "DELETE FROM pool", "DELETE FROM alembic_version"):
            unused._database.write(lambda tx, change=change: tx.change(text(change)))  # type: ignore[misc]
        unused._database.write(begin_as_0007)
    if empty_url.startswith("postgresql"):
        with pytest.raises(EnvironmentBroken, match="its schema is 0007"):
            Metastore.open(empty_url)
        Metastore.migrate(empty_url)
    with closing(Metastore.open(empty_url)) as migrated:
        rows = migrated.read(lambda tx: [row.after for row in tx.rows(history.select()) if row.kind == "schema"])
        assert rows == ["0007", schema.HEAD]
        migrated.write_secrets([NewSecret(V, "a", "e1")], "first")
        assert migrated.read_secret(V, "a") == "e1"
        assert migrated.audit().violations == ()


#: Columns of later revisions.
SINCE_0008 = (
    *(("dag_run", name) for name in ("stopped_by", "failed_before", "late_since", "reopened")),
    *(("dag", name) for name in ("paused_after", "paused_reason")),
    *(("task_instance", name) for name in ("rescheduled", "rendered_map_index")),
    *((table, "part") for table in ("backfill", "dag_run")),
)


def begin_as_0007(tx: Transaction) -> None:
    """What the creation of a metastore by schema 0007 has recorded."""
    author = Author(tx.moment.wall, "schema-0007", Actor.PERSON)
    tx.change(text("INSERT INTO alembic_version VALUES ('0007')"))
    insert_metastore_history(tx, (schema_row(author, None, "0007"), None), begins=True)
