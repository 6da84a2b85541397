"""What a try leaves comes back as it was, on both databases; what cannot be kept is one failed try, no lost worker."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tailrace.effects.requests import Accepted, ReadXCom, ReportOutcome
from tailrace.effects.tries import Claim, Submission, TryOutcome, Unreadable, Unstorable, XComQuery
from tailrace.errors import CommandError, EnvironmentBroken
from tailrace.execution.workers.loop import worker_loop
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.metastore.db.tables import dag_run, history, pool, task_instance, xcom
from tailrace.metastore.writes.xcoms import LONGEST_REPLY
from tailrace.model.json_values import json_text, stored_form
from tailrace.model.names import key_error
from tailrace.model.outcomes import MOST_XCOMS, OutcomeKind
from tailrace.model.plain_text import visible_line
from tailrace.model.tagged_values import readable
from tailrace.planning.retries import AfterTry, after_try
from tailrace.runtime.worker import worker_performer
from tailrace.service.changes import resize_pool
from tests.conformance.worlds import World, dag
from tests.unit.execution.test_worker_loop import PARKED
from tests.unit.execution.test_xcom_values import values
from tests.unit.model.anything import json_values, nested, texts

RETRIED = dag("a>b", a={"retries": 10**6})


class Tries:
    """One task instance that is tried again and again: each try leaves something else."""

    def __init__(self, world: World) -> None:
        self.world = world
        _, self.job = world.begun(RETRIED)
        self.id = world.by_task(1)["a"]
        self.run_id = world.row(dag_run, 1).run_id
        self._numbers = itertools.count(1)

    def next(self) -> Claim:
        assert self.world.queue(RETRIED, self.job, self.id).won
        return self.world.running(self.id, next(self._numbers))

    def leave(self, error: str, xcoms: Mapping[str, Any]) -> None:
        """Report a failure, which is tried again, as a worker that has checked what it holds."""
        claim = self.next()
        outcome = TryOutcome(OutcomeKind.FAILED, visible_line(error), xcoms)
        answer = self.world.store.report(claim, outcome, _after(claim, outcome), self.world.write_id())
        assert answer == Accepted("up_for_retry")

    def pulled(self, key: str) -> Any:
        answer = self.world.store.read_xcom(XComQuery("dag", self.run_id, ("a",), key))
        assert not isinstance(answer, Unreadable), answer
        [(task_id, index, value)] = answer
        assert (task_id, index) == ("a", -1)
        return value


@pytest.fixture
def tries(world: World) -> Tries:
    return Tries(world)


def kept(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that a task's own end lets through."""
    found = {}
    for key, value in values.items():
        try:
            if key_error(key) is None:
                found[key] = stored_form(value)
        except ValueError:
            pass
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(texts, st.dictionaries(texts, json_values, max_size=4))
@example("bad cell: F\0x caf\udce9", {"": {"k\0": "v\0"}, "k": "caf\udce9.txt", "\U0001f600" * 512: "\ud800"})
@example("x" * 5_000_000, {"big": 10**4299, "deep": nested(200), "order": {"b": 1, "a": 2}})
def test_whatever_a_try_leaves_comes_back_as_it_was(tries: Tries, error: str, values: Mapping[str, Any]) -> None:
    xcoms = kept(values)
    tries.leave(error, xcoms)
    row = tries.world.row(task_instance, tries.id)
    assert row.reason == visible_line(error)
    assert tries.world.rows(history)[-1].reason == row.reason
    assert len(tries.world.rows(xcom)) == len(xcoms)
    for key, value in xcoms.items():
        assert json_text(tries.pulled(key)) == json_text(value)  # the order of keys too


def test_a_great_many_keys_land(tries: Tries) -> None:
    tries.leave("", {f"k{n}": n for n in range(MOST_XCOMS)})
    assert tries.pulled(f"k{MOST_XCOMS - 1}") == MOST_XCOMS - 1


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(values, max_size=3))
def test_values_of_every_kind_come_back_from_either_database(tries: Tries, left: list[Any]) -> None:
    xcoms = {f"k{at}": stored_xcom(value, "it") for at, value in enumerate(left)}
    tries.leave("", xcoms)
    for key, value in xcoms.items():
        assert tries.pulled(key) == value
    listed = {each.key: each.begins for each in tries.world.store.recorded_xcoms(1)}
    assert listed == {key: json_text(readable(value))[:100] for key, value in xcoms.items()}


def test_an_audit_knows_values_of_every_kind_and_finds_one_that_is_none(tries: Tries) -> None:
    tagged = stored_xcom((1, date(2024, 1, 31)), "it")
    tries.leave("", {"plain": 1, "tagged": tagged})
    assert tries.world.store.audit().violations == ()
    for text in ("tagged {", "tagged", 'Tagged {"$":"date"}'):
        change = xcom.update().where(xcom.c.key == "tagged").values(value=text)
        tries.world.store._database.write(lambda tx, change=change: tx.change(change))
        found = [str(each) for each in tries.world.store.audit().violations]
        assert any("xcom row" in each for each in found), found
        reply = tries.world.store.read_xcom(XComQuery("dag", tries.run_id, ("a",), "tagged"))
        assert isinstance(reply, Unreadable)


# --- what no check of ours let through ---------------------------------------------------------------------------


#: What a store itself refuses, when it gets so far: PostgreSQL all of it, SQLite what is marked.
UNSTORABLE: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"error": "half a character: \udce9"}, True),
    ({"error": "nothing for PostgreSQL: \0"}, False),
    ({"xcoms": {"\udcff": 1}}, True),
    ({"xcoms": {"a\0": 1}}, False),
    ({"xcoms": {"k": float("nan")}}, True),
    ({"xcoms": {"k": {1, 2}}}, True),
    ({"xcoms": {1: 1, "a": 2}}, True),
    ({"xcoms": {"k": nested(5000)}}, True),
    ({"xcoms": {"".join(map(chr, range(0x4E00, 0x9E00))): 1}}, False),  # too long for an index
    ({"followed": ("a", float("inf"))}, True),
)


@pytest.mark.parametrize(("holds", "everywhere"), UNSTORABLE, ids=map(str, itertools.count()))
def test_a_report_that_cannot_be_stored_is_one_failed_try(
    tries: Tries, holds: dict[str, Any], everywhere: bool, tmp_path: Path
) -> None:
    """Never a lost worker: that would run the code three times, whatever its retries."""
    world, claim = tries.world, tries.next()
    perform = worker_performer(world.store, tmp_path, _unexpected)
    outcome = TryOutcome(OutcomeKind.SUCCESS, **holds)
    answer = perform(ReportOutcome(claim, outcome, _after(claim, outcome)))
    if not (everywhere or world.store._database.postgres):
        assert answer == Accepted("success")
        return
    assert isinstance(answer, Unstorable), answer
    assert (world.state(tries.id), world.rows(xcom)) == ("running", []), "nothing of it landed"
    failed = TryOutcome(OutcomeKind.FAILED, visible_line(f"its outcome cannot be stored: {answer.why}"))
    assert perform(ReportOutcome(claim, failed, _after(claim, failed))) == Accepted("up_for_retry")
    assert world.row(task_instance, tries.id).reason == failed.error


def _after(claim: Claim, outcome: TryOutcome) -> AfterTry:
    """What the worker loop decides."""
    spec = RETRIED.by_id["a"]
    budget = {"max_tries": claim.max_tries, "lost_tries": claim.lost_tries, "disable_retry": False}
    return after_try(spec, claim.key, outcome.kind, outcome.error, **budget)


def _unexpected(effect: Any) -> Any:
    raise AssertionError(effect)


def test_a_store_that_is_gone_is_no_fault_of_the_outcome(tries: Tries, tmp_path: Path) -> None:
    claim, outcome = tries.next(), TryOutcome(OutcomeKind.SUCCESS)
    perform = worker_performer(tries.world.store, tmp_path, _unexpected)
    with _gone(tries.world), pytest.raises(EnvironmentBroken):
        perform(ReportOutcome(claim, outcome, _after(claim, outcome)))


@contextmanager
def _gone(world: World) -> Iterator[None]:
    """While this lasts, no table of tries can be found."""
    world.store._database.write(lambda tx: _sql(tx, "ALTER TABLE task_instance RENAME TO elsewhere"))
    yield
    world.store._database.write(lambda tx: _sql(tx, "ALTER TABLE elsewhere RENAME TO task_instance"))


def _sql(tx: Any, text: str) -> None:
    tx.connection.exec_driver_sql(text)


def test_what_a_store_refuses_in_a_read_is_reported_to_the_caller(tries: Tries, tmp_path: Path) -> None:
    perform = worker_performer(tries.world.store, tmp_path, _unexpected)
    for odd in ("\udcff", "a\0"):
        answer = perform(ReadXCom(XComQuery("dag", tries.run_id, ("a",), odd)))
        assert answer == () or (isinstance(answer, Unreadable) and "cannot be stored" in answer.why)
    assert perform(ReadXCom(XComQuery("dag", tries.run_id, ("a",), "k"))) == ()


@pytest.mark.parametrize("name", ["\udcff", "a\nb", "x" * 300, "", "\x1b[2J", "\0"])
def test_a_pool_has_a_name_that_can_be_stored(world: World, name: str) -> None:
    before = world.rows(pool)
    with pytest.raises(CommandError) as refused:
        resize_pool(world.store, name, 1, None)
    assert len(str(refused.value).splitlines()) == 1
    assert world.rows(pool) == before


def test_what_a_pool_is_for_is_kept_in_a_line(world: World) -> None:
    resize_pool(world.store, "p", 1, "two\nlines \0 \udce9")
    assert {each.name: each.description for each in world.store.list_pools()}["p"] == "two\\nlines \\x00 \\udce9"


# --- what is asked for -------------------------------------------------------------------------------------------


def test_any_number_of_tasks_can_be_asked_for(world: World) -> None:
    """SQLite takes 32,766 parameters, PostgreSQL 65,535."""
    spec = dag("a>b b>c")
    _, job = world.begun(spec)
    for task_id in ("a", "b", "c"):
        world.run_try(spec, job, world.by_task(1)[task_id], xcoms={"k": task_id})
    run_id = world.row(dag_run, 1).run_id
    many = ("c", *(f"t{n}" for n in range(70_000)), "a", "b", "a")
    assert world.store.read_xcom(XComQuery("dag", run_id, many, "k")) == (
        ("a", -1, "a"),
        ("b", -1, "b"),
        ("c", -1, "c"),
    )


def test_more_than_a_worker_can_hold_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.metastore.writes.xcoms.LONGEST_REPLY", 100)
    spec = dag("a>b b>c")
    _, job = world.begun(spec)
    for task_id in ("a", "b", "c"):
        world.run_try(spec, job, world.by_task(1)[task_id], xcoms={"k": "x" * 40, "small": 1})
    run_id = world.row(dag_run, 1).run_id
    for task_ids in ((), ("a", "b", "c")):
        refused = world.store.read_xcom(XComQuery("dag", run_id, task_ids, "k"))
        assert isinstance(refused, Unreadable) and "more than 100 characters together" in refused.why
        small = world.store.read_xcom(XComQuery("dag", run_id, task_ids, "small"))
        assert not isinstance(small, Unreadable) and len(small) == 3
    assert world.store.read_xcom(XComQuery("dag", run_id, ("a",), "k")) == (("a", -1, "x" * 40),)
    assert LONGEST_REPLY > 10**7


def test_what_somebody_else_wrote_as_an_xcom_is_reported_to_the_caller(tries: Tries) -> None:
    tries.leave("", {"k": 1})
    for text in ("no json", "[" * 100_000, "1" * 5000):
        tries.world.store._database.write(lambda tx, text=text: tx.change(xcom.update().values(value=text)))
        answer = tries.world.store.read_xcom(XComQuery("dag", tries.run_id, ("a",), "k"))
        assert isinstance(answer, Unreadable) and "the XCom 'k' of a is stored as what cannot be read" in answer.why


@pytest.mark.parametrize(
    ("conf", "read"),
    [
        ('{"threshold":Infinity}', {"threshold": float("inf")}),  # an older Tailrace let it through
        ('{"a":"caf\\udce9"}', {"a": "caf\udce9"}),
        ("no json", None),
        ("[1]", None),
        ("[" * 100_000, None),
        (None, {}),
    ],
)
def test_a_claim_lands_whatever_is_stored_as_conf(tries: Tries, conf: str | None, read: Any) -> None:
    tries.world.set_run(1, conf=conf)
    claim = tries.next()
    assert claim.run_conf == read


def test_a_run_with_what_is_no_conf_ends_its_tries_and_no_worker(tries: Tries, tmp_path: Path) -> None:
    tries.world.set_run(1, conf="no json")
    claim = tries.next()
    loop = worker_loop(20.0)
    next(loop)
    for answer in (Submission(claim.id, claim.key), PARKED, claim, None):
        asked = loop.send(answer)
    assert worker_performer(tries.world.store, tmp_path, _unexpected)(asked) == Accepted("failed")
