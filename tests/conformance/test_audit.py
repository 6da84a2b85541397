"""The audit of a real metastore: sound as it was made; every single row that is changed by hand is found."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from tailrace.audit.checks import audit
from tailrace.audit.records import Report
from tailrace.metastore.db.tables import history, outbox
from tailrace.metastore.store import Metastore
from tailrace.metastore.views.audit_records import audited
from tests.conformance.first_schema import back_to_first_schema
from tests.conformance.stories import PAST, PLAIN, Drive, eventful
from tests.conformance.worlds import FalseClock, World

Tampered = Callable[..., set[str]]


class Undo(Exception):
    """Ends a transaction that must not land."""


def audit_after(store: Metastore, *statements: str) -> Report:
    """What the audit finds after these changes, which are then undone."""
    found: list[Report] = []

    def work(tx: Any) -> None:
        if not tx.postgres:
            tx.connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        changed = [tx.change(text(statement.replace(":", r"\:"))) for statement in statements]
        assert all(changed), "nothing was changed"
        found.append(audited(tx))
        raise Undo

    with pytest.raises(Undo):
        store._database.write(work)
    return found[0]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The eventful metastore, made once."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('audit')}/metastore.sqlite"
    else:
        server = request.getfixturevalue("postgres_server")
        url = str(server.new_database(request.getfixturevalue("postgres_template")))
    clock = FalseClock()
    with closing(Metastore.open(url, clock=clock)) as store:
        made = World(store, clock)
        eventful(made)
        yield made


@pytest.fixture
def after(whole: World) -> Tampered:
    """The names of the checks that speak up after these statements."""
    return lambda *statements: {each.check for each in audit_after(whole.store, *statements).violations}


def test_what_has_happened_is_sound(whole: World) -> None:
    report = whole.store.audit()
    assert report.violations == ()
    assert report.notes == ()
    assert report.counts == {
        "history rows": len(whole.rows(history)),
        "task instances": 29,
        "runs": 7,
        "backfills": 4,
        "pools": 2,
        "events": len(whole.rows(outbox)),
    }


# --- one row at a time ------------------------------------------------------------------------------------------

TI = "SELECT ti.id FROM task_instance ti JOIN dag_run r ON r.id = ti.dag_run_id"
OF_HISTORY = "SELECT max(id) FROM history WHERE"
BRANCHING_A = "dag_id = 'branching' AND run_id LIKE '%2024-01-01%'"
EVERYTHING_ELSE = (
    "at, write_id, kind, dag_id, run_id, task_id, map_index, task_instance_id, before, after, actor, cause"
)

BY_HAND = {
    "a task instance's state": ("final state", "UPDATE task_instance SET state = 'failed' WHERE task_id = 'x'"),
    "a task instance's token": ("final state", "UPDATE task_instance SET token = token - 1 WHERE id = 1"),
    "a task instance's try number": ("final state", "UPDATE task_instance SET try_number = 7 WHERE id = 1"),
    "a task instance's pool": (
        "final state",
        "UPDATE task_instance SET pool = 'small' WHERE pool = 'default_pool' AND task_id = 'bad'",
    ),
    "a branch's choice": ("final state", "UPDATE task_instance SET followed = '[\"y\"]' WHERE task_id = 'way'"),
    "a task instance is gone": (
        "final state",
        f"DELETE FROM task_instance WHERE id = (SELECT max(id) FROM ({TI}) AS found)",
    ),
    "a claim is gone": ("chain", f"DELETE FROM history WHERE id = ({OF_HISTORY} cause = 'claimed')"),
    "an outcome is gone": ("final state", f"DELETE FROM history WHERE id = ({OF_HISTORY} cause = 'outcome')"),
    "a second claim of a try": (
        "claim",
        f"INSERT INTO history ({EVERYTHING_ELSE}, try_number, token, reason) SELECT {EVERYTHING_ELSE}, try_number, "
        f"token + 1, reason FROM history WHERE id = ({OF_HISTORY} cause = 'claimed')",
    ),
    "a claim's token": ("token", "UPDATE history SET token = 1 WHERE cause = 'claimed' AND try_number = 2"),
    "an outcome's token": ("outcome", f"UPDATE history SET token = 9 WHERE id = ({OF_HISTORY} cause = 'outcome')"),
    "an outcome's try": ("outcome", f"UPDATE history SET try_number = 9 WHERE id = ({OF_HISTORY} cause = 'outcome')"),
    "a queued try's number": (
        "try number",
        f"UPDATE history SET try_number = 3 WHERE id = ({OF_HISTORY} after = 'queued' AND kind = 'task_instance')",
    ),
    "a skip without a cause": (
        "trigger rule",
        f"UPDATE history SET after = 'skipped', cause = 'trigger_rule' WHERE {BRANCHING_A} AND task_id = 'x' "
        "AND after = 'queued'",
    ),
    "an upstream_failed without a cause": (
        "trigger rule",
        f"UPDATE history SET after = 'upstream_failed', cause = 'trigger_rule' WHERE {BRANCHING_A} AND task_id = 'z' "
        "AND after = 'queued'",
    ),
    "a branch that chose otherwise": (
        "start",
        f"UPDATE history SET evidence = '{{\"followed\":[\"y\"]}}' WHERE {BRANCHING_A} AND task_id = 'way' "
        "AND cause = 'outcome'",
    ),
    "a loss that failed at once": (
        "lost tries",
        "UPDATE history SET after = 'failed' WHERE cause = 'lost' AND after = 'up_for_retry'",
    ),
    "the holder refused": ("refused", "UPDATE history SET try_number = 2, token = 2 WHERE kind = 'refused'"),
    "a worker did what a job does": (
        "transition",
        f"UPDATE history SET actor = 'worker' WHERE id = ({OF_HISTORY} after = 'queued' AND kind = 'task_instance')",
    ),
    "a word nobody knows": (
        "words",
        f"UPDATE history SET after = 'splendid' WHERE id = ({OF_HISTORY} kind = 'dag_run')",
    ),
    "a kind nobody knows": ("kind", f"UPDATE history SET kind = 'rumour' WHERE id = ({OF_HISTORY} kind = 'dag_run')"),
    "a run's verdict in its row": ("final state", "UPDATE dag_run SET state = 'success' WHERE state = 'deadlocked'"),
    "a run's verdict in history": (
        "verdict",
        f"UPDATE history SET after = 'success' WHERE id = ({OF_HISTORY} after = 'failed' AND kind = 'dag_run')",
    ),
    "a run that becomes deadlocked": (
        "false deadlock",
        f"UPDATE history SET after = 'deadlocked' WHERE id = ({OF_HISTORY} after = 'success' AND kind = 'dag_run')",
    ),
    "a deadlock that becomes a failure": (
        "verdict",
        "UPDATE history SET after = 'failed' WHERE after = 'deadlocked' AND kind = 'dag_run'",
    ),
    "a backfill's verdict in its row": ("final state", "UPDATE backfill SET state = 'success' WHERE id = 1"),
    "a backfill's verdict in history": (
        "backfill verdict",
        "UPDATE history SET after = 'success' WHERE kind = 'backfill' AND backfill_id = 1 AND cause = 'judged'",
    ),
    "evidence of a verdict": (
        "evidence",
        f"UPDATE history SET evidence = replace(evidence, '\"skipped\"', '\"success\"') "
        f"WHERE id = ({OF_HISTORY} dag_id = 'branching' AND cause = 'judged' AND kind = 'dag_run')",
    ),
    "evidence about the previous run": (
        "evidence",
        'UPDATE history SET evidence = replace(evidence, \'"previous":{"4":"failed"}\', '
        "'\"previous\":{\"4\":\"deadlocked\"}') WHERE after = 'deadlocked' AND kind = 'dag_run'",
    ),
    "evidence is gone": (
        "evidence",
        "UPDATE history SET evidence = NULL WHERE after = 'deadlocked' AND kind = 'dag_run'",
    ),
    "evidence nobody can read": (
        "evidence",
        "UPDATE history SET evidence = '{nothing' WHERE after = 'deadlocked' AND kind = 'dag_run'",
    ),
    "who is blocked": (
        "final state",
        "UPDATE dag_run SET blocked = replace(blocked, '\"p\"', '\"pp\"') WHERE state = 'deadlocked'",
    ),
    "a pool's size": ("final state", "UPDATE pool SET slots = 9 WHERE name = 'small'"),
    "the size a pool had": (
        "pool",
        "UPDATE history SET after = '1' WHERE kind = 'pool' AND pool = 'small' AND cause = 'created'",
    ),
    "a pool's beginning is gone": (
        "final state",
        "DELETE FROM history WHERE kind = 'pool' AND pool = 'default_pool'",
    ),
    "the structure a DAG had": (
        "structure",
        "UPDATE dag_version SET spec = replace(spec, '\"max_active_tasks\":3', '\"max_active_tasks\":9')",
    ),
    "the previous run that a start looked at": (
        "previous run",
        'UPDATE history SET evidence = \'{"previous_run":"no such run"}\' WHERE evidence = \'{"previous_run":null}\'',
    ),
    "what a start looked at is not said": (
        "evidence",
        "UPDATE history SET evidence = NULL WHERE evidence LIKE '{\"previous_run\"%'",
    ),
    "the previous run that blocks": (
        "previous run",
        'UPDATE history SET evidence = replace(evidence, \'"previous_run":"\', \'"previous_run":"another \') '
        "WHERE after = 'deadlocked' AND kind = 'dag_run'",
    ),
    "which schema wrote it": ("final state", "DELETE FROM history WHERE kind = 'schema'"),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_a_row_changed_by_hand_is_found(after: Tampered, what: str) -> None:
    check, statement = BY_HAND[what]
    assert check in after(statement)


@pytest.mark.parametrize("whole", ["sqlite"], indirect=True)
def test_every_row_of_history_is_needed_and_may_stand_once(whole: World) -> None:
    """But for a refused result: it changed nothing, and nothing follows from it."""
    records = whole.store.audit_records()
    rows = records.history
    missed = []
    for place, row in enumerate(rows):
        without, twice = (*rows[:place], *rows[place + 1 :]), (*rows[: place + 1], *rows[place:])
        if row.kind != "refused":
            missed += [("needed", row)] if not audit(replace(records, history=without)) else []
            missed += [("once", row)] if not audit(replace(records, history=twice)) else []
    assert missed == []


OTHER_WORDS = {
    "task_instance": ["none", "queued", "running", "success", "failed", "skipped", "upstream_failed", "up_for_retry"],
    "dag_run": ["queued", "running", "success", "failed", "deadlocked", "cancelled"],
    "backfill": ["queued", "running", "success", "failed", "deadlocked", "cancelled"],
    "pool": ["0", "1", "2", "deleted"],
}


@pytest.mark.parametrize("whole", ["sqlite"], indirect=True)
def test_no_row_of_history_may_lead_elsewhere(whole: World) -> None:
    records = whole.store.audit_records()
    missed = []
    for place, row in enumerate(records.history):
        for word in OTHER_WORDS.get(row.kind, ()):
            changed = (*records.history[:place], replace(row, after=word), *records.history[place + 1 :])
            if word != row.after and not audit(replace(records, history=changed)):
                missed.append((row, word))
    assert missed == []


# --- what history did not tell yet --------------------------------------------------------------------------------


def test_a_metastore_of_the_first_schema_is_judged_by_what_is_known(tmp_path: Path) -> None:
    """Its pools have no rows from then: who was queued into them is counted, not judged."""
    url, clock = f"sqlite:///{tmp_path}/metastore.sqlite", FalseClock()
    with closing(Metastore.open(url, clock=clock)) as store:
        world = World(store, clock)
        Drive(world, PLAIN, world.backfill(PLAIN, days=2), {}).go()
    back_to_first_schema(tmp_path / "metastore.sqlite")
    with closing(sqlite3.connect(tmp_path / "metastore.sqlite")) as older:
        older.execute("UPDATE job SET state = 'success'")
        older.commit()
    with closing(Metastore.open(url, clock=clock)) as store:
        report = store.audit()
        assert report.violations == ()
        assert report.notes == (
            "4 task instances queued into pool default_pool before its size was recorded were judged leniently",
        )
        world = World(store, clock)
        world._numbers = iter(range(1000, 2000))  # type: ignore[assignment]
        Drive(world, PAST, world.backfill(PAST, days=1), {}).go()
        assert store.audit().notes == report.notes
        assert "pool" in {
            each.check for each in audit_after(store, "UPDATE history SET after = '0' WHERE kind = 'pool'").violations
        }


def test_the_sizes_of_pools_are_those_of_the_time(whole: World) -> None:
    """A pool that is smaller now than what was queued into it once is no violation; the same in its old size is."""
    assert whole.store.audit().violations == ()
    resized = "UPDATE history SET before = '2' WHERE kind = 'pool' AND pool = 'small' AND cause = 'resized'"
    created = "UPDATE history SET after = '2' WHERE kind = 'pool' AND pool = 'small' AND cause = 'created'"
    assert {each.check for each in audit_after(whole.store, resized, created).violations} == {"chain"}
    resized, created = resized.replace("'2'", "'1'"), created.replace("'2'", "'1'")
    assert "pool" in {each.check for each in audit_after(whole.store, resized, created).violations}
