"""A mapped task that is cleared as a whole, or whose DAG changes, is expanded anew; one index is that one only."""

import pytest

from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.store import Done
from tailrace.model.keys import UNMAPPED
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.states import TaskInstanceState
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tests.conformance.mapped import MAPPED, A, Mapped
from tests.conformance.worlds import World, dag


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


def test_expanded_and_not_begun_it_is_expanded_anew_with_what_it_is_over(world: World) -> None:
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
    [waiting] = world.decide(run.spec, reprocess="failed").dates
    assert waiting.clear == ("m/1", "z")
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
