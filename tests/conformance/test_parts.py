"""Parts of a DAG, as they are created, done, judged, cleared and shared: what is left out stays as it is."""

from collections.abc import Mapping
from typing import Any

import pytest

from tailrace.metastore.db.tables import backfill as backfill_table
from tailrace.metastore.db.tables import backfill_run, dag_run, task_instance
from tailrace.metastore.plans.rows import run_part_from
from tailrace.metastore.store import Done, MetastoreStale
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.parts import RunPart
from tailrace.model.spec import DagSpec, XComRef
from tailrace.model.states import TaskInstanceState
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.choosing import Choice
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandScope
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.planner import plan
from tests.conformance.worlds import World, dag
from tests.message_text import lines

FAILED, SUCCESS = OutcomeKind.FAILED, OutcomeKind.SUCCESS
OLD = dag("a>b")
NEW = dag("a>b>c")  # c is new


def drive(world: World, spec: DagSpec, backfill: int, job: int = 0, **ends: OutcomeKind) -> None:
    """Drive it to its verdict; ``ends`` says how a task's tries end."""
    job = job or world.job(spec, backfill)
    for _ in range(30):
        applied = world.step(spec, job, backfill)
        if applied.backfill_judged:
            world.sound()
            return
        for row in world.rows(task_instance):
            if row.state == "queued":
                world.report(spec, world.running(row.id, row.try_number), ends.get(row.task_id, SUCCESS))
    raise AssertionError("the backfill never ended")


def done(world: World, spec: DagSpec, days: int = 1, /, request: Mapping[str, Any] = {}, **ends: OutcomeKind) -> int:
    """A backfill that has ended; its row."""
    id = world.backfill(spec, days, **request)
    drive(world, spec, id, **ends)
    return id


def states(world: World, run: int = 1) -> dict[str, str]:
    return {row.task_id: row.state for row in world.task_instances(run)}


def verdict(world: World, id: int) -> str:
    return str(world.row(backfill_table, id).state)


def run_state(world: World, run: int = 1) -> str:
    return str(world.row(dag_run, run).state)


def part(world: World, run: int = 1) -> RunPart | None:
    stored = world.row(dag_run, run).part
    return None if stored is None else run_part_from(stored)


def test_a_new_task_is_filled_into_finished_runs_and_nothing_else_is_touched(world: World) -> None:
    done(world, OLD, 2)
    before = [(row.id, row.try_number, row.chain_length) for row in world.task_instances(1)]
    creation = world.decide(NEW, 3, part=("c",))
    assert [date.to_run for date in creation.dates] == [1, 1, 1]
    assert [date.left_out for date in creation.dates] == [(), (), ("b",)]
    assert "left out of the part and not waited for, although not succeeded: b in 1 run" in lines(creation.notices)
    filled = done(world, NEW, 3, {"part": ("c",)})
    assert states(world) == {"a": "success", "b": "success", "c": "success"}
    assert [(row.id, row.try_number, row.chain_length) for row in world.task_instances(1)][:2] == before
    assert (states(world, 3), run_state(world, 3), verdict(world, filled)) == ({"c": "success"}, "success", "success")
    assert world.store.backfill_summary(filled).task_instances == {"success": 3}
    shown = world.store.show_backfill(filled)
    assert shown is not None and shown.part == ("c",)
    by_id = {each.run_id[10:20]: each for each in world.store.list_runs()}
    assert [by_id[f"2024-01-0{day}"].in_no_part for day in (1, 3)] == [(), ("a", "b")]
    whole = done(world, NEW, 3)
    assert [(row.dag_run_id, row.action) for row in world.rows(backfill_run) if row.backfill_id == whole] == [
        *((1, "leave"), (2, "leave"), (3, "reprocess"))
    ]
    assert states(world, 3) == {"a": "success", "b": "success", "c": "success"}
    world.sound()


def test_a_part_succeeds_in_a_run_that_stays_failed(world: World) -> None:
    done(world, OLD, a=FAILED)
    filled = done(world, NEW, 1, {"part": ("c",)})
    assert states(world) == {"a": "failed", "b": "upstream_failed", "c": "success"}
    assert (run_state(world), verdict(world, filled)) == ("failed", "success")
    [wanted] = [row for row in world.rows(backfill_run) if row.backfill_id == filled]
    assert wanted.run_state == "success"
    again = world.decide(NEW, 1, part=("c",))
    assert (again.done_by, again.dates[0].reason) == (filled, "its run is failed, and nothing of the part is missing")
    assert again.dates[0].left_as == "success"


def test_a_part_fails_in_a_run_whose_leaves_are_well(world: World) -> None:
    done(world, NEW)
    again = done(world, NEW, 1, {"part": ("a",), "reprocess": "all"}, a=FAILED)
    assert states(world) == {"a": "failed", "b": "success", "c": "success"}
    assert (run_state(world), verdict(world, again)) == ("failed", "failed")
    done(world, NEW, 1, {"part": ("c",), "reprocess": "all"})
    assert run_state(world) == "failed"  # nobody has done b after a
    done(world, NEW, 1, {"reprocess": "failed"})
    assert (states(world)["a"], run_state(world)) == ("success", "success")


@pytest.mark.parametrize(("reprocess", "again"), [("missing", ""), ("failed", "b"), ("all", "b")])
def test_reprocess_is_about_the_part_alone(world: World, reprocess: str, again: str) -> None:
    spec = dag("a>b c d>e")
    done(world, spec, b=FAILED, d=FAILED)
    creation = world.decide(spec, part=("b", "c"), reprocess=reprocess)
    wanted = {"missing": (), "failed": ("b",), "all": ("b", "c")}[reprocess]
    assert creation.dates[0].clear == wanted
    id = done(world, spec, 1, {"part": ("b", "c"), "reprocess": reprocess})
    assert states(world)["d"] == "failed" and states(world)["e"] == "upstream_failed"
    assert (states(world)["b"] == "success", verdict(world, id) == "success") == (bool(again), bool(again))
    assert run_state(world) == "failed"


def test_the_same_part_continues_and_another_is_another_backfill(world: World) -> None:
    first = world.backfill(NEW, 2, part=("c",))
    assert world.backfill(NEW, 2, part=("c",)) == first
    other = world.backfill(NEW, 2, part=("a",))
    assert other != first
    assert part(world) == RunPart(("a", "c"), (("a", "b"), ("b", "c")))
    drive(world, NEW, other)
    assert states(world) == {"a": "success", "c": "success"}
    drive(world, NEW, first)
    assert [verdict(world, id) for id in (first, other)] == ["success", "success"]


def test_two_parts_of_one_run_are_judged_apart(world: World) -> None:
    first, other = (world.backfill(NEW, part=tasks) for tasks in (("a",), ("c",)))
    drive(world, NEW, first, a=FAILED)
    drive(world, NEW, other)
    assert (run_state(world), verdict(world, first), verdict(world, other)) == ("failed", "failed", "success")


def test_a_part_joins_a_run_that_runs_another(world: World) -> None:
    first, job = world.begun(NEW, part=("c",))
    world.step(NEW, job, first)
    version = world.row(dag_run, 1).version
    other = world.backfill(NEW, part=("a",))
    assert world.row(dag_run, 1).version == version + 1
    [c] = world.task_instances(1)
    world.report(NEW, world.running(c.id))
    drive(world, NEW, other, job, a=FAILED)
    drive(world, NEW, first)
    assert (run_state(world), verdict(world, first), verdict(world, other)) == ("failed", "success", "failed")


def test_a_verdict_over_less_than_its_run_does_by_now_is_refused(world: World) -> None:
    first, job = world.begun(NEW, part=("c",))
    world.step(NEW, job, first)
    [c] = world.task_instances(1)
    world.report(NEW, world.running(c.id))
    late = plan(world.store.snapshot(job, NEW, first))
    assert [str(each.state) for each in late.run_verdicts] == ["success"]
    other = world.backfill(NEW, part=("a",))
    assert not world.store.apply(late, world.write_id()).judged
    drive(world, NEW, other, job)
    drive(world, NEW, first)
    assert states(world) == {"c": "success", "a": "success"}


def test_a_part_that_would_join_a_run_which_has_ended_meanwhile_is_decided_again(world: World) -> None:
    first, job = world.begun(NEW, part=("c",))
    world.step(NEW, job, first)
    creation = world.decide(NEW, part=("a",))
    drive(world, NEW, first, job)
    assert isinstance(world.store.create_backfill(NEW, creation, "typed", world.write_id()), MetastoreStale)
    id = done(world, NEW, 1, {"part": ("a",)})
    assert (states(world), verdict(world, id)) == ({"c": "success", "a": "success"}, "success")


def test_what_a_running_run_has_done_is_not_cleared_for_another_part(world: World) -> None:
    done(world, NEW)
    first, job = world.begun(NEW, part=("c",), reprocess="all")
    world.step(NEW, job, first)
    [refused] = lines(world.decide(NEW, part=("a",), reprocess="all").refusals)
    assert f"is wanted by backfill {first} with another --reprocess" in refused


def test_a_whole_backfill_would_have_a_part_wait(world: World) -> None:
    done(world, OLD, a=FAILED)
    first = world.backfill(NEW, part=("c",))
    [refused] = lines(world.decide(NEW, reprocess="failed").refusals)
    assert f"is wanted by backfill {first} with another --tasks" in refused
    [refused] = lines(world.decide(NEW, part=("b", "c"), reprocess="failed").refusals)
    assert f"is wanted by backfill {first} with another --tasks" in refused
    drive(world, NEW, first)
    assert world.decide(NEW, reprocess="failed").refusals == ()


def test_a_whole_backfill_joins_a_part_that_holds_all_above_it(world: World) -> None:
    first, job = world.begun(NEW, part=("a", "b"))
    world.step(NEW, job, first)
    whole = world.backfill(NEW)
    assert part(world) == RunPart()
    [a, _] = world.task_instances(1)
    world.report(NEW, world.running(a.id))
    drive(world, NEW, whole, job=job)
    drive(world, NEW, first, job=job)
    assert states(world) == {"a": "success", "b": "success", "c": "success"}


def test_a_part_of_a_run_that_does_more_waits_there_and_says_so(world: World) -> None:
    whole = world.backfill(NEW)
    creation = world.decide(NEW, part=("c",))
    [note] = [line for line in lines(creation.notices) if "open with more than the part" in line]
    assert note.startswith("backfill__2024-01-01T00:00:00+00:00 is open")
    id = world.backfill(NEW, part=("c",))
    drive(world, NEW, whole, a=FAILED)
    drive(world, NEW, id)
    assert (verdict(world, whole), verdict(world, id)) == ("failed", "failed")


def test_depends_on_past_looks_at_the_part_of_the_run_before(world: World) -> None:
    spec = dag("a>b", b={"depends_on_past": True})
    done(world, spec, 2, a=FAILED)
    id = done(world, spec, 2, {"part": ("b",), "reprocess": "failed"})
    assert [states(world, run)["b"] for run in (1, 2)] == ["success", "success"]
    again = world.backfill(spec, 2, part=("b",), reprocess="all")
    drive(world, spec, again, b=FAILED)
    assert (verdict(world, id), verdict(world, again)) == ("success", "deadlocked")
    assert [states(world, run)["b"] for run in (1, 2)] == ["failed", "none"]


def test_what_has_no_outcome_outside_of_the_part_makes_its_run_fail(world: World) -> None:
    spec = dag("a b", a={"depends_on_past": True})
    done(world, spec, 2, a=FAILED)
    id = done(world, dag("a b c", a={"depends_on_past": True}), 2, {"part": ("c",)})
    assert states(world, 2) == {"a": "none", "b": "success", "c": "success"}
    assert (run_state(world, 2), world.row(dag_run, 2).reason) == ("failed", "not done in its part: a is none")
    assert verdict(world, id) == "success"


def test_cancel_and_pause_of_a_part(world: World) -> None:
    done(world, OLD)
    id, job = world.begun(NEW, part=("c",))
    world.step(NEW, job, id)
    assert isinstance(world.do(plan_pause(world.about(backfill_id=id), True)), Done)
    assert not world.step(NEW, job, id).queued
    assert isinstance(world.do(plan_pause(world.about(backfill_id=id), False)), Done)
    world.step(NEW, job, id)
    assert isinstance(world.do(plan_cancel(world.about(backfill_id=id))), Done)
    assert states(world) == {"a": "success", "b": "success", "c": "none"}
    again = done(world, NEW, 1, {"part": ("c",)})
    assert (run_state(world), verdict(world, again)) == ("success", "success")


def test_a_person_clears_a_part(world: World) -> None:
    done(world, NEW, 2, a=FAILED)
    clear = plan_clear(world.about(), ClearRequest(choice=Choice(("b",), downstream=True)))
    assert "left out of the part and not waited for, although not succeeded: a in 2 runs" in lines(clear.notices)
    assert isinstance(world.do(clear), Done)
    assert part(world) == RunPart(("b", "c"), (("a", "b"),))
    assert set(states(world).items()) == {("a", "failed"), ("b", "none"), ("c", "none")}
    id = done(world, NEW, 2, {"part": ("b", "c")})
    assert states(world) == {"a": "failed", "b": "success", "c": "success"}
    assert (run_state(world), verdict(world, id)) == ("failed", "success")


def test_a_clear_in_a_part_that_runs_widens_it(world: World) -> None:
    done(world, NEW)
    id, job = world.begun(NEW, part=("c",), reprocess="all")
    world.step(NEW, job, id)
    world.clear("a", downstream=False)
    assert part(world) == RunPart(("a", "c"), (("b", "c"),))
    ids = world.by_task(1)
    world.report(NEW, world.running(ids["c"], 2))
    drive(world, NEW, id, job=job)
    assert states(world) == {"a": "success", "b": "success", "c": "success"}


def test_a_clear_of_a_run_that_did_a_part_goes_on_with_what_it_has(world: World) -> None:
    done(world, NEW, 1, {"part": ("c",)})
    world.clear("c")
    id = done(world, NEW, 1, {"part": ("c",)})
    assert (states(world), verdict(world, id)) == ({"c": "success"}, "success")
    done(world, NEW)
    world.clear("a")
    assert part(world) == RunPart()
    done(world, NEW)
    assert set(states(world).values()) == {"success"}


def test_a_mark_is_judged_without_the_edges_that_are_cut(world: World) -> None:
    done(world, OLD, b=FAILED)
    id = done(world, NEW, 1, {"part": ("c",)}, c=FAILED)
    mark = plan_mark_tasks(world.about(), MarkRequest(TaskInstanceState.SUCCESS, ("c",)))
    assert isinstance(world.do(mark), Done)
    assert (run_state(world), states(world)["c"]) == ("failed", "success")
    [wanted] = [row for row in world.rows(backfill_run) if row.backfill_id == id]
    assert (wanted.run_state, verdict(world, id)) == ("success", "failed")
    world.sound()


def test_a_mapped_task_is_expanded_over_what_is_stored(world: World) -> None:
    spec = dag("a>m", m={"mapped_over": (XComRef("a"),)})
    first, job = world.begun(spec, part=("a",))
    world.step(spec, job, first)
    [a] = world.task_instances(1)
    world.report(spec, world.running(a.id), xcoms={"return_value": [1, 2, 3]})
    drive(world, spec, first, job=job)
    id = done(world, spec, 2, {"part": ("m",)})
    assert [row.map_index for row in world.task_instances(1) if row.task_id == "m"] == [0, 1, 2]
    [m] = world.task_instances(2)
    assert (m.state, m.reason) == (
        "upstream_failed",
        "it cannot be expanded: a was left out, and has no outcome in this run",
    )
    assert (run_state(world, 1), run_state(world, 2), verdict(world, id)) == ("success", "failed", "failed")


def test_two_jobs_and_one_that_dies_go_on_with_a_part(world: World) -> None:
    done(world, OLD, 2)
    id = world.backfill(NEW, 2, part=("c",))
    dead = world.job(NEW, id)
    world.step(NEW, dead, id)
    applied = world.step(NEW, dead, id)
    assert len(applied.queued) == 2
    world.running(applied.queued[0].id)
    world.clock.advance(600)
    drive(world, NEW, id, job=world.job(NEW, id))
    assert [states(world, run) for run in (1, 2)] == [{"a": "success", "b": "success", "c": "success"}] * 2


def test_a_task_that_its_dag_has_got_meanwhile_holds_nothing_back(world: World) -> None:
    id, job = world.begun(OLD, part=("b",))
    grown = dag("a>b n>b")
    drive(world, grown, id, job=job)
    assert (states(world), run_state(world)) == ({"b": "success"}, "success")


def test_what_a_part_left_alone_is_told_for_it_when_it_goes_again(world: World) -> None:
    spec = dag("a b")
    done(world, spec, 3, a=FAILED)
    left = done(world, spec, 3, {"part": ("b",)})
    mark = plan_mark_tasks(
        world.about("backfill__2024-01-01T00:00:00+00:00"), MarkRequest(TaskInstanceState.SUCCESS, ("a",))
    )
    assert isinstance(world.do(mark), Done)
    clear = plan_clear(world.about("backfill__2024-01-02T00:00:00+00:00"), ClearRequest(("a",)))
    assert isinstance(world.do(clear), Done)
    done(world, spec, 3, {"reprocess": "all"}, b=FAILED)
    states_of = [row.run_state for row in world.rows(backfill_run) if row.backfill_id == left]
    assert (states_of, verdict(world, left)) == (["failed"] * 3, "success")
    done(world, spec, 3, {"reprocess": "failed"}, a=FAILED)
    assert [row.run_state for row in world.rows(backfill_run) if row.backfill_id == left] == ["success"] * 3
    world.sound()


def test_open_runs_that_a_backfill_wants_are_named_by_their_scope(world: World) -> None:
    id = world.backfill(NEW, part=("c",))
    facts = world.store.command_facts(CommandScope("dag", backfill_id=id))
    assert facts.runs[0].wanted_in_part
