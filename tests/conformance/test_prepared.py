"""Statements that the driver executes as they were prepared answer what SQLAlchemy answers by itself."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import bindparam, case, func, insert, literal, null, select, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.expression import Executable

from tailrace.errors import EnvironmentBroken
from tailrace.metastore.db.prepared import Prepared, Statements
from tailrace.metastore.db.tables import dag_run, pool
from tailrace.metastore.db.transaction import SQLiteTransaction, Transaction
from tests.conformance.stories import PLAIN, Drive
from tests.conformance.worlds import FIRST, World

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)

_LISTED = select(dag_run.c.id, dag_run.c.run_id).where(dag_run.c.id.in_(bindparam("ids", expanding=True)))


class Both(SQLiteTransaction):
    """Answers in both ways, and compares."""

    compared: set[Executable] = set()

    def rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        prepared = self._prepared(statement, values)
        found = super().rows(statement, values)
        if prepared is not None and prepared.sql.startswith("SELECT"):
            theirs = Transaction.rows(self, statement, values)
            assert [tuple(row) for row in found] == [tuple(row) for row in theirs]
            assert all(row._mapping.items() <= other._mapping.items() for row, other in zip(found, theirs, strict=True))
            self.compared.add(statement)
        return found

    def row(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Any:
        found = self.rows(statement, values)
        return found[0] if found else None


def test_every_reading_of_a_backfill(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    database, kept = world.store._database, Statements()
    monkeypatch.setattr(Both, "compared", set())
    monkeypatch.setattr(database, "_transaction", lambda connection: Both(connection, database._moment, None, kept))
    Drive(world, PLAIN, world.backfill(PLAIN, days=2), {}).go()
    assert len(Both.compared) > 20


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (_LISTED, {"ids": [1]}),
        (_LISTED, {"ids": [1, 2]}),
        (_LISTED, {"ids": []}),
        (select(dag_run.c.run_id).where(dag_run.c.state.in_(["queued", "running"])), {}),
        (select(dag_run.c.run_id).where(dag_run.c.logical_date.in_(bindparam("at", expanding=True))), {"at": [FIRST]}),
        (select(func.count(), func.max(dag_run.c.logical_date), literal(1), literal(2)), {}),
        (select(dag_run.c.id, dag_run.c.id, null()), {}),
        (text("SELECT 7 AS seven"), {}),
    ],
    ids=["a list", "a longer one", "an empty one", "constants", "moments", "without names", "twice", "text"],
)
def test_a_reading(world: World, statement: Executable, values: Mapping[str, Any]) -> None:
    world.begun(PLAIN, days=2)

    def both(tx: Transaction) -> None:
        found, theirs = tx.rows(statement, values), Transaction.rows(tx, statement, values)
        assert [tuple(row) for row in found] == [tuple(row) for row in theirs]
        assert found

    if values.get("ids") == []:
        assert world.store.read(lambda tx: tx.rows(statement, values)) == []
    else:
        world.store.read(both)


def test_what_is_refused_is_the_same_error(world: World) -> None:
    twice = [{"name": "one", "slots": 1, "description": ""}] * 2
    with pytest.raises(IntegrityError, match="UNIQUE"):
        world.store._database.write(lambda tx: tx.change_many(insert(pool), twice))
    with pytest.raises(IntegrityError, match="UNIQUE"):
        world.store._database.write(lambda tx: [tx.change(insert(pool), each) for each in twice])


@pytest.mark.parametrize("way", ["rows", "row"])
def test_what_goes_wrong_while_rows_are_fetched_is_the_same_error(world: World, way: str) -> None:
    world.begun(PLAIN, days=2)
    first = case((dag_run.c.id == (1 if way == "rows" else 0), "1"), else_="not JSON")
    with pytest.raises(EnvironmentBroken, match="damaged"):
        world.store.read(lambda tx: getattr(tx, way)(select(func.json(first))))


def test_lists_of_any_kind_have_their_own_length(world: World) -> None:
    world.begun(PLAIN, days=2)
    for ids in (range(1, 2), range(1, 3), (1,)):
        found = world.store.read(lambda tx, ids=ids: tx.rows(_LISTED, {"ids": ids}))
        assert [row.id for row in found] == list(ids)


def test_of_two_columns_with_one_name_the_first_has_it(world: World) -> None:
    world.begun(PLAIN, days=2)
    both = select(dag_run.c.id, (dag_run.c.id + 10).label("id"))
    assert world.store.read(lambda tx: tx.row(both)).id == 1


def test_statements_made_on_the_fly_do_not_pile_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.metastore.db.prepared._MOST_KEPT", 5)
    made: list[Prepared | None] = []
    kept = Statements()

    def often(tx: Transaction) -> None:
        dialect: Dialect = tx.connection.dialect
        made.extend(kept.of(dialect, select(pool.c.name), None) for _ in range(12))

    world.store.read(often)
    assert len(made) == 12
    assert len(kept._kept) <= 5
