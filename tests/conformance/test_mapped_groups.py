"""A mapped group is written as a whole or not at all, whoever is at it, and its indexes go on side by side."""

from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.audit.records import Expanded
from tailrace.effects.results import StaleKind
from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.store import Done, Metastore
from tailrace.model.keys import UNMAPPED
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import BranchKind, DagSpec
from tailrace.model.states import TaskInstanceState
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tests.conformance.mapped import A, Mapped
from tests.conformance.worlds import World, dag


def grouped(edges: str, members: str, **of_tasks: dict[str, Any]) -> DagSpec:
    """A DAG in which these tasks are a mapped group over what a leaves."""
    fields = {each: {"mapped_over": (A,), "mapped_group": "g", **of_tasks.pop(each, {})} for each in members}
    return dag(edges, **fields, **of_tasks)


GROUP = grouped("a>m>n>z", "mn")


def begun(world: World, count: int = 3, spec: DagSpec = GROUP) -> Mapped:
    run = Mapped(world, spec)
    run.leaves(list(range(count)))
    run.step()
    return run


def test_all_its_tasks_are_expanded_in_one_step_and_each_index_goes_on_alone(world: World) -> None:
    run = begun(world)
    assert run.indexes("m") == run.indexes("n") == dict.fromkeys(range(3), "none")
    run.ends("m", 1)
    run.ends("n", 1)
    run.ends("m", 0, OutcomeKind.FAILED_FOR_GOOD)
    run.step()
    assert run.indexes("n") == {0: "upstream_failed", 1: "success", 2: "none"}
    run.ends("m", 2)
    run.ends("n", 2)
    run.step()
    run.step()
    assert (run.indexes("z"), world.row(dag_run, 1).state) == ({UNMAPPED: "upstream_failed"}, "failed")
    world.sound()


@pytest.mark.parametrize(
    ("value", "state", "words"),
    [([], "skipped", "expanded over nothing"), ("text", "upstream_failed", "is a string, not a list or a dict")],
)
def test_without_indexes_all_of_it_ends_with_the_reason(world: World, value: Any, state: str, words: str) -> None:
    run = Mapped(world, grouped("a>m>n>z", "mn", n={"trigger_rule": "all_done"}, z={"trigger_rule": "all_done"}))
    run.leaves(value)
    run.step()
    for task_id in "mn":
        assert run.indexes(task_id) == {UNMAPPED: state}
        assert words in run.reason(task_id)
    run.ends("z")
    run.step()
    assert world.row(dag_run, 1).state == "success"
    world.sound()


def test_of_two_jobs_one_expands_it(world: World, other: Metastore) -> None:
    run = Mapped(world, GROUP)
    run.leaves([1, 2])
    plan = run.plan()
    assert [part.task_id for part in plan.expansions] == ["m", "n"]
    assert world.store.apply(plan, world.write_id()).expanded == (1,)
    again = other.apply(plan, world.write_id())
    assert again.expanded == ()
    assert [stale.kind for stale in again.stale if stale.kind is StaleKind.EXPANSION] == [StaleKind.EXPANSION] * 2
    assert len(run.evidence()) == 4
    run.ends("m", 1)
    run.step(other)
    assert run.indexes("n") == {0: "none", 1: "queued"}
    world.sound()


@pytest.mark.parametrize("changed", ["m", "n"])
def test_where_one_of_its_tasks_cannot_be_expanded_none_is(world: World, changed: str) -> None:
    run = Mapped(world, GROUP)
    run.leaves([1, 2])
    plan = run.plan()
    parts = tuple(replace(part, instances={}) if part.task_id == changed else part for part in plan.expansions)
    applied = world.store.apply(replace(plan, expansions=parts), world.write_id())
    assert (applied.expanded, run.indexes("m"), run.indexes("n")) == ((), {UNMAPPED: "none"}, {UNMAPPED: "none"})
    assert any("another task of its group" in str(stale) for stale in applied.stale)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_cleared_with_what_it_is_over_it_is_expanded_anew(world: World, count: int) -> None:
    run = begun(world)
    for index in range(3):
        run.ends("m", index)
        run.ends("n", index)
    world.clear("a")
    run.leaves(list(range(count)))
    run.step()
    expected = {index: "none" if index < count else "removed" for index in range(max(count, 3))}
    if count == 0:
        expected = {UNMAPPED: "skipped", 1: "removed", 2: "removed"}
    assert run.indexes("m") == run.indexes("n") == expected
    for index in range(count):
        run.ends("m", index)
        run.ends("n", index)
    if count:
        run.ends("z")
    run.step()
    run.step()
    assert world.row(dag_run, 1).state == "success"
    world.sound()


def test_cleared_in_part_its_number_stands(world: World) -> None:
    run = begun(world)
    for index in range(3):
        run.ends("m", index)
        run.ends("n", index)
    world.clear("a", downstream=False)
    run.leaves([1])
    world.clear("n")
    assert run.step().expanded == ()
    assert run.indexes("n") == dict.fromkeys(range(3), "queued")
    world.sound()


def test_one_index_is_cleared_with_its_own_below_and_then_outside(world: World) -> None:
    run = begun(world)
    for index in range(3):
        run.ends("m", index)
        run.ends("n", index)
    run.ends("z")
    assert isinstance(world.do(plan_clear(world.about(), ClearRequest(("m",), map_index=1))), Done)
    assert (run.indexes("m"), run.indexes("n")) == ({0: "success", 1: "none", 2: "success"},) * 2
    assert run.indexes("z") == {UNMAPPED: "none"}
    assert run.step().expanded == ()
    run.ends("m", 1)
    run.ends("n", 1)
    run.ends("z")
    world.sound()


def test_a_decider_in_it_decides_for_its_index(world: World) -> None:
    run = begun(world, 2, grouped("a>m>n>z m>o>z", "mno", m={"decides": BranchKind.BRANCH}))
    run.ends("m", 0, followed=("n",))
    run.ends("m", 1, followed=("o",))
    run.step()
    assert (run.indexes("n"), run.indexes("o")) == ({0: "queued", 1: "skipped"}, {0: "skipped", 1: "queued"})
    world.sound()


def test_a_task_that_is_new_in_it_gets_the_number_that_stands(world: World) -> None:
    run = begun(world)
    run.ends("m", 0)
    world.clear("a", downstream=False)
    run.leaves([1, 2, 3, 4, 5])
    run.becomes(grouped("a>m>n>z m>o>z", "mno"))
    for _ in range(3):
        run.step()
    assert run.indexes("o") == {0: "queued", 1: "none", 2: "none"}
    world.sound()


def test_a_task_that_was_marked_before_keeps_to_itself(world: World) -> None:
    run = Mapped(world, GROUP)
    world.do(plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("m",))))
    run.leaves([1, 2])
    run.step()
    assert (run.indexes("m"), run.indexes("n")) == ({UNMAPPED: "success"}, {0: "none", 1: "none"})
    run.step()
    assert run.indexes("n") == {0: "queued", 1: "queued"}
    world.sound()


def test_a_group_that_is_mapped_no_more_is_one_instance_again(world: World) -> None:
    run = begun(world)
    world.clear("a")
    run.becomes(dag("a>m>n>z"))
    run.leaves([1])
    run.step()
    run.ends("m", UNMAPPED)
    run.step()
    run.ends("n", UNMAPPED)
    assert run.indexes("n") == {UNMAPPED: "success", 1: "removed", 2: "removed"}
    world.sound()


def test_tries_that_are_lost_and_retried_stay_in_their_index(world: World) -> None:
    run = begun(world, 2, grouped("a>m>n>z", "mn", m={"retries": 1, "retry_delay": None}))
    run.ends("m", 0)
    run.ends("n", 0)
    run.ends("m", 1, OutcomeKind.FAILED)
    assert run.indexes("n") == {0: "success", 1: "none"}
    assert world.row(task_instance, run.id("m", 1)).state == "up_for_retry"
    world.sound()


@pytest.mark.parametrize(
    ("task_id", "fields", "said"),
    [
        ("n", {"count": 3, "lengths": (3,)}, "the number of its group stood|indexes 0 to 1"),
        ("n", {"as_task": "z"}, "it names z, which is no task of its group"),
        ("n", {"as_task": "m", "count": 3}, "it names 3 instances, m has 2"),
    ],
)
def test_the_audit_finds_an_expansion_that_its_group_does_not_have(
    world: World, task_id: str, fields: dict[str, Any], said: str
) -> None:
    run = begun(world, 2)
    run.ends("m", 0)
    run.ends("n", 0)

    def forged(expanded: Expanded | None) -> Expanded | None:
        return None if expanded is None else replace(expanded, **fields)

    records = world.store.audit_records()
    changed = tuple(
        replace(row, evidence=replace(row.evidence, expanded=forged(row.evidence.expanded)))
        if row.task_id == task_id and row.evidence is not None and row.evidence.expanded is not None
        else row
        for row in records.history
    )
    found = [str(each) for each in audit(replace(records, history=changed))]
    assert any(word in each for each in found for word in said.split("|")), found
