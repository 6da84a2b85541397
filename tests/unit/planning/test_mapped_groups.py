"""Mapped groups: expanded together and once, then decided index by index, as groups side by side would be."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.model.keys import UNMAPPED
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import BranchKind, DagSpec, XComRef
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.expanded import reset_for_expansion
from tailrace.planning.marking import MarkRequest, plan_mark_tasks
from tailrace.planning.plan import Dependency, Plan
from tailrace.planning.planner import plan
from tailrace.planning.rules import count, evaluate
from tailrace.planning.snapshot import PreviousRun, RunSnapshot, StoredLength, TaskInstanceSnapshot
from tests.unit.planning.builders import dag, run, snapshot, task_instances
from tests.unit.planning.commanded import facts

S = XComRef("s")
State = TaskInstanceState


def grouped(edges: str, members: str, **of_tasks: dict[str, Any]) -> DagSpec:
    """A DAG in which these tasks are a mapped group over s."""
    fields = {each: {"mapped_over": (S,), "mapped_group": "g", **of_tasks.pop(each, {})} for each in members}
    return dag(edges, **fields, **of_tasks)


AB = grouped("s>a>b>z", "ab")


def decided(spec: DagSpec, lengths: dict[XComRef, StoredLength] | None = None, **states: Any) -> Plan:
    return plan(snapshot(spec, replace(run(spec, tis=task_instances(spec, **states)), lengths=lengths or {})))


def expanded(spec: DagSpec, states: dict[str, list[str]], **alone: Any) -> RunSnapshot:
    """A run in which tasks have these states by index; those of none are expanded and have not begun."""
    made: list[TaskInstanceSnapshot] = []
    for task in spec.tasks:
        for index, state in enumerate(states.get(task.task_id, ())):
            cause = Cause.EXPANDED if state in ("none", "skipped") else Cause.OUTCOME
            made.append(TaskInstanceSnapshot(len(made) + 1, task.task_id, State(state), index, cause=cause))
        if task.task_id not in states:
            said = alone.get(task.task_id, "success" if task.task_id == "s" else "none")
            fields = {"state": said} if isinstance(said, str) else dict(said)
            fields["state"] = State(fields["state"])
            made.append(TaskInstanceSnapshot(len(made) + 1, task.task_id, **fields))
    return run(spec, tis=tuple(made))


def why(found: Plan, task_id: str) -> str:
    [decision] = [each for each in found.decisions if each.key.task_id == task_id]
    return " ".join(str(status.reason) for status in decision.failed if status.dependency is Dependency.MAPPED)


def steps(found: Plan) -> dict[str, State]:
    return {step.key.place: step.after for step in found.transitions}


def test_all_tasks_are_expanded_together_as_soon_as_what_it_is_over_has_ended() -> None:
    found = decided(AB, {S: StoredLength(3)}, s="success")
    assert [(part.task_id, part.count, part.beside) for part in found.expansions] == [
        ("a", 3, ("b",)),
        ("b", 3, ("a",)),
    ]
    assert found.expansions[0].instances == found.expansions[1].instances == {2: State.NONE, 3: State.NONE}
    assert found.transitions == ()
    assert why(found, "b") == "It is expanded into 3 instances before it runs."
    waits = decided(AB, s="running")
    assert waits.expansions == ()
    assert why(waits, "b") == "It waits to be expanded: how many instances it has is known once s has ended."


@pytest.mark.parametrize(
    ("source", "length", "after"),
    [
        ("success", StoredLength(0), State.SKIPPED),
        ("success", StoredLength(None, "a string"), State.UPSTREAM_FAILED),
        ("success", StoredLength(5000), State.FAILED),
        ("skipped", None, State.SKIPPED),
        ("failed", None, State.UPSTREAM_FAILED),
    ],
)
def test_without_an_index_all_its_tasks_end_alike_whatever_their_rules(
    source: str, length: StoredLength | None, after: State
) -> None:
    spec = grouped("s>a>b>z", "ab", b={"trigger_rule": TriggerRule.ALL_DONE})
    found = decided(spec, {} if length is None else {S: length}, s=source)
    assert [(part.count, part.after) for part in found.expansions] == [(0, after)] * 2
    assert len({part.reason for part in found.expansions}) == 1


def test_a_rule_above_that_is_met_or_not_decides_nothing_before_there_are_indexes() -> None:
    """Else how many instances are skipped would depend on when somebody looked."""
    spec = grouped("s>a>b>z x>a", "ab")
    found = decided(spec, s="running", x="failed")
    assert steps(found) == {}
    found = decided(spec, {S: StoredLength(2)}, s="success", x="failed")
    assert [part.count for part in found.expansions] == [2, 2]


def test_an_index_waits_for_its_own_alone_and_what_is_outside_for_all() -> None:
    found = plan(snapshot(AB, expanded(AB, {"a": ["success", "running", "failed"], "b": ["none"] * 3})))
    assert steps(found) == {"b[0]": State.QUEUED, "b[2]": State.UPSTREAM_FAILED, "z": State.UPSTREAM_FAILED}
    found = plan(snapshot(AB, expanded(AB, {"a": ["success"] * 2, "b": ["success", "running"]})))
    assert steps(found) == {}
    found = plan(snapshot(AB, expanded(AB, {"a": ["success"] * 2, "b": ["success", "failed"]})))
    assert steps(found) == {"z": State.UPSTREAM_FAILED}


STATES = st.sampled_from([*State])


@settings(max_examples=300)
@given(
    st.sampled_from([*TriggerRule]),
    st.lists(st.tuples(STATES, STATES), min_size=1, max_size=4),
    STATES,
)
def test_the_rule_of_each_index_is_over_its_own_index_and_all_that_is_outside(
    rule: TriggerRule, above: list[tuple[State, State]], outside: State
) -> None:
    """Any combination of states, those of instances that were removed too."""
    spec = grouped("s>a>c s>b>c x>c c>z", "abc", c={"trigger_rule": rule})
    states = {
        "a": [str(one) for one, _ in above],
        "b": [str(other) for _, other in above],
        "c": ["none"] * len(above),
    }
    found = plan(snapshot(spec, expanded(spec, states, x=str(outside))))
    settled = {step.id: step.after for step in found.transitions}
    after = {(ti.task_id, ti.map_index): settled.get(ti.id, ti.state) for ti in _tis(spec, states, outside)}
    kinds = {"run": State.QUEUED, "skip": State.SKIPPED, "fail_upstream": State.UPSTREAM_FAILED}
    for index in range(len(above)):
        seen = [after["a", index], after["b", index], after["x", UNMAPPED]]
        verdict = evaluate(rule, count(seen))
        assert steps(found).get(f"c[{index}]") == kinds.get(verdict.value), (verdict, seen)


def _tis(spec: DagSpec, states: dict[str, list[str]], outside: State) -> tuple[TaskInstanceSnapshot, ...]:
    return expanded(spec, states, x=str(outside)).task_instances


@settings(max_examples=200)
@given(
    st.sampled_from([*TriggerRule]),
    st.lists(st.sampled_from(sorted(FINISHED)), min_size=1, max_size=4),
    st.data(),
)
def test_a_verdict_for_an_index_is_the_same_whenever_it_is_given(
    rule: TriggerRule, final: list[State], data: st.DataObject
) -> None:
    """Confluence: given early, while other indexes or tasks are pending, it is that of the end."""
    spec = grouped("s>a>c s>b>c c>z", "abc", c={"trigger_rule": rule})
    pending = {place: data.draw(st.booleans()) for place in ((task, at) for task in "ab" for at in range(len(final)))}

    def at(early: bool) -> dict[str, State]:
        states = {
            task: ["running" if early and pending[task, index] else str(end) for index, end in enumerate(final)]
            for task in "ab"
        }
        return steps(plan(snapshot(spec, expanded(spec, {**states, "c": ["none"] * len(final)}))))

    early, late = at(True), at(False)
    assert {place: late.get(place) for place in early} == early
    assert {f"c[{index}]" for index in range(len(final))} <= late.keys()


def followed(*ways: str) -> dict[str, Any]:
    return {"state": "success", "followed": ways}


def test_a_decider_inside_decides_for_its_index_and_outside_only_if_all_agree() -> None:
    spec = grouped("s>d>a d>b d>z", "dab", d={"decides": BranchKind.BRANCH})
    run_ = expanded(spec, {"d": ["success"] * 2, "a": ["none"] * 2, "b": ["none"] * 2})

    def choosing(*choices: tuple[str, ...] | None) -> dict[str, State]:
        tis = tuple(
            replace(ti, followed=choices[ti.map_index]) if ti.task_id == "d" else ti for ti in run_.task_instances
        )
        return steps(plan(snapshot(spec, replace(run_, task_instances=tis))))

    found = choosing(("a",), ("b", "z"))
    assert [found[place] for place in ("a[0]", "b[0]", "a[1]", "b[1]", "z")] == [
        *(State.QUEUED, State.SKIPPED, State.SKIPPED, State.QUEUED, State.QUEUED)
    ]
    assert choosing(("a",), ("b",))["z"] is State.SKIPPED
    assert choosing(("a",), None)["z"] is State.QUEUED


@pytest.mark.parametrize(("other", "becomes"), [("skipped", State.SKIPPED), ("failed", State.UPSTREAM_FAILED)])
def test_a_failed_decider_is_not_hidden_by_another_index(other: str, becomes: State) -> None:
    spec = grouped("s>d>z", "d", d={"decides": BranchKind.SHORT_CIRCUIT})
    run_ = expanded(spec, {"d": ["success", other]})
    tis = tuple(replace(ti, followed=()) if ti.map_index == 0 else ti for ti in run_.task_instances)
    assert steps(plan(snapshot(spec, replace(run_, task_instances=tis)))) == {"z": becomes}


def test_what_never_ends_deadlocks_the_whole_group_and_only_an_index_that_waits_for_it_ever() -> None:
    spec = grouped("s>a>b>z", "ab", s={"pool": "gone"})
    [verdict] = decided(spec).run_verdicts
    assert [blocker.key.place for blocker in verdict.blocked] == ["s", "a", "b", "z"]
    spec = grouped("s>a>b>z", "ab", b={"pool": "gone"})
    found = plan(snapshot(spec, expanded(spec, {"a": ["success", "running"], "b": ["none"] * 2})))
    assert found.run_verdicts == ()
    found = plan(snapshot(spec, expanded(spec, {"a": ["success", "success"], "b": ["none"] * 2})))
    [verdict] = found.run_verdicts
    assert (verdict.state, [each.key.place for each in verdict.blocked]) == (
        DagRunState.DEADLOCKED,
        ["b[0]", "b[1]", "z"],
    )


def test_a_task_that_joins_the_group_gets_the_number_that_stands() -> None:
    spec = grouped("s>a>b>z s>c>z", "abc")
    joined = expanded(spec, {"a": ["success", "failed"], "b": ["success", "upstream_failed"]})
    found = plan(snapshot(spec, joined))
    [part] = found.expansions
    assert (part.task_id, part.count, part.as_task, part.lengths, part.sources) == ("c", 2, "a", (), {})
    none = expanded(spec, {}, **{each: {"state": "skipped", "cause": Cause.EXPANDED} for each in "ab"})
    [part] = plan(snapshot(spec, none)).expansions
    assert (part.task_id, part.count, part.after) == ("c", 0, State.SKIPPED)


def test_what_was_marked_before_there_were_indexes_stays_apart() -> None:
    marked = replace(expanded(AB, {}, a={"state": "success", "cause": Cause.MARKED}), lengths={S: StoredLength(2)})
    [part] = plan(snapshot(AB, marked)).expansions
    assert (part.task_id, part.count) == ("b", 2)
    ready = expanded(AB, {"b": ["none"] * 2}, a={"state": "success", "cause": Cause.MARKED})
    assert steps(plan(snapshot(AB, ready))) == {"b[0]": State.QUEUED, "b[1]": State.QUEUED}


def test_one_that_stops_is_waited_for() -> None:
    run_ = expanded(AB, {"a": ["none"] * 2, "b": ["none"] * 2})
    tis = tuple(
        replace(ti, cause=Cause.CLEARED, **({"state": State.STOPPING, "stopping_to": State.NONE} if ti.id == 2 else {}))
        for ti in run_.task_instances
    )
    found = plan(snapshot(AB, replace(run_, task_instances=tis, lengths={S: StoredLength(1)})))
    assert found.expansions == () and found.transitions == ()
    assert {str(each.failed[0].reason) for each in found.decisions if each.key.task_id == "b"} == {
        "It waits to be expanded anew, until its instances that are stopping have ended: 0."
    }


def test_a_skip_of_all_waits_for_the_date_before() -> None:
    """A date that is skipped at once would overtake it."""
    spec = grouped("s>a>b>z", "ab", b={"depends_on_past": True})

    def found(before: State, items: int) -> int:
        previous = PreviousRun(1, "run_1", DagRunState.RUNNING, {"b": (before,)})
        later = run(spec, 2, tis=task_instances(spec, 200, s="success"), lengths={S: StoredLength(items)})
        return len(plan(snapshot(spec, later, after={2: 1}, previous={1: previous})).expansions)

    assert (found(State.NONE, 0), found(State.FAILED, 0), found(State.NONE, 2)) == (0, 2, 2)


@given(st.lists(st.sampled_from(["success", "failed", "none", "running"]), min_size=2, max_size=4), st.data())
def test_it_is_taken_back_only_as_a_whole(states: list[str], data: st.DataObject) -> None:
    run_ = expanded(AB, {"a": states, "b": ["none"] * len(states)})
    ids = {ti.id: ti.task_id for ti in run_.task_instances if ti.task_id in "ab"}
    cleared = {id: ids[id] for id in data.draw(st.sets(st.sampled_from(sorted(ids))))}
    whole = frozenset(cleared.values())
    reset = {ti.id for ti in reset_for_expansion(AB, run_.task_instances, cleared, whole)}
    left = [ti for ti in run_.task_instances if ti.id in ids and ti.id not in cleared]
    begun = any(ti.state is not State.NONE for ti in left)
    assert reset == (set() if begun or not cleared else {ti.id for ti in left})


def test_one_index_is_cleared_and_marked_with_what_is_below_in_it_and_then_outside() -> None:
    spec = grouped("s>a>b>z", "ab")
    done = expanded(spec, {"a": ["success"] * 3, "b": ["success"] * 3}, z="success")
    about = facts(spec, done)
    cleared = plan_clear(about, ClearRequest(("a",), map_index=1))
    assert [step.key.place for step in cleared.task_instances] == ["a[1]", "b[1]", "z"]
    upward = plan_clear(about, ClearRequest(("b",), map_index=2, upstream=True, downstream=False))
    assert [step.key.place for step in upward.task_instances] == ["s", "a[2]", "b[2]"]
    whole = plan_clear(about, ClearRequest(("a",)))
    assert len(whole.task_instances) == 7
    marked = plan_mark_tasks(about, MarkRequest(State.FAILED, ("a",), map_index=0, downstream=True))
    assert [step.key.place for step in marked.task_instances] == ["a[0]", "b[0]", "z"]
    below = expanded(spec, {"a": ["failed"] * 2, "b": ["upstream_failed"] * 2}, z="upstream_failed")
    mended = plan_mark_tasks(
        facts(spec, below), MarkRequest(State.SUCCESS, ("a",), map_index=1, downstream_failed=True)
    )
    assert [(step.key.place, step.after) for step in mended.task_instances] == [
        *(("a[1]", State.SUCCESS), ("b[1]", State.NONE), ("z", State.NONE))
    ]


def test_an_index_cannot_be_named_while_the_group_is_to_be_expanded_anew() -> None:
    taken = expanded(AB, {"a": ["none"] * 2, "b": ["none"] * 2})
    tis = tuple(replace(ti, cause=Cause.CLEARED) for ti in taken.task_instances)
    [refusal] = plan_clear(facts(AB, replace(taken, task_instances=tis)), ClearRequest(("a",), map_index=1)).refusals
    assert "no map indexes until it is expanded anew" in str(refusal)
    one = tuple(replace(ti, cause=Cause.CLEARED) if ti.task_id == "a" else ti for ti in taken.task_instances)
    assert plan_clear(facts(AB, replace(taken, task_instances=one)), ClearRequest(("a",), map_index=1)).refusals == ()
