"""A mapped task is given its instances once, by what the tasks above it have left; anew when it is cleared whole."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.results import Applied, StaleKind
from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.store import Done, Metastore, MetastoreStale
from tailrace.model.keys import UNMAPPED
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import MOST_INSTANCES, DagSpec, XComRef
from tailrace.model.states import TaskInstanceState
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.plan import Plan
from tests.conformance.worlds import World, dag

A = XComRef("a")
MAPPED = dag("a>m>z", m={"mapped_over": (A,)})


class Mapped:
    """One active run of a DAG with a mapped task m, the job that drives it, and the backfill that wants it."""

    def __init__(self, world: World, spec: DagSpec = MAPPED) -> None:
        self.world, self.spec = world, spec
        self.backfill, self.job = world.begun(spec)

    def id(self, task_id: str, index: int = UNMAPPED) -> int:
        [found] = [row.id for row in self.world.task_instances(1) if (row.task_id, row.map_index) == (task_id, index)]
        return int(found)

    def becomes(self, spec: DagSpec) -> None:
        """Its DAG file has changed."""
        self.spec = spec
        self.world.store.store_loaded([spec], self.world.write_id())

    def step(self, store: Metastore | None = None) -> Applied:
        return self.world.step(self.spec, self.job, self.backfill, store)

    def plan(self) -> Plan:
        return self.world.decided(self.world.store.snapshot(self.job, self.spec, self.backfill))

    def ends(self, task_id: str, index: int = UNMAPPED, kind: OutcomeKind = OutcomeKind.SUCCESS, **more: Any) -> None:
        """A try of the task instance, queued by the planner itself, ends so."""
        id = self.id(task_id, index)
        for _ in range(4):
            if self.world.state(id) == "queued":
                break
            self.step()
        claim = self.world.running(id, self.world.row(task_instance, id).try_number)
        self.world.report(self.spec, claim, kind, **more)

    def leaves(self, value: Any, task_id: str = "a") -> None:
        """A task succeeds and leaves this value."""
        self.ends(task_id, xcoms={"return_value": value})

    def indexes(self, task_id: str = "m") -> dict[int, str]:
        """Its instances' states by map index, those that were removed too."""
        found = (row for row in self.world.task_instances(1) if row.task_id == task_id)
        return {row.map_index: row.state for row in sorted(found, key=lambda row: row.map_index)}

    def reason(self, task_id: str = "m") -> str:
        return str(self.world.row(task_instance, self.id(task_id)).reason)

    def told(self) -> list[dict[str, Any]]:
        return [from_json(row.evidence) for row in self.world.history(cause="expanded")]


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
    told = {"count": 3, "lengths": [3], "sources": {str(run.id("a")): 1}}
    assert run.told() == [{**told, "was": UNMAPPED}, told, told]
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


@pytest.mark.parametrize(("value", "lengths"), [({"k": 1, "l": 2}, {0: "none", 1: "none"}), ([None], {0: "none"})])
def test_a_dict_counts_by_its_items(world: World, value: Any, lengths: dict[int, str]) -> None:
    run = Mapped(world)
    run.leaves(value)
    run.step()
    assert run.indexes() == lengths
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


# --- again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_cleared_with_what_it_is_over_it_is_expanded_anew(world: World, count: int) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in range(3):
        run.ends("m", index)
    world.clear("a")
    assert run.indexes() == {0: "none", 1: "none", 2: "none"}
    run.leaves(list(range(count)))
    run.step()
    expected = {index: "none" if index < count else "removed" for index in range(max(count, 3))}
    if count == 0:
        expected = {UNMAPPED: "skipped", 1: "removed", 2: "removed"}
    assert run.indexes() == expected
    for index in range(count):
        run.ends("m", index)
    if count:
        run.ends("z")
    run.step()
    run.step()
    assert world.row(dag_run, 1).state == "success"
    world.clear("a")
    run.leaves([1, 2, 3, 4])
    run.step()
    assert {index: state for index, state in run.indexes().items() if state != "removed"} == dict.fromkeys(
        range(4), "none"
    )
    world.sound()


def test_one_index_cleared_is_that_one_only(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in range(3):
        run.ends("m", index)
    plan = plan_clear(world.about(), ClearRequest(("m",), map_index=1))
    assert [(step.key.task_id, step.key.map_index) for step in plan.task_instances] == [("m", 1)]
    assert isinstance(world.do(plan), Done)
    assert run.step().expanded == ()
    assert run.indexes() == {0: "success", 1: "queued", 2: "success"}
    world.sound()


def test_a_source_cleared_alone_leaves_what_stands(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    run.ends("m", 0)
    world.clear("a", downstream=False)
    run.leaves([1])
    assert run.step().expanded == ()
    assert len(run.indexes()) == 3
    world.sound()


def test_told_and_not_begun_it_is_told_anew_with_what_it_is_over(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    world.clear("a", downstream=False)
    run.leaves([1])
    run.step()
    assert run.indexes() == {0: "none", 1: "removed", 2: "removed"}
    world.sound()


def test_cleared_whole_with_some_begun_and_some_not(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    run.ends("m", 1, OutcomeKind.FAILED_FOR_GOOD)
    for index in (0, 2):  # put back by a pause, as it were: queued, and then not begun
        world.set_state(run.id("m", index), state="none", try_number=0, cause="expanded")
    facts = world.about()
    steps = plan_clear(facts, ClearRequest(("a",))).task_instances
    assert sorted((step.key.place, str(step.before)) for step in steps) == [
        *(("a", "success"), ("m[0]", "none"), ("m[1]", "failed"), ("m[2]", "none")),
    ]
    assert [step.key.place for step in plan_clear(facts, ClearRequest(("m",), map_index=1)).task_instances] == ["m[1]"]


def test_reprocessed_it_is_expanded_anew(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in range(3):
        run.ends("m", index)
    run.ends("z")
    for _ in range(2):
        run.step()
    run.backfill = world.backfill(run.spec, reprocess="all")
    run.job = world.job(run.spec, run.backfill)
    run.step()
    run.leaves([1, 2])
    run.step()
    assert run.indexes() == {0: "none", 1: "none", 2: "removed"}
    world.sound()


def test_only_what_failed_of_it_is_done_again(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    for index in range(3):
        run.ends("m", index, OutcomeKind.FAILED_FOR_GOOD if index == 1 else OutcomeKind.SUCCESS)
    for _ in range(2):
        run.step()
    assert world.row(dag_run, 1).state == "failed"
    [date] = world.decide(run.spec, reprocess="failed").dates
    assert (date.clear, date.to_run) == (("m/1", "z"), 2)
    run.backfill = world.backfill(run.spec, reprocess="failed")
    run.job = world.job(run.spec, run.backfill)
    run.step()
    assert run.indexes() == {0: "success", 1: "none", 2: "success"}
    run.ends("m", 1)
    run.ends("z")
    run.step()
    assert world.row(dag_run, 1).state == "success"
    world.sound()


def test_all_of_it_failed_is_the_whole_task(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    run.step()
    for index in range(2):
        run.ends("m", index, OutcomeKind.FAILED_FOR_GOOD)
    for _ in range(2):
        run.step()
    [date] = world.decide(run.spec, reprocess="failed").dates
    assert date.clear == ("m", "z")


def test_while_an_instance_is_stopping_nothing_of_it_begins(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    run.step()
    claim = world.running(run.id("m", 1))
    world.clear("a")
    assert run.indexes() == {0: "none", 1: "stopping", 2: "none"}
    run.leaves([1, 2, 3, 4])
    decided = run.plan()
    assert decided.expansions == () and not any(step.key.task_id == "m" for step in decided.transitions)
    assert any("stopping have ended: 1." in str(why.reason) for each in decided.decisions for why in each.failed)
    world.report(run.spec, claim, OutcomeKind.LOST)
    run.step()
    assert run.indexes() == dict.fromkeys(range(4), "none")
    world.sound()


def test_a_value_that_is_gone_is_not_counted_by_what_it_was(world: World) -> None:
    """Cleared with what is above, which is then marked: that has left nothing, though its try is the same."""
    run = Mapped(world)
    run.leaves([1, 2])
    run.step()
    run.ends("m", 0)
    run.ends("m", 1)
    world.clear("a")
    world.do(plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("a",))))
    run.step()
    assert run.indexes() == {UNMAPPED: "upstream_failed", 1: "removed"}
    world.sound()


def test_marking_it_marks_all_its_instances_and_an_index_that_one(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2, 3])
    run.step()
    one = plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.FAILED, ("m",), map_index=2))
    assert isinstance(world.do(one), Done)
    assert run.indexes() == {0: "none", 1: "none", 2: "failed"}
    assert isinstance(world.do(plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("m",)))), Done)
    assert run.indexes() == dict.fromkeys(range(3), "success")
    world.sound()


def test_an_index_that_is_not_there_is_refused_with_those_that_are(world: World) -> None:
    run = Mapped(world)

    def refused(task_id: str, index: int) -> str:
        [refusal] = plan_clear(world.about(), ClearRequest((task_id,), map_index=index)).refusals
        return str(refusal)

    assert refused("m", 0).endswith("has no map index 0: it has one instance only, which is not mapped, or not yet")
    run.leaves([1, 2, 3])
    run.step()
    assert refused("m", 3).endswith("has no map index 3: it has map indexes 0 to 2")
    assert refused("m", UNMAPPED).endswith("it has map indexes 0 to 2")
    assert "is not mapped" in refused("a", 0)
    world.clear("a")
    assert "until it is expanded anew" in refused("m", 0)
    run.leaves([1])
    run.step()
    assert refused("m", 2).endswith("it has map index 0")
    world.clear("m")  # what has no place any more stays as it is
    assert run.indexes() == {0: "none", 1: "removed", 2: "removed"}
    world.sound()


def test_a_backfill_that_fills_gaps_finds_none_in_what_has_no_place(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    run.step()
    world.clear("a")
    run.leaves([1])
    assert run.step().expanded == (1,)
    assert run.indexes() == {0: "none", 1: "removed"}
    run.ends("m", 0)
    run.ends("z")
    run.step()
    [date] = world.decide(run.spec).dates
    assert (date.action, date.clear, date.to_run) == ("leave", (), 0)


# --- two at once ---------------------------------------------------------------------------------------------


def test_of_two_jobs_one_expands_it(world: World, other: Metastore) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan = run.plan()
    assert len(plan.expansions) == 1
    assert world.store.apply(plan, world.write_id()).expanded == (1,)
    again = other.apply(plan, world.write_id())
    assert again.expanded == ()
    assert [stale.kind for stale in again.stale] == [StaleKind.EXPANSION]
    assert len(run.told()) == 2
    world.sound()


def test_repeated_under_its_id_it_has_landed_once(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan, id = run.plan(), world.write_id()
    assert world.store.apply(plan, id) == world.store.apply(plan, id)
    assert len(run.told()) == 2


def _cleared(run: Mapped) -> None:
    run.world.clear("a")


def _marked(run: Mapped) -> None:
    run.world.do(plan_mark_tasks(run.world.about(), MarkRequest(TaskInstanceState.SKIPPED, ("m",))))


@pytest.mark.parametrize("meanwhile", [_cleared, _marked])
def test_a_command_since_then_makes_it_stale(world: World, meanwhile: Callable[[Mapped], None]) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan = run.plan()
    meanwhile(run)
    assert world.store.apply(plan, world.write_id()).expanded == ()
    assert UNMAPPED in run.indexes()
    world.sound()


@pytest.mark.parametrize("changed", ["instances", "sources"])
def test_each_fact_that_it_stands_on_is_looked_at_again(world: World, changed: str) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    plan = run.plan()
    [part] = plan.expansions
    wrong = (
        replace(part, instances={})
        if changed == "instances"
        else replace(part, sources={run.id("a"): (TaskInstanceState.SUCCESS, 2)})
    )
    assert world.store.apply(replace(plan, expansions=(wrong,)), world.write_id()).expanded == ()
    assert run.indexes() == {UNMAPPED: "none"}


def test_an_expansion_since_then_makes_a_command_stale(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    mark = plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("m",)))
    run.step()
    assert isinstance(world.do(mark), MetastoreStale)
    assert run.indexes() == {0: "none", 1: "none"}


# --- its DAG changes -----------------------------------------------------------------------------------------


def test_a_task_that_has_become_mapped_is_expanded_with_its_tries(world: World) -> None:
    run = Mapped(world, dag("a>m>z", m={"retries": 1}))
    run.leaves([1, 2])
    run.ends("m", kind=OutcomeKind.FAILED)
    run.becomes(MAPPED)
    world.clock.advance(3600)
    run.step()
    assert run.indexes() == {0: "none", 1: "none"}
    assert world.row(task_instance, run.id("m", 0)).try_number == 1
    world.sound()


def test_a_task_that_is_mapped_no_more_has_one_instance_again(world: World) -> None:
    run = Mapped(world)
    run.leaves([1, 2])
    run.step()
    run.becomes(dag("a>m>z"))
    run.step()
    assert run.indexes() == {UNMAPPED: "none", 1: "removed"}
    run.ends("m")
    run.ends("z")
    run.step()
    assert world.row(dag_run, 1).state == "success"
    world.sound()


def test_an_active_run_lacks_no_task_that_has_indexes(world: World) -> None:
    run = Mapped(world, dag("a>m", m={"mapped_over": (A,)}))
    run.leaves([1, 2])
    run.step()
    run.becomes(MAPPED)
    assert run.plan().adoptions[0].task_ids == ("z",)
    run.step()
    assert run.indexes()[0] != "removed" and len(run.indexes()) == 2
