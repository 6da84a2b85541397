"""How many instances a mapped task has: decided from one snapshot, once, and never while it may still change."""

from math import prod
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.model.keys import UNMAPPED, spans_of
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import MOST_INSTANCES, DagSpec, XComRef
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.expanded import is_expanded, reset_for_expansion
from tailrace.planning.plan import Dependency, Expansion, Plan
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import RunSnapshot, StoredLength, TaskInstanceSnapshot
from tests.unit.planning.builders import dag, run, snapshot, task_instances

A, B = XComRef("a"), XComRef("b")
State = TaskInstanceState


def decided(spec: DagSpec, *, lengths: dict[XComRef, StoredLength] | None = None, **states: Any) -> Plan:
    """The plan over one run of it."""
    return plan(snapshot(spec, replace(run(spec, tis=task_instances(spec, **states)), lengths=lengths or {})))


def expanded(spec: DagSpec, lengths: dict[XComRef, StoredLength], **states: Any) -> Expansion:
    [expansion] = decided(spec, lengths=lengths, **states).expansions
    return expansion


def why(found: Plan, task_id: str) -> str:
    [decision] = [each for each in found.decisions if each.key.task_id == task_id]
    return " ".join(str(status.reason) for status in decision.failed if status.dependency is Dependency.MAPPED)


OVER = st.lists(st.one_of(st.integers(0, 40), st.sampled_from([A, B])), min_size=1, max_size=3)


@given(OVER, st.integers(0, 40), st.integers(0, 40))
def test_as_many_as_there_are_combinations(over: list[Any], of_a: int, of_b: int) -> None:
    spec = dag("a>m b>m", m={"mapped_over": tuple(over)})
    found = expanded(spec, {A: StoredLength(of_a), B: StoredLength(of_b)}, a="success", b="success")
    count = prod({A: of_a, B: of_b}.get(each, each) for each in over)
    if count > MOST_INSTANCES:
        assert (found.count, found.after) == (0, State.FAILED)
    else:
        assert (found.count, found.after) == (count, State.NONE if count else State.SKIPPED)


def test_how_many_are_allowed_is_a_setting() -> None:
    spec = dag("a>m", m={"mapped_over": (A,)})
    view = replace(run(spec, tis=task_instances(spec, a="success")), lengths={A: StoredLength(2000)})
    [part] = plan(snapshot(spec, view, max_map_length=2000)).expansions
    assert (part.count, part.most) == (2000, 2000)
    [part] = plan(snapshot(spec, view, max_map_length=1999)).expansions
    assert (part.count, part.after) == (0, State.FAILED)
    assert part.reason == "it would have 2,000 instances; at most 1,999 are allowed (max_map_length)"


SOURCE = st.sampled_from([*State])
RULES = st.sampled_from([*TriggerRule])


@given(SOURCE, SOURCE, RULES)
def test_it_is_expanded_only_once_all_that_it_is_over_has_ended(a: State, b: State, rule: TriggerRule) -> None:
    spec = dag("a>m b>m m>z", m={"mapped_over": (A, B), "trigger_rule": rule})
    found = decided(spec, lengths={A: StoredLength(2), B: StoredLength(2)}, a=a, b=b)
    assert not any(step.takes_slot and step.key.task_id == "m" for step in found.transitions)
    if found.expansions:
        assert {a, b} <= FINISHED
        [part] = found.expansions
        bad = {a, b} & {State.FAILED, State.UPSTREAM_FAILED, State.REMOVED}
        after = State.UPSTREAM_FAILED if bad else State.SKIPPED if State.SKIPPED in (a, b) else State.NONE
        assert part.after is after
        assert part.sources == {1: (a, 0), 2: (b, 0)}


def test_a_placeholder_is_never_queued_and_says_what_it_waits_for() -> None:
    spec = dag("a>m b>m", m={"mapped_over": (A,), "trigger_rule": "one_success"})
    found = decided(spec, a="running", b="success")
    assert why(found, "m") == "It waits to be expanded: how many instances it has is known once a has ended."
    found = decided(spec, lengths={A: StoredLength(3)}, a="success", b="running")
    assert why(found, "m") == "It is expanded into 3 instances before it runs."


def test_what_ends_in_this_very_step_is_counted_in_the_next() -> None:
    """Its values have not been read."""
    spec = dag("a>m", m={"mapped_over": (A,), "trigger_rule": "all_done"})
    lost = {"state": "running", "lease_expired": True, "lost_tries": 2}
    found = decided(spec, a={**lost, "map_index": 0})
    assert [step.after for step in found.transitions] == [State.FAILED]
    assert found.expansions == ()


def test_what_never_ends_deadlocks_what_waits_to_be_expanded_over_it() -> None:
    spec = dag("a>m b>m", a={"pool": "gone"}, m={"mapped_over": (A,), "trigger_rule": "one_success"})
    found = decided(spec, b="success")
    [verdict] = found.run_verdicts
    assert verdict.state is DagRunState.DEADLOCKED
    assert [blocker.key.place for blocker in verdict.blocked] == ["a", "m"]


def instances(spec: DagSpec, *states: str, cause: Cause | None = Cause.EXPANDED) -> RunSnapshot:
    """A run whose a succeeded, with these instances of m."""
    a = TaskInstanceSnapshot(1, "a", State.SUCCESS)
    made = [
        TaskInstanceSnapshot(10 + index, "m", State(state), map_index=index, cause=cause if state == "none" else None)
        for index, state in enumerate(states)
    ]
    return run(spec, tis=(a, *made))


M = dag("a>m", m={"mapped_over": (A,)})


def test_once_expanded_it_runs_and_is_expanded_no_more() -> None:
    found = plan(snapshot(M, instances(M, "none", "none", "success")))
    assert found.expansions == ()
    assert [step.key.place for step in found.transitions] == ["m[0]", "m[1]"]


def test_taken_back_whole_it_is_expanded_anew() -> None:
    taken = replace(instances(M, "none", "none", "removed", cause=Cause.CLEARED), lengths={A: StoredLength(1)})
    found = plan(snapshot(M, taken))
    [part] = found.expansions
    assert (part.count, sorted(part.instances)) == (1, [10, 11, 12])
    assert found.transitions == () and found.run_verdicts == ()


def test_a_skip_by_its_rule_needs_no_number() -> None:
    found = decided(M, a="skipped")
    assert found.expansions == ()
    assert [(step.key.place, step.after) for step in found.transitions] == [("m", State.SKIPPED)]


@given(st.lists(st.tuples(st.sampled_from([*State]), st.booleans()), max_size=4))
def test_a_number_stands_while_something_of_it_has_begun(drawn: list[tuple[State, bool]]) -> None:
    made = [
        TaskInstanceSnapshot(index, "m", state, map_index=index, cause=Cause.EXPANDED if fresh else Cause.CLEARED)
        for index, (state, fresh) in enumerate(drawn)
    ]
    nothing = {State.NONE, State.REMOVED, State.STOPPING}  # stopping to be done again, that is
    stands = any(state not in nothing or (state is State.NONE and fresh) for state, fresh in drawn)
    assert is_expanded(made, mapped=True) == stands


def test_cleared_alone_an_index_takes_nothing_else_back() -> None:
    view = instances(M, "success", "none")
    assert list(reset_for_expansion(M, view.task_instances, {10: "m"}, ())) == []
    assert [each.id for each in reset_for_expansion(M, view.task_instances, {10: "m"}, ("m",))] == [11]
    assert [each.id for each in reset_for_expansion(M, view.task_instances, {1: "a", 10: "m"}, ())] == [11]


def test_a_verdict_names_the_first_few_of_a_thousand() -> None:
    failed = plan(snapshot(M, instances(M, *["failed"] * 1000))).run_verdicts[0]
    names = "m[0] is failed; m[1] is failed; m[2] is failed"
    assert failed.reason == f"{names}; so are 997 more of its instances"


@given(st.sets(st.integers(UNMAPPED, 50)))
def test_indexes_are_read_as_spans(indexes: set[int]) -> None:
    read: set[int] = set()
    for span in filter(None, spans_of(indexes).split(", ")):
        first, _, last = span.partition(" to ")
        read.update(range(int(first), int(last or first) + 1))
    assert read == indexes
