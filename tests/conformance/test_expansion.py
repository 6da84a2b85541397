"""A mapped task is given its instances once, by what the tasks above it have left."""

from datetime import date
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.tries import Unreadable, XComQuery
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.model.keys import UNMAPPED
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import MOST_INSTANCES, XComRef
from tailrace.planning.explain import TaskInstanceExplanation, explain_run
from tests.conformance.mapped import A, Mapped
from tests.conformance.worlds import World, dag


def test_it_begins_with_a_placeholder_and_is_expanded_when_what_it_is_over_has_ended(world: World) -> None:
    run = Mapped(world)
    placeholder = run.id("m")
    assert run.indexes() == {UNMAPPED: "none"}
    run.step()
    assert run.indexes() == {UNMAPPED: "none"}
    version = world.row(dag_run, 1).version
    run.leaves(["x", "y", "z"])
    assert run.step().expanded == (1,)
    assert run.indexes() == {0: "none", 1: "none", 2: "none"}
    assert run.id("m", 0) == placeholder
    assert world.row(dag_run, 1).version == version + 1
    evidence = {"count": 3, "lengths": [3], "sources": {str(run.id("a")): 1}}
    assert run.evidence() == [{**evidence, "was": UNMAPPED}, evidence, evidence]
    world.sound()


def test_each_instance_is_a_task_instance_of_its_own_and_what_is_below_waits_for_all(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in (2, 0):
        run.ends("m", index, xcoms={"return_value": index})
        run.step()
        assert run.indexes("z") == {UNMAPPED: "none"}
    run.ends("m", 1)
    run.ends("z")
    run.step()
    assert world.row(dag_run, 1).state == "success"
    world.sound()


@pytest.mark.parametrize(
    ("value", "lengths"),
    [
        ({"k": 1, "l": 2}, {0: "none", 1: "none"}),
        ([None], {0: "none"}),
        (stored_xcom((date(2024, 1, 1), 2), "it"), {0: "none", 1: "none"}),
        (stored_xcom([{1, 2}], "it"), {0: "none"}),
        (stored_xcom({"$": 1, "k": (1, 2)}, "it"), {0: "none", 1: "none"}),
    ],
)
def test_a_dict_counts_by_its_items(world: World, value: Any, lengths: dict[int, str]) -> None:
    run = Mapped(world)
    run.leaves(value)
    run.step()
    assert run.indexes() == lengths
    world.sound()


@pytest.mark.parametrize(("most", "indexes"), [(2000, 1500), (1000, 0)])
def test_how_many_it_may_have_is_told_with_what_it_was_decided_by(world: World, most: int, indexes: int) -> None:
    run = Mapped(world)
    run.leaves([0] * 1500)
    seen = replace(world.store.snapshot(run.job, run.spec, run.backfill), max_map_length=most)
    assert world.store.apply(world.decided(seen), world.write_id()).expanded == (1,)
    assert set(run.indexes()) == (set(range(indexes)) or {UNMAPPED})
    assert run.evidence()[0]["most"] == most
    world.sound()


def test_several_arguments_are_multiplied(world: World) -> None:
    run = Mapped(world, dag("a>m b>m", m={"mapped_over": (A, 2, XComRef("b", "other"))}))
    run.leaves([1, 2])
    run.ends("b", xcoms={"other": {"only": 1}})
    run.step()
    assert list(run.indexes()) == [0, 1, 2, 3]
    world.sound()


def test_literal_lengths_alone_need_nothing_above(world: World) -> None:
    run = Mapped(world, dag("m>z", m={"mapped_over": (2,)}))
    assert run.step().expanded == (1,)
    run.step()
    assert run.indexes() == {0: "queued", 1: "queued"}
    world.sound()


@pytest.mark.parametrize(
    ("xcoms", "state", "words"),
    [
        ({"return_value": []}, "skipped", "expanded over nothing"),
        ({"return_value": {}}, "skipped", "expanded over nothing"),
        ({"return_value": "text"}, "upstream_failed", "XCom 'return_value' of a is a string, not a list or a dict"),
        ({"return_value": 7}, "upstream_failed", "is a number"),
        ({"return_value": True}, "upstream_failed", "is true or false"),
        ({"return_value": None}, "upstream_failed", "is null"),
        ({"return_value": stored_xcom({1, 2}, "it")}, "upstream_failed", "is a set, not a list or a dict"),
        ({"return_value": stored_xcom(date(2024, 1, 1), "it")}, "upstream_failed", "is a date"),
        ({"other": [1]}, "upstream_failed", "is missing"),
        ({"return_value": [0] * (MOST_INSTANCES + 1)}, "failed", "1,025 instances; at most 1,024"),
    ],
)
def test_what_cannot_be_expanded_ends_with_the_reason(
    world: World, xcoms: dict[str, Any], state: str, words: str
) -> None:
    run = Mapped(world)
    run.ends("a", xcoms=xcoms)
    run.step()
    assert run.indexes() == {UNMAPPED: state}
    assert words in run.reason()
    for _ in range(3):
        run.step()
    assert world.row(dag_run, 1).state == ("success" if state == "skipped" else "failed")
    world.sound()


def test_as_many_as_are_allowed(world: World) -> None:
    run = Mapped(world)
    run.leaves([0] * MOST_INSTANCES)
    run.step()
    assert list(run.indexes()) == list(range(MOST_INSTANCES))
    world.sound()


@pytest.mark.parametrize(("kind", "state"), [("skipped", "skipped"), ("failed", "upstream_failed")])
def test_what_has_nothing_to_be_expanded_over_follows_it_whatever_its_rule(world: World, kind: str, state: str) -> None:
    run = Mapped(world, dag("a>m>z", m={"mapped_over": (A,), "trigger_rule": TriggerRule.ALL_DONE}))
    run.ends("a", kind=OutcomeKind(kind))
    run.step()
    assert run.indexes() == {UNMAPPED: state}
    world.sound()


def test_it_waits_for_all_that_it_is_expanded_over_even_where_its_rule_does_not(world: World) -> None:
    spec = dag("a>m b>m", m={"mapped_over": (A, XComRef("b")), "trigger_rule": TriggerRule.ONE_SUCCESS})
    run = Mapped(world, spec)
    run.leaves([1, 2])
    assert run.step().expanded == ()
    assert run.indexes() == {UNMAPPED: "none"}
    run.leaves([1, 2, 3], "b")
    run.step()
    assert len(run.indexes()) == 6
    world.sound()


def test_over_a_mapped_task_as_many_as_have_left_something(world: World) -> None:
    spec = dag("a>m>n", m={"mapped_over": (A,)}, n={"mapped_over": (XComRef("m"),), "trigger_rule": "all_done"})
    run = Mapped(world, spec)
    run.leaves([1, 2, 3])
    run.step()
    run.ends("m", 0, xcoms={"return_value": "a long text that is not counted"})
    run.ends("m", 1, OutcomeKind.FAILED_FOR_GOOD)
    run.ends("m", 2, xcoms={"return_value": None})
    run.step()
    assert run.indexes("n") == {0: "none", 1: "none"}
    world.sound()


def test_explain_says_what_a_placeholder_waits_for(world: World) -> None:
    run = Mapped(world, dag("a>m b>m", m={"mapped_over": (A,), "trigger_rule": TriggerRule.ONE_SUCCESS}))

    def explained() -> TaskInstanceExplanation:
        [found] = [each for each in explain_run(world.store.explained(1)).task_instances if each.key.task_id == "m"]
        return found

    run.ends("b")
    waiting = explained()
    assert "how many instances it has is known once a has ended" in waiting.waits
    assert str(waiting.release) == "the end of a (queued)"
    run.leaves([1, 2])
    assert "It is expanded into 2 instances before it runs." in explained().waits
    assert str(explained().release).startswith("the next step of job")


def test_what_all_instances_left_is_no_more_than_a_worker_can_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tailrace.metastore.writes.xcoms.LONGEST_REPLY", 100)
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in range(3):
        run.ends("m", index, xcoms={"k": "x" * 40, "small": index})
    run_id = world.row(dag_run, 1).run_id
    refused = world.store.read_xcom(XComQuery("dag", run_id, ("m",), "k"))
    assert isinstance(refused, Unreadable) and "pull those of fewer tasks, or map_indexes, at a time" in refused.why
    for task_ids in (("m",), ("m", "a"), ()):
        one = world.store.read_xcom(XComQuery("dag", run_id, task_ids, "k", map_index=1))
        assert one == (("m", 1, "x" * 40),)
    small = world.store.read_xcom(XComQuery("dag", run_id, ("m",), "small"))
    assert small == (("m", 0, 0), ("m", 1, 1), ("m", 2, 2))


def test_what_an_instance_is_called_is_kept_until_it_is_another_item(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    run.step()
    run.ends("m", 0, OutcomeKind.FAILED_FOR_GOOD, rendered_map_index="north")
    run.ends("m", 1)
    assert [names_of(world, run)[index] for index in (0, 1)] == ["north", None]
    world.clear("m")
    assert names_of(world, run)[0] == "north"
    run.step()
    run.ends("m", 0)
    assert names_of(world, run)[0] is None
    run.ends("m", 1, rendered_map_index="south")
    world.sound()
    listed = world.store.task_instances_of(1)
    assert [each.rendered_map_index for each in listed if each.task_id == "m"] == [None, "south"]
    found = {each.key.place: each.facts.rendered_map_index for each in explained(world)}
    assert found["m[1]"] == "south"


def names_of(world: World, run: Mapped) -> dict[int, str | None]:
    rows = (world.row(task_instance, run.id("m", index)) for index in run.indexes())
    return {row.map_index: row.rendered_map_index for row in rows}


def explained(world: World) -> tuple[TaskInstanceExplanation, ...]:
    return explain_run(world.store.explained(1)).task_instances
