"""Parts of a DAG: what is chosen, which edges are cut, what joins an open run, and by what a run is judged."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.model.keys import RunType
from tailrace.model.parts import WHOLE, BackfillPart, RunPart, begun, ignored, part_of, state_of_part, without
from tailrace.model.spec import BranchKind, DagSpec, GroupSpec
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.planning.backfills import BackfillRequest
from tailrace.planning.board import Board
from tailrace.planning.choosing import Choice, chosen
from tailrace.planning.explain import explain_run
from tailrace.planning.explain_facts import RunFacts, TaskInstanceFacts
from tailrace.planning.joining import Say, cleared, joined, say_of, waits_differently
from tailrace.planning.messages import Refused
from tailrace.planning.plan import Verdict
from tailrace.planning.planner import plan
from tests.unit.planning.builders import NOW, dag, run, snapshot, task_instances

CHAIN = dag("a>b>c")
GROUPED = replace(
    dag("load.a>load.b>end x>end"), groups=(GroupSpec("load", ("load.a", "load.b")), GroupSpec("other", ("x",)))
)


def meant(*patterns: str, **more: bool) -> tuple[str, ...] | None:
    return chosen(GROUPED, Choice(patterns, **more))


@pytest.mark.parametrize(
    ("patterns", "more", "tasks"),
    [
        (("end",), {}, ("end",)),
        (("load",), {}, ("load.a", "load.b")),
        (("other",), {}, ("x",)),
        (("load.*",), {}, ("load.a", "load.b")),
        (("load[.]b",), {}, ("load.b",)),
        (("loadXb|load.b",), {}, ("load.b",)),
        (("x", "load.a"), {}, ("load.a", "x")),
        (("load.b",), {"upstream": True}, ("load.a", "load.b")),
        (("load.b",), {"downstream": True}, ("end", "load.b")),
        (("x",), {"upstream": True, "downstream": True}, ("end", "x")),
        (("end",), {"upstream": True}, None),
        ((".*",), {}, None),
        ((), {}, None),
    ],
)
def test_what_is_chosen(patterns: tuple[str, ...], more: dict[str, bool], tasks: tuple[str, ...] | None) -> None:
    found = meant(*patterns, **more)
    assert (None if found is None else tuple(sorted(found))) == tasks


@pytest.mark.parametrize(
    ("patterns", "more", "said"),
    [
        (("load",), {}, None),
        (("lod.a",), {}, "no task of dag fits; did you mean load.a, load.b or load?"),
        (("oad",), {}, "no task of dag fits; did you mean load, load.b or load.a?"),
        (("load*",), {}, "as a regular expression it would be load.*"),
        (("a[",), {}, "not a regular expression: unterminated character set at position 1"),
        (("x", "(?P<"), {}, "not a regular expression: "),
        (("(?i)END|(",), {}, "not a regular expression: "),
        (("",), {}, "no task of dag fits; it has load.a, load.b, x, end, load and other"),
        ((), {"upstream": True}, "--upstream goes with --tasks"),
        ((), {"downstream": True}, "--downstream goes with --tasks"),
    ],
)
def test_what_means_nothing_is_one_line(patterns: tuple[str, ...], more: dict[str, bool], said: str | None) -> None:
    if said is None:
        assert meant(*patterns, **more)
        return
    with pytest.raises(Refused) as refused:
        meant(*patterns, **more)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.text())
def test_any_text_chooses_tasks_or_is_refused(pattern: str) -> None:
    try:
        found = meant(pattern)
    except Refused as refused:
        assert len(refused.messages) == 1
        assert len(str(refused).splitlines()) == 1
    else:
        assert found is None or set(found) <= set(GROUPED.by_id)


def test_the_part_is_in_the_identity_of_a_backfill_as_a_set() -> None:
    request = BackfillRequest("dag", NOW, NOW)
    prints = [replace(request, part=part).fingerprint for part in (None, ("a",), ("b",), ("a", "b"), ("b", "a"))]
    assert len(set(prints)) == 4
    assert prints[3] == prints[4]


def test_its_leaves_are_what_nothing_in_it_is_below() -> None:
    assert part_of(dag("a>b>c a>d"), ("d", "a", "c")) == BackfillPart(("a", "c", "d"), ("c", "d"))


TASKS = "abcde"
DAGS = st.lists(st.tuples(st.sampled_from(TASKS), st.sampled_from(TASKS)), max_size=8).map(
    lambda pairs: dag(" ".join([*TASKS, *(f"{min(pair)}>{max(pair)}" for pair in pairs if pair[0] != pair[1])]))
)
PARTS = st.frozensets(st.sampled_from(TASKS), min_size=1)


@given(DAGS, PARTS, PARTS)
def test_cut_are_the_edges_across_the_border_of_what_was_done(spec: DagSpec, first: frozenset[str], then: Any) -> None:
    edges = {(above, task.task_id) for task in spec.tasks for above in task.upstream}
    cut = begun(spec, WHOLE, first, first)
    assert set(cut) == {edge for edge in edges if (edge[0] in first) != (edge[1] in first)}
    again = set(begun(spec, RunPart(cut=cut), then, then))
    assert not {edge for edge in again if then.issuperset(edge)}
    assert {edge for edge in cut if edge[0] not in then and edge[1] not in then} <= again
    assert begun(spec, RunPart(cut=cut), None, spec.by_id) == ()
    left = without(spec, cut)
    assert {(above, task.task_id) for task in left.tasks for above in task.upstream} == edges - set(cut)
    assert {(task.task_id, below) for task in left.tasks for below in task.downstream} == edges - set(cut)
    assert without(spec, cut) is left
    assert without(spec, ()) is spec


@given(DAGS, PARTS, st.data())
def test_what_is_not_done_and_has_no_outcome_holds_nothing_back(
    spec: DagSpec, held: frozenset[str], data: st.DataObject
) -> None:
    states = data.draw(st.dictionaries(st.sampled_from(TASKS), st.lists(st.sampled_from(list(TaskInstanceState)))))
    found = set(ignored(spec, RunPart(tuple(sorted(held))), states))
    for above, below in found:
        assert above not in held and below in held
        assert not states.get(above) or not FINISHED.issuperset(states[above])
    ended = {task_id for task_id, its in states.items() if its and FINISHED.issuperset(its)}
    assert not {edge for edge in found if edge[0] in ended}


@pytest.mark.parametrize(
    ("states", "stopped", "run_state", "expected"),
    [
        ({"a": ["success"], "b": ["success"]}, False, "failed", "success"),
        ({"a": ["failed"], "b": ["success"]}, False, "success", "success"),
        ({"a": ["success"], "b": ["success", "failed"]}, False, "success", "failed"),
        ({"a": ["success"], "b": ["upstream_failed"]}, False, "success", "failed"),
        ({"a": ["success"], "b": ["skipped"]}, True, "failed", "failed"),
        ({"a": ["success"], "b": ["none"]}, False, "deadlocked", "deadlocked"),
        ({"a": ["success"]}, False, "cancelled", "cancelled"),
        ({"b": ["success"], "a": []}, False, "success", "success"),
    ],
)
def test_how_a_part_has_ended(states: Mapping[str, list[str]], stopped: bool, run_state: str, expected: str) -> None:
    found = {task_id: [TaskInstanceState(each) for each in its] for task_id, its in states.items()}
    part = BackfillPart(("a", "b"), ("b",))
    assert state_of_part(part, DagRunState(run_state), found, stopped=stopped) == expected


def test_a_part_decides_about_its_own_tasks_alone() -> None:
    tis = task_instances(CHAIN, a="failed", b="none", c="none")
    held = RunPart(("c",), (("b", "c"),))
    decided = plan(snapshot(CHAIN, run(CHAIN, tis=tis, part=held)))
    assert [(step.key.task_id, str(step.after)) for step in decided.transitions] == [("c", "queued")]
    assert decided.adoptions == ()
    done = task_instances(CHAIN, a="failed", b="none", c="success")
    [verdict] = plan(snapshot(CHAIN, run(CHAIN, tis=done, part=held))).run_verdicts
    assert (verdict.state, verdict.reason) == (DagRunState.FAILED, "not done in its part: b is none")


def test_a_branch_that_is_left_out_or_far_away_excludes_nothing() -> None:
    spec = dag("way>x>z", way={"decides": BranchKind.SHORT_CIRCUIT})
    tis = task_instances(spec, way={"state": "success", "followed": ()}, x="skipped", z="none")
    for part in (("z",), ("way", "z")):
        cut = begun(spec, WHOLE, frozenset(part), part)
        board = Board(run(spec, tis=tis, part=RunPart(part, cut)), spec, {}, {})
        assert board.dag.deciders["z"] == ()
        [step] = plan(snapshot(spec, run(spec, tis=tis, part=RunPart(part, cut)))).transitions
        assert (step.key.task_id, str(step.after)) == ("z", "queued")


def test_a_wait_for_downstream_looks_at_no_task_that_is_left_out() -> None:
    spec = dag("a>b", a={"wait_for_downstream": True})
    board = Board(run(spec, part=RunPart(("a",), (("a", "b"),))), spec, {}, {})
    assert board.dag.by_id["a"].looks_back_at == ("a",)


def of(state: str = "queued", part: RunPart | None = None, **more: Any) -> Any:
    """A run that backfill 1 wants, of a chain of which nothing has begun unless ``tis`` says so."""
    fields = {"wanted_by": (1,), "run_type": RunType.BACKFILL, "tis": (), **more}
    return run(CHAIN, state=DagRunState(state), part=part, owner_job_id=None, **fields)


def test_an_open_run_takes_more_tasks_and_keeps_the_edges_that_were_agreed() -> None:
    first = RunPart(("c",), (("b", "c"),))
    after, again = joined(CHAIN, frozenset("b"), of(part=first), (), say_of(of()))
    assert (after, again) == (RunPart(("b", "c"), (("a", "b"), ("b", "c"))), frozenset("b"))
    assert not waits_differently(CHAIN, frozenset("b"), of(part=first), again)
    assert waits_differently(CHAIN, frozenset("bc"), of(part=first), frozenset("b"))
    assert waits_differently(CHAIN, None, of(part=first), frozenset("ab"))
    tis = task_instances(CHAIN, a="success", b="success", c="none")
    assert not waits_differently(CHAIN, None, of("running", part=first, tis=tis), frozenset())


def test_what_nobody_wants_any_more_is_settled_anew() -> None:
    first = RunPart(("a",), (("a", "b"),))
    assert say_of(of(wanted_by=())) == Say(free=True)
    after, _ = joined(CHAIN, frozenset("c"), of(part=first, wanted_by=()), (), say_of(of(wanted_by=())))
    assert after == RunPart(("c",), (("a", "b"), ("b", "c")))
    live = of(part=first, wanted_by=(), live=True)
    assert say_of(live) == Say(free=False, others=False)
    after, _ = joined(CHAIN, None, live, (), say_of(live))
    assert after == WHOLE


def test_a_run_that_does_all_does_no_less_for_a_part() -> None:
    assert joined(CHAIN, frozenset("c"), of(), (), say_of(of())) == (WHOLE, frozenset())
    assert joined(CHAIN, None, of(), (), say_of(of())) == (None, frozenset())


def test_a_clear_lets_an_edge_count_again_where_both_ends_are_cleared() -> None:
    held = RunPart(("b", "c"), (("a", "b"), ("b", "c")))
    tis = task_instances(CHAIN, a="failed", b="success", c="success")
    closed = of("failed", part=held, tis=tis)
    assert cleared(CHAIN, closed, ("b", "c")) == RunPart(None, (("a", "b"),))
    assert cleared(CHAIN, closed, ("b",)) == RunPart(None, held.cut)
    assert cleared(CHAIN, closed, ("c",), frozenset("c")) == RunPart(("c",), held.cut)
    assert cleared(CHAIN, of("failed", tis=tis), ("c",)) is None
    assert cleared(CHAIN, of("running", part=RunPart(("c",)), tis=tis), ("a",)) == RunPart(("a", "c"))


def test_what_is_still_to_be_done_waits_for_what_is_cleared_above_it() -> None:
    tis = task_instances(CHAIN, a="success", b="none", c="none")
    assert cleared(CHAIN, of("running", tis=tis), ("a",), frozenset("a")) == WHOLE
    tis = task_instances(CHAIN, a="success", b="success", c="none")
    assert cleared(CHAIN, of("running", tis=tis), ("a",), frozenset("a")) == RunPart(None, (("a", "b"),))
    assert cleared(CHAIN, of("running", tis=tis), ("b",), frozenset("b")) == RunPart(None, (("a", "b"),))


def test_an_explanation_says_what_is_not_waited_for_and_what_is_not_done() -> None:
    tis = task_instances(CHAIN, a="failed", b="none", c="running")
    found = run(CHAIN, tis=tis, part=RunPart(("c",), (("b", "c"),)))
    facts = RunFacts(found, snapshot(CHAIN, found), tuple(TaskInstanceFacts(ti) for ti in tis))
    _, b, c = explain_run(facts).task_instances
    assert b.waits == "its run does a part of the DAG without it: c"
    assert str(b.release) == "b of run_1 must run again and succeed"
    assert c.waits.endswith("; not waited for, as left out of its part: b")
    assert c.left_out == ("b",)
    tis = task_instances(CHAIN, a="success", b="success", c="upstream_failed")
    found = run(CHAIN, tis=tis, part=RunPart(("b",), (("b", "c"),)), state=DagRunState.FAILED)
    facts = RunFacts(found, snapshot(CHAIN), tuple(TaskInstanceFacts(ti) for ti in tis))
    assert explain_run(facts).task_instances[2].waits.endswith("; not done together with what is above it: b")


def test_a_decision_says_that_all_above_is_left_out() -> None:
    tis = task_instances(CHAIN, a="failed", b="none", c="none")
    [decision] = plan(snapshot(CHAIN, run(CHAIN, tis=tis, part=RunPart(("c",), (("b", "c"),))))).decisions
    assert decision.verdict is Verdict.RUN
    assert "Everything above the task is left out of its part: b." in [str(each.reason) for each in decision.statuses]
