"""Cleaning removes what is old and closed, whole, and leaves a history that stands up to the audit at every step."""

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Table, delete

from tailrace.metastore.commands import cleaning as module
from tailrace.metastore.commands.cleaning import Cleaning
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, history, task_instance, write_record, xcom
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import DagRunState
from tailrace.planning.commands import CommandScope
from tailrace.planning.marking import plan_mark_runs
from tests.conformance.stories import PAST, PLAIN, Drive, eventful
from tests.conformance.worlds import World

TABLES: dict[str, Table] = {
    "backfills": backfill,
    "runs": dag_run,
    "task instances": task_instance,
    "history rows": history,
    "write records": write_record,
    "xcoms": xcom,
}


def clean(world: World, dag_id: str | None = None, before: datetime | None = None) -> Counter[str]:
    """Clean step by step; after each of them the audit has nothing to say. What was removed."""
    asked = Cleaning(before or world.clock.now, dag_id)
    removed: Counter[str] = Counter()
    while some := world.store.clean_some(asked, world.write_id()):
        removed.update(some)
        assert world.store.audit().violations == ()
    return removed


def count(world: World) -> dict[str, int]:
    return {name: len(world.rows(table)) for name, table in TABLES.items()}


@pytest.fixture
def old(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Much has happened, a hundred days ago; one small backfill since."""
    monkeypatch.setattr(module, "RUNS_AT_ONCE", 2)
    monkeypatch.setattr(module, "BACKFILLS_AT_ONCE", 1)
    eventful(world)
    world.clock.advance(100 * 86400)
    newest = replace(PLAIN, dag_id="newest")
    Drive(world, newest, world.backfill(newest), {}).go()
    return world


def test_what_is_old_and_closed_goes_and_the_dry_run_counts_it(old: World) -> None:
    asked = Cleaning(old.clock.now - timedelta(days=50))
    counted, before = old.store.count_cleanable(asked), count(old)
    assert count(old) == before, "counting removed something"
    removed = clean(old, before=asked.before)
    assert removed == counted
    assert removed["backfills"] == 4
    steps = len(old.history(kind="cleaned"))
    after = count(old)
    for name in ("backfills", "runs", "task instances", "xcoms"):
        assert before[name] - after[name] == removed[name], name
    assert before["history rows"] - after["history rows"] + steps == removed["history rows"]
    assert {(row.dag_id, row.run_id[:20]) for row in old.rows(dag_run)} == {
        ("branching", "backfill__2024-01-03"),  # the newest of each DAG
        ("past", "backfill__2024-01-02"),
        ("plain", "backfill__2024-01-02"),
        ("newest", "backfill__2024-01-01"),
    }
    assert steps > 6
    assert old.store.count_cleanable(asked) == {}


def test_nothing_ended_before_the_first_day(old: World) -> None:
    before = count(old)
    assert clean(old, before=datetime.fromisoformat("2020-01-01T00:00:00+00:00")) == Counter()
    assert count(old) == {**before, "write records": before["write records"] + 1}


def test_only_one_dag(old: World) -> None:
    clean(old, "plain")
    assert {row.dag_id for row in old.rows(backfill)} == {"branching", "past", "newest"}
    assert len(old.history(dag_id="branching")) > 50
    assert old.store.count_cleanable(Cleaning(old.clock.now, "plain")) == {}


def test_what_somebody_needs_stays(old: World) -> None:
    """An unfinished backfill wants old runs, and an open run looks back at one that failed."""
    again = replace(PAST, dag_id="again")
    Drive(old, again, old.backfill(again, days=1), {("p", 1): OutcomeKind.FAILED}).go()
    second = old.backfill(again, days=1, first=datetime.fromisoformat("2024-01-02T00:00:00+00:00"))
    wanting = old.backfill(PLAIN, days=1, new=True)
    last = replace(PLAIN, dag_id="last")  # the highest ids of all are its
    Drive(old, last, old.backfill(last), {}).go()
    old.clock.advance(86400)
    needed = {
        row.id
        for row in old.rows(dag_run)
        if (row.dag_id, row.run_id[:20]) in {("again", "backfill__2024-01-01"), ("plain", "backfill__2024-01-01")}
    }
    clean(old)
    assert needed <= {row.id for row in old.rows(dag_run)}
    assert {second, wanting} <= {row.id for row in old.rows(backfill)}
    Drive(old, again, second, {}).go()
    assert old.row(backfill, second).state == "deadlocked"
    assert old.store.audit().violations == ()


def test_what_a_person_has_marked_since_stays(old: World) -> None:
    before = old.clock.now - timedelta(days=50)
    [first, *_] = [row for row in old.rows(dag_run) if row.dag_id == "plain"]
    facts = old.store.command_facts(CommandScope("plain", first=first.logical_date, last=first.logical_date))
    old.store.command(plan_mark_runs(facts, DagRunState.FAILED), old.write_id())
    clean(old, before=before)
    [marked] = [row for row in old.rows(dag_run) if row.id == first.id]
    assert (marked.state, marked.ended_at) == (DagRunState.FAILED, first.ended_at)


def test_a_run_goes_with_all_its_rows(old: World) -> None:
    clean(old)
    kept = {(row.dag_id, row.run_id) for row in old.rows(dag_run)}
    ids = {row.id for row in old.rows(dag_run)}
    instances = {row.id for row in old.rows(task_instance)}
    assert {(row.dag_id, row.run_id) for row in old.history() if row.run_id} == kept
    assert {row.dag_run_id for row in old.rows(task_instance)} == ids
    assert {row.task_instance_id for row in old.rows(xcom)} <= instances
    assert {row.dag_run_id for row in old.rows(backfill_run)} <= ids


def test_no_id_is_given_twice(old: World) -> None:
    highest = {name: max(row.id for row in old.rows(TABLES[name])) for name in ("runs", "backfills", "task instances")}
    clean(old)
    later = replace(PLAIN, dag_id="later")
    old.begun(later, days=2)
    fresh = [row.id for row in old.rows(dag_run) if row.dag_id == "later"]
    assert min(fresh) > highest["runs"]
    assert max(row.id for row in old.rows(backfill)) > highest["backfills"]
    assert min(row.id for row in old.rows(task_instance) if row.dag_id == "later") > highest["task instances"]


def test_an_id_that_a_repetition_could_name_stays_a_week(old: World) -> None:
    fresh = {row.write_id for row in old.rows(write_record) if row.at > old.clock.now - timedelta(days=7)}
    assert fresh
    clean(old)
    left = {row.write_id for row in old.rows(write_record)}
    assert fresh <= left
    assert len(left) < len(fresh) + 20


def test_the_same_step_twice_removes_once(old: World) -> None:
    asked = Cleaning(old.clock.now)
    first = old.store.clean_some(asked, "once")
    left = count(old)
    assert old.store.clean_some(asked, "once") == first
    assert count(old) == left


def test_rows_that_are_gone_without_a_cleaning_are_found(old: World) -> None:
    clean(old)

    def work(tx: Any) -> None:
        tx.change(delete(history).where(history.c.kind == "cleaned"))

    old.store._database.write(work)
    assert {violation.check for violation in old.store.audit().violations} == {"previous run", "chain"}


def test_no_id_of_history_is_given_twice(world: World) -> None:
    """SQLite gives the id of a row that was the newest again: a process that saw it would find another one there."""
    first = world.backfill(PLAIN)
    world.backfill(replace(PLAIN, dag_id="newest"))
    Drive(world, PLAIN, first, {}).go()
    highest = max(row.id for row in world.history())
    assert world.store.clean_some(Cleaning(world.clock.now + timedelta(days=1)), world.write_id())
    assert highest not in {row.id for row in world.history()}, "the newest row is among what went"
    (cleaned,) = world.history(kind="cleaned")
    assert cleaned.id > highest
    assert json.loads(cleaned.evidence)["backfills"] == 1
