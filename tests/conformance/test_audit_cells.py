"""Every cell of a metastore, changed by hand in every way there is: the audit reads on, and says what it cannot read.

What cannot be read is always a finding that names its table and row. So is another value that could be read, but for
the cells that are listed as volatile.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Double, Integer, Table, Text, update
from sqlalchemy.exc import DBAPIError

from tailrace.audit.records import Report
from tailrace.metastore.db.columns import UtcDateTime, to_json
from tailrace.metastore.db.tables import metadata
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.audit_records import audited
from tailrace.metastore.writes.accounted import RENEWED_WHILE_RUNNING, VOLATILE, volatile
from tailrace.model.states import TaskInstanceState
from tests.conformance.stories import busy
from tests.conformance.worlds import PERSON, FalseClock, World

#: Columns by which rows are known: of a row with another one, nobody can say which it was.
IDENTITY: Mapping[str, tuple[str, ...]] = {
    "dag": ("dag_id",),
    "loaded_dag": ("dag_id",),
    "dag_run": ("dag_id", "run_id"),
    "backfill": ("id",),
    "job": ("id",),
    "dag_version": ("id", "spec"),
    "pool": ("name",),
    "variable": ("name",),
    "connection": ("name",),
    "task_instance": ("dag_run_id", "task_id", "map_index"),
    "backfill_run": ("backfill_id", "dag_run_id"),
    "xcom": ("task_instance_id", "key"),
    "chain": ("name",),
    "outbox": ("event_id",),
}

Key = tuple[tuple[str, Any], ...]

TABLES = {table.name: table for table in metadata.sorted_tables}

#: Of rows that are alike in these columns one is changed.
ALIKE = {
    "history": ("kind", "cause"),
    "task_instance": ("state",),
    "dag_run": ("state", "run_type"),
    "backfill": ("state",),
    "job": ("kind", "state"),
    "outbox": ("kind",),
}

#: Columns of JSON, each with some that has another shape; there it cannot be read.
JSON: Mapping[str, tuple[str, ...]] = {
    "backfill.conf": ("[1]", '"x"'),
    "backfill_run.clear": ("{}", "[1]"),
    "dag_run.conf": ("[1]", "null"),
    "dag_run.clear_on_activation": ('{"a":1}', "[null]"),
    "dag_run.blocked": ("{}", "[{}]", '["p"]'),
    "dag_version.spec": ("{}", "[]"),
    "history.evidence": ("[]", "5"),
    "task_instance.followed": ("{}", '[["x"]]'),
    "task_instance.holder": ("{}", "[]", "[[],[],[]]"),
    "write_record.result": (),
    "xcom.value": (),
}

#: Columns of words, each with one that nobody knows.
WORDS = {
    *("backfill.state", "backfill.reprocess", "backfill_run.run_state", "backfill_run.action", "dag_run.state"),
    *("dag_run.run_type", "job.kind", "job.state", "task_instance.state", "task_instance.stopping_to"),
    *("task_instance.cause", "history.kind", "history.actor", "history.cause"),
    "outbox.status",
}

#: A word that is known there as well; of two, the one that does not stand there.
OTHER_WORDS: Mapping[str, tuple[str, str]] = {
    "backfill.state": ("queued", "failed"),
    "backfill.reprocess": ("missing", "all"),
    "backfill_run.run_state": ("queued", "failed"),
    "backfill_run.action": ("create", "leave"),
    "dag_run.state": ("queued", "failed"),
    "dag_run.run_type": ("manual", "scheduled"),
    "job.kind": ("backfill", "scheduler"),
    "job.state": ("success", "failed"),
    "task_instance.state": ("queued", "failed"),
    "task_instance.stopping_to": ("success", "failed"),
    "task_instance.cause": ("marked", "created"),
    "outbox.status": ("called", "failed"),
    "history.kind": ("dag_run", "task_instance"),
    "history.actor": ("person", "planner"),
    "history.cause": ("marked", "created"),
}
#: JSON of the same shape.
OTHER_JSON: Mapping[str, tuple[str, str]] = {
    "backfill.conf": ("{}", '{"k":2}'),
    "backfill_run.clear": ("[]", '["x"]'),
    "dag_run.conf": ("{}", '{"k":2}'),
    "dag_run.clear_on_activation": ("[]", '["x"]'),
    "dag_run.blocked": ("[]", "[]"),
    "dag_version.spec": ("{}", "{}"),
    "history.evidence": ("{}", '{"k":2}'),
    "task_instance.followed": ("[]", '["x"]'),
    "task_instance.holder": ('[["here","boot",7,8,""],null]', '[["here","boot",7,9,""],null]'),
    "write_record.result": ("1", "2"),
    "xcom.value": ("1", "2"),
}


class Undo(Exception):
    """Ends a transaction that must not land."""


class NoText(bytes):
    """Bytes that are put into a cell as if they were text."""


class Cell:
    """One cell of a metastore, and what it may be changed to: ``unreadable`` values, and ``others`` by name."""

    def __init__(
        self, table: Table, key: Key, column: Column[Any], value: Any, *, sqlite: bool, state: str | None = None
    ) -> None:
        self.table, self.key, self.column, self.value, self.state = table, key, column, value, state
        self.name = f"{table.name}.{column.name}"
        self._sqlite = sqlite

    def __str__(self) -> str:
        return f"{self.name} of {dict(self.key)}, {self.value!r}"

    def unreadable(self) -> Iterator[Any]:
        """What nobody can read there."""
        if self.name in WORDS:
            yield from ("splendid", "")
        if self.name in JSON and self.value is not None:
            yield from ("{nothing", "", *JSON[self.name])
        if not self._sqlite:
            return
        yield b"\x00\xff"
        if not isinstance(self.column.type, Text):
            yield from ("twelve", "")
        if isinstance(self.column.type, UtcDateTime):
            yield from ("2024-02-31 00:00:00.000000", "2024-01-01", "now", 7)
        if isinstance(self.column.type, Boolean):
            yield 2
        if isinstance(self.column.type, Integer):
            yield 1.5
        if not self.column.nullable:
            yield None

    def others(self) -> Iterator[tuple[str, Any]]:
        """What could be read as well, and is not what was there."""
        kind, value = self.column.type, self.value
        if self.column.nullable and value is not None:
            yield "gone", None
        if isinstance(kind, Boolean):
            yield "other", not value
        elif isinstance(kind, Double | Integer):
            yield "other", 1 if value is None else value + 1
            yield "negative", -7
        elif isinstance(kind, UtcDateTime):
            yield "other", "2031-01-01 00:00:00.000000" if self._sqlite else "2031-01-01 00:00:00+00"
        elif self.name in OTHER_WORDS or self.name in OTHER_JSON:
            first, second = OTHER_WORDS.get(self.name) or OTHER_JSON[self.name]
            if first != second or value != first:
                yield "other", second if value == first else first
        else:
            yield "other", f"{value or ''}x"
            if value != "":
                yield "empty", ""


class Metastores:
    """A busy metastore, and what an audit finds after one of its cells was changed."""

    def __init__(self, store: Metastore) -> None:
        self.store = store
        self.sqlite = not store._database.postgres

    def cells(self, table: Table) -> Iterator[Cell]:
        """Those of one row of each kind."""
        kinds: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self._rows(table):
            kinds.setdefault(tuple(row[name] for name in ALIKE.get(table.name, ())), row)
        for row in kinds.values():
            for column in table.columns:
                yield self._cell(table, column, row)

    def one_of_each(self, table: Table) -> Iterator[Cell]:
        """One of each column, with something in it; of history, one in a row of each kind."""
        rows = self._rows(table)
        for kind in sorted({row.get("kind", "") for row in rows}) if table.name == "history" else [None]:
            alike = [row for row in rows if kind is None or row["kind"] == kind]
            for column in table.columns:
                yield self._cell(table, column, max(alike, key=lambda row: row[column.name] is not None))

    def _rows(self, table: Table) -> list[dict[str, Any]]:
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        statement = f"SELECT {columns} FROM {table.name} ORDER BY 1, 2"
        found = self.store.read(lambda tx: tx.connection.exec_driver_sql(statement).all())
        return [dict(zip(table.columns.keys(), row, strict=True)) for row in found]

    def _cell(self, table: Table, column: Column[Any], row: Mapping[str, Any]) -> Cell:
        key = tuple((each.name, row[each.name]) for each in table.primary_key.columns)
        return Cell(table, key, column, row[column.name], sqlite=self.sqlite, state=row.get("state"))

    def changed(self, cell: Cell, value: Any) -> Report | None:
        """What the audit finds with this value in the cell; None where the database does not take it."""
        found: list[Report] = []

        def work(tx: Any) -> None:
            if self.sqlite:  # as the shell that somebody opens it with: nothing is checked there
                tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
                tx.connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            mark = "?" if self.sqlite else "%s"
            where = " AND ".join(f'"{name}" = {mark}' for name, _ in cell.key)
            new = f"CAST({mark} AS TEXT)" if isinstance(value, NoText) else mark
            statement = f'UPDATE {cell.table.name} SET "{cell.column.name}" = {new} WHERE {where}'
            try:
                done = tx.connection.exec_driver_sql(statement, (_plain(value), *(part for _, part in cell.key)))
            except DBAPIError:
                raise Undo from None
            assert done.rowcount == 1, "the cell is not there"
            found.append(audited(tx))
            raise Undo

        with pytest.raises(Undo):
            self.store._database.write(work)
        return found[0] if found else None


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, NoText) else value


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metastores]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('cells')}/metastore.sqlite"
    else:
        server = request.getfixturevalue("postgres_server")
        url = str(server.new_database(request.getfixturevalue("postgres_template")))
    clock = FalseClock()
    with closing(Metastore.open(url, clock=clock, person=PERSON)) as store:
        busy(World(store, clock))
        yield Metastores(store)


def names(report: Report, cell: Cell, value: Any) -> bool:
    """Whether a finding names the table and row of the changed cell, by the key that it has now."""
    key = {**dict(cell.key), **({cell.column.name: value} if cell.column.primary_key else {})}
    row = f"{cell.table.name} row {' / '.join(map(str, key.values()))}"
    return any(
        found.about == row
        or (cell.table.name == "history" and found.history_id == key["id"])
        or (cell.name == "dag_version.spec" and found.check == "structure")
        for found in report.violations
    )


@pytest.mark.parametrize("table", TABLES)
def test_what_cannot_be_read_is_a_finding_with_its_row(made: Metastores, table: str) -> None:
    missed, tried = [], 0
    for cell in made.one_of_each(TABLES[table]):
        for value in cell.unreadable():
            report = made.changed(cell, value)
            tried += report is not None
            if report is not None and not names(report, cell, value):
                missed.append(f"{cell} → {value!r}: {[str(found) for found in report.violations]}")
    assert missed == []
    assert tried or not made.sqlite


def told(report: Report, cell: Cell) -> bool:
    """Whether a finding names the column, or is about a row of which the key or the whole was changed."""
    return any(
        cell.column.name in found.text
        or found.check == "chain"
        or (cell.column.name in ("state", "try_number") and found.text.startswith("history leads to "))
        or cell.column.name in IDENTITY.get(cell.table.name, ())
        for found in report.violations
    )


@pytest.mark.parametrize("thorough", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["", "of-each-kind"])
@pytest.mark.parametrize("table", TABLES)
def test_every_cell_with_another_value_is_named_but_for_the_volatile_ones(
    made: Metastores, table: str, thorough: bool
) -> None:
    """Each column of each table, one cell at a time, or of a row of each kind. What is left out is listed in
    ``accounted``, each with why.
    """
    missed: dict[str, set[str]] = defaultdict(set)
    tried: set[str] = set()
    for cell in made.cells(TABLES[table]) if thorough else made.one_of_each(TABLES[table]):
        for change, value in cell.others():
            report = made.changed(cell, value)
            tried |= set() if report is None else {cell.name}
            if report is not None and not told(report, cell) and not renewed(cell):
                missed[cell.name].add(f"{change} of {cell}: {[str(each) for each in report.violations]}")
    assert {name: said for name, said in missed.items() if name not in VOLATILE} == {}
    if made.sqlite:
        every = {f"{table}.{column.name}" for column in TABLES[table].columns}
        assert missed.keys() == {name for name in volatile() if name in every}, "the list is as short as it can be"
        assert tried == every


def renewed(cell: Cell) -> bool:
    """Whether it is the reason of what runs, which is renewed with its lease."""
    return cell.name == RENEWED_WHILE_RUNNING and cell.state == TaskInstanceState.RUNNING


@pytest.mark.parametrize("made", ["sqlite"], indirect=True)
@pytest.mark.parametrize("table", TABLES)
def test_bytes_that_are_no_text_end_nothing(made: Metastores, table: str) -> None:
    """The driver refuses to read them, and with them the whole page that they are in."""
    missed = []
    for cell in made.one_of_each(TABLES[table]):
        if isinstance(cell.column.type, Text):
            report = made.changed(cell, NoText(b"a\xffb"))
            if report is not None and not names(report, cell, b"a\xffb"):
                missed.append(f"{cell}: {[str(found) for found in report.violations]}")
    assert missed == []
    assert made.store.audit().violations == (), "the connection reads as before"


def lacking(value: Any) -> Iterator[Any]:
    """The same without one of its parts, however deep it lies."""
    if isinstance(value, dict):
        for key in value:
            yield {other: part for other, part in value.items() if other != key}
            yield from ({**value, key: part} for part in lacking(value[key]))
    elif isinstance(value, list):
        for place in range(len(value)):
            yield value[:place] + value[place + 1 :]
            yield from (value[:place] + [part] + value[place + 1 :] for part in lacking(value[place]))


@pytest.mark.parametrize("made", ["sqlite"], indirect=True)
def test_evidence_that_lacks_a_part_is_a_finding(made: Metastores) -> None:
    """Whichever part of whichever row: but which tasks are to be done again, which a second backfill may add to."""
    missed, tried = [], 0
    for row in World(made.store, FalseClock()).rows(TABLES["history"]):
        if row.evidence is None or row.kind == "cleaned":
            continue
        cell = Cell(TABLES["history"], (("id", row.id),), TABLES["history"].c.evidence, row.evidence, sqlite=True)
        for less in (None, {}, *lacking(json.loads(row.evidence))):
            report = made.changed(cell, None if less is None else json.dumps(less))
            tried += 1
            if report is not None and not report.violations and not (less and "clear" in less):
                missed.append(f"{cell} → {less}")
    assert missed == []
    assert tried > 100


MOMENTS = st.datetimes(timezones=st.just(UTC))
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    moment=MOMENTS,
    seconds=st.floats(-1e12, 1e12),
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    conf=st.dictionaries(st.text(), TREES).map(to_json),
)
@example(moment=datetime(2024, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC), seconds=0.0, text="", conf='{"k":"\\u0000"}')
@settings(max_examples=60)
def test_what_the_product_can_write_can_be_read(
    made: Metastores, moment: datetime, seconds: float, text: str, conf: str
) -> None:
    """Moments to the microsecond, any text, any JSON: nothing is held against them."""
    found: list[Report] = []

    def work(tx: Any) -> None:
        tx.change(update(TABLES["backfill"]).values(range_end=moment, reason=text, conf=conf))
        tx.change(update(TABLES["job"]).values(started_at=moment, lease_until=seconds, host=text))
        tx.change(update(TABLES["xcom"]).values(at=moment, key=text, value=conf))
        found.append(audited(tx))
        raise Undo

    with pytest.raises(Undo):
        made.store._database.write(work)
    assert [each for each in found[0].violations if each.check == "unreadable"] == []


@pytest.mark.parametrize("made", ["sqlite"], indirect=True)
@given(data=st.data())
@settings(max_examples=250)
def test_no_cell_whatsoever_ends_an_audit(made: Metastores, data: st.DataObject) -> None:
    """Any value of any kind in any cell."""
    table = data.draw(st.sampled_from(list(TABLES.values())))
    cell = data.draw(st.sampled_from(list(made.cells(table))))
    parts = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
    tree = st.recursive(parts, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)
    other = st.sampled_from([each.value for each in made.cells(table)])
    words = st.sampled_from(["none", "queued", "running", "success", "deadlocked", "judged", "person", "cleared"])
    value = data.draw(parts | st.binary() | tree.map(json.dumps) | other | words)
    if not (isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)):
        made.changed(cell, value)
