"""History rows changed, removed, added and swapped by hand; whole chains rewritten; rows removed and added anywhere."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Table, delete, insert, select, update

from tailrace.audit.records import Report
from tailrace.audit.seals import Seal
from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.db.tables import dag_run, history, metadata, task_instance
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.audit_records import audited
from tailrace.metastore.writes.accounted import TABLES, VOLATILE, volatile
from tailrace.model.chains import COVERED, Chain, chain_of, link, moment_cell, subject_of
from tests.conformance.stories import PLAIN, Drive, busy
from tests.conformance.worlds import PERSON, FalseClock, World

Work = Callable[[Any], Any]


class Undo(Exception):
    """Ends a transaction that must not land."""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A busy metastore, which no test changes for good."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('chains')}/metastore.sqlite"
    else:
        server = request.getfixturevalue("postgres_server")
        url = str(server.new_database(request.getfixturevalue("postgres_template")))
    clock = FalseClock()
    with closing(Metastore.open(url, clock=clock, person=PERSON)) as store:
        world = World(store, clock)
        busy(world)
        yield world


def after(world: World, work: Work, seal: Seal | None = None) -> Report:
    """What an audit finds once somebody has done this by hand; it is undone again."""
    found: list[Report] = []

    def attempt(tx: Any) -> None:
        if not tx.postgres:
            tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        else:  # as a superuser may
            tx.connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        work(tx)
        found.append(audited(tx, seal))
        raise Undo

    with pytest.raises(Undo):
        world.store._database.write(attempt)
    return found[0]


def rows(world: World, table: Table) -> list[Any]:
    return list(world.store.read(lambda tx: tx.rows(select(table).order_by(*table.primary_key.columns))))


def where(table: Table, row: Any) -> Any:
    found = [column == getattr(row, column.name) for column in table.primary_key.columns]
    return found[0] if len(found) == 1 else found[0] & found[1]


def cells_of(row: Any) -> list[Any]:
    cells = [getattr(row, name) for name in COVERED]
    cells[0] = moment_cell(cells[0])
    return cells


def test_a_busy_metastore_is_sound_and_every_row_of_its_history_chained(made: World) -> None:
    report = made.store.audit()
    assert report.violations == ()
    assert report.unsealed == 0
    assert sum(chain.length for chain in report.chains.values()) == len(rows(made, history))


def test_the_list_of_volatile_columns_is_this() -> None:
    """What is not accounted for is listed here once more: a column that is added to it is a decision."""
    tables = {name.partition(".")[0] for name in VOLATILE}
    whole = {name for name in tables if {f"{name}.{c.name}" for c in metadata.tables[name].columns} <= set(volatile())}
    assert whole == {"capacity_wait", "write_record"}
    assert {name for name in volatile() if name.partition(".")[0] not in whole} == {
        *("history.id", "job.trouble", "job.heartbeat_at", "job.lease_until", "job.lease_epoch", "job.lease_seconds"),
        *("loaded_dag.loaded_at", "dag_run.owner_job_id", "dag_run.owner_lane"),
        *("task_instance.lease_until", "task_instance.lease_epoch", "task_instance.lease_seconds"),
        *("outbox.id", "outbox.status", "outbox.error", "outbox.token", "outbox.holder", "outbox.ended_at"),
        *("outbox.lease_until", "outbox.lease_epoch", "outbox.lease_seconds"),
    }
    assert set(volatile()) == set(VOLATILE), "each of them is a column"


def test_every_row_of_history_is_missed(made: World) -> None:
    """The first, the last and those between, of every chain of every kind."""
    kinds: dict[Any, Any] = {}
    for row in rows(made, history):
        kinds.setdefault((row.kind, row.after, row.cause), row)
        kinds[row.kind, row.after, row.cause, "last"] = row
    unseen = []
    for row in {each.id: each for each in kinds.values()}.values():
        report = after(made, lambda tx, id=row.id: tx.change(delete(history).where(history.c.id == id)))
        if not any(each.check == "chain" for each in report.violations):
            unseen.append(row)
    assert unseen == []


def test_a_row_of_history_that_is_copied_or_without_digest_is_found(made: World) -> None:
    for row in rows(made, history)[-1:]:
        copy = {name: cell for name, cell in row._mapping.items() if name != "id"}
        for other in (copy, {**copy, "digest": None}, {**copy, "write_id": "mine"}):
            report = after(made, lambda tx, other=other: tx.change(insert(history), {**other, "id": 10**6}))
            assert any(each.history_id == 10**6 for each in report.violations)


def test_two_rows_of_a_chain_that_are_swapped_are_found(made: World) -> None:
    chains: dict[Any, list[Any]] = {}
    for row in rows(made, history):
        chains.setdefault(chain_of(subject_of(cells_of(row))), []).append(row)
    pairs = [(chain[0], chain[1]) for chain in chains.values() if len(chain) > 1]
    pairs += [(chain[-2], chain[-1]) for chain in chains.values() if len(chain) > 2]
    assert len(pairs) > 50
    for one, other in pairs[:: max(1, len(pairs) // 40)]:

        def swap(tx: Any, one: Any = one, other: Any = other) -> None:
            for before, then in ((one.id, 10**6), (other.id, one.id), (10**6, other.id)):
                tx.change(update(history).where(history.c.id == before).values(id=then))

        found = after(made, swap).violations
        assert {one.id, other.id} & {each.history_id for each in found if each.check == "chain"}


@pytest.mark.parametrize("table", [*TABLES, metadata.tables["xcom"], metadata.tables["backfill_run"]], ids=str)
def test_a_row_that_is_removed_or_added_is_named(made: World, table: Table) -> None:
    row = rows(made, table)[-1]
    report = after(made, lambda tx: tx.change(delete(table).where(where(table, row))))
    assert any(each.check == "final state" for each in report.violations), "removed"
    copy = dict(row._mapping)
    for column in table.columns:
        unique = column.name in ("dag_id", "run_id", "task_id", "spec_hash", "name", "key")
        if unique:
            copy[column.name] = f"{copy[column.name]} too"
        elif column.name == "id":
            copy["id"] = 10**6
        elif column.name == "logical_date":
            copy["logical_date"] = made.clock.now
        elif table.name == "backfill_run" and column.name == "dag_run_id":
            copy["dag_run_id"] = rows(made, dag_run)[0].id
    report = after(made, lambda tx: tx.change(insert(table), copy))
    assert any(each.check == "final state" for each in report.violations), "added"


def rewritten(tx: Any, row: Any, **cells: Any) -> None:
    """Change a row of history, and make the chain behind it fit, its end included: as one who knows how may do."""
    found = tx.rows(select(history).order_by(history.c.id))
    about = chain_of(subject_of(cells_of(row)))
    chain = [each for each in found if chain_of(subject_of(cells_of(each))) == about]
    head = None
    for each in chain:
        now = {**each._mapping, **(cells if each.id == row.id else {})}
        covered = [now[name] for name in COVERED]
        covered[0] = moment_cell(covered[0])
        head = link(head, covered)
        changed = {name: now[name] for name in COVERED}
        tx.change(update(history).where(history.c.id == each.id).values(**changed, digest=head))
    tx.change(update(task_instance).where(task_instance.c.id == row.task_instance_id).values(chain_head=head))


def test_a_chain_that_is_rewritten_is_found_by_a_seal_that_was_made_before(made: World) -> None:
    seal = made.store.audit().chains
    assert after(made, lambda tx: None, seal).violations == ()
    row = [each for each in rows(made, history) if each.cause == "claimed"][0]
    report = after(made, lambda tx: rewritten(tx, row, reason="somebody else"))
    assert report.violations == (), "without a seal nobody can tell"
    report = after(made, lambda tx: rewritten(tx, row, reason="somebody else"), seal)
    [found] = report.violations
    assert (found.check, found.text) == (
        "seal",
        f"its first {_length(seal, row)} rows of history are not those that were sealed",
    )
    assert row.task_id in found.about


def _length(seal: Seal, row: Any) -> int:
    return seal[subject_of(cells_of(row))].length


def test_a_run_that_is_gone_with_all_its_history_is_found_by_a_seal(made: World) -> None:
    seal = made.store.audit().chains
    run = [each for each in rows(made, dag_run) if each.dag_id == "plain"][-1]

    def work(tx: Any) -> None:
        ids = [row.id for row in tx.rows(select(task_instance).where(task_instance.c.dag_run_id == run.id))]
        xcom, wanted = metadata.tables["xcom"], metadata.tables["backfill_run"]
        tx.change(delete(xcom).where(xcom.c.task_instance_id.in_(ids)))
        tx.change(delete(task_instance).where(task_instance.c.dag_run_id == run.id))
        tx.change(delete(wanted).where(wanted.c.dag_run_id == run.id))
        tx.change(delete(dag_run).where(dag_run.c.id == run.id))
        tx.change(delete(history).where(history.c.dag_id == run.dag_id, history.c.run_id == run.run_id))

    found = {each.about for each in after(made, work, seal).violations if each.check == "seal"}
    assert f"dag_run plain / {run.run_id}" in found
    assert len(found) == 4, "its two task instances too, and the result that was refused"


def test_what_was_cleaned_since_a_seal_is_excused_and_nothing_else(world: World) -> None:
    Drive(world, PLAIN, world.backfill(PLAIN, days=3), {}).go()
    seal = world.store.audit().chains
    world.clock.advance(86400)
    Drive(world, PLAIN, world.backfill(PLAIN, days=3, reprocess="all"), {}).go()
    newest = replace(PLAIN, dag_id="newest")  # what has the highest ids is kept
    Drive(world, newest, world.backfill(newest), {}).go()
    assert world.store.audit(seal).violations == ()
    world.clock.advance(86400)
    while world.store.clean_some(Cleaning(world.clock.now, "plain"), world.write_id()):
        pass
    assert len([run for run in world.rows(dag_run) if run.dag_id == "plain"]) == 1
    assert world.store.audit(seal).violations == ()
    newer = world.store.audit().chains
    assert world.store.audit(newer).violations == ()
    Drive(world, PLAIN, world.backfill(PLAIN, days=3), {}).go()
    assert world.store.audit(seal).violations == (), "runs that were made anew have chains of their own"
    assert world.store.audit(newer).violations == ()
    cut = {**seal, ("metastore",): Chain(newer["metastore",].head, newer["metastore",].length)}
    assert world.store.audit(cut).violations, "what was cleaned before a seal excuses nothing that it has"
