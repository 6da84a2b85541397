"""Which waits are stuck: the greatest set that only each other could end, against every set there is."""

from datetime import timedelta
from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tailrace.model.awaited import NOT_THERE, Awaited, Seen
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Cause
from tailrace.planning.awaiting import waits_of
from tailrace.planning.plan import Plan
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import AwaitedRun, Awaiting, Snapshot, StoppedBy
from tests.unit.planning.builders import NOW, dag, run, snapshot, task_instances

WAITS = {
    "state": "up_for_reschedule",
    "try_number": 1,
    "token": 1,
    "retry_at": NOW + timedelta(days=7),
    "cause": Cause.AWAITS,
}


class Scene:
    """Runs of one date, each of a DAG s > t of its own whose s waits for the t of others; this job has the first."""

    def __init__(self, targets: list[tuple[int, ...]], failing: list[bool], **of_first: Any) -> None:
        self.specs = [dag("s>t", _dag={"dag_id": f"d{number}"}) for number in range(len(targets))]
        self.runs = [
            run(spec, number + 1, tis=task_instances(spec, 100 * (number + 1), s=WAITS))
            for number, spec in enumerate(self.specs)
        ]
        self.date = self.runs[0].logical_date
        self.targets, self.failing, self.of_first = targets, failing, of_first

    def awaiting(self) -> dict[int, Awaiting]:
        """A wait is for tasks of one DAG: of several DAGs it is for the first, and for dates that are not there."""
        found = {}
        for number, targets in enumerate(self.targets):
            on = targets[0]
            missing = tuple(self.date + timedelta(days=each) for each in range(1, len(targets)))
            awaited = Awaited(
                f"d{on}",
                (self.date, *missing),
                ("t",),
                allowed_states=("success",),
                failed_states=("failed",) if self.failing[number] else (),
                **(self.of_first if number == 0 else {}),
            )
            found[self.runs[number].task_instances[0].id] = Awaiting(awaited, (Seen(self.date, "none", "t"),))
        return found

    def snapshot(self, **more: Any) -> Snapshot:
        around = tuple(AwaitedRun(spec, each) for spec, each in list(zip(self.specs, self.runs, strict=True))[1:])
        return replace(snapshot(self.specs[0], self.runs[0]), awaiting=self.awaiting(), around=around, **more)

    def stuck(self) -> set[int]:
        """Of every set in which each wait is for one of it, and nothing else may decide it: all."""
        numbers = range(len(self.targets))
        every = chain.from_iterable(combinations(numbers, size) for size in range(len(self.targets) + 1))

        def holds(these: tuple[int, ...]) -> bool:
            return all(
                self.targets[each][0] in these and not (self.failing[each] and len(self.targets[each]) > 1)
                for each in these
            )

        return {each for these in every if holds(these) for each in these}


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    count = draw(st.integers(1, 5))
    several = st.lists(st.integers(0, count - 1), min_size=1, max_size=2).map(tuple)
    return Scene([draw(several) for _ in range(count)], [draw(st.booleans()) for _ in range(count)])


def deadlocked(decided: Plan) -> bool:
    return [verdict.state for verdict in decided.run_verdicts] == [DagRunState.DEADLOCKED]


@given(scenes())
def test_a_run_is_deadlocked_if_its_wait_is_in_the_greatest_set(scene: Scene) -> None:
    decided = plan(scene.snapshot())
    assert deadlocked(decided) == (0 in scene.stuck())
    if decided.run_verdicts:
        [verdict] = decided.run_verdicts
        reached, at = set[int](), scene.targets[0][0]
        while at not in reached:
            reached.add(at)
            at = scene.targets[at][0]
        assert {each.id for each in verdict.circle} == {number + 1 for number in reached - {0}}
        assert set(verdict.tokens) == {100}
        assert [each.tokens for each in verdict.circle] == [{100 * each.id: 1} for each in verdict.circle]


PAIR = Scene([(1,), (0,)], [False, False])


def changed(scene: Scene, number: int, **of_run: Any) -> Scene:
    made = Scene(scene.targets, scene.failing)
    made.runs[number] = replace(made.runs[number], **of_run)
    return made


def test_two_that_wait_for_each_other() -> None:
    decided = plan(PAIR.snapshot())
    assert deadlocked(decided)
    assert [each.doomed for each in decided.decisions] == [True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"s": {**WAITS, "cause": Cause.RESCHEDULED}},  # it looks again by the time
        {"s": {**WAITS, "retry_at": NOW}},  # its timeout has come
        {"s": {"state": "running", "try_number": 1}},
        {"s": {"state": "up_for_retry", "try_number": 1, "retry_at": NOW}},
        {"s": "none"},
        {"s": "success"},
        {"s": "failed", "t": "none"},
    ],
)
def test_whatever_goes_on_there_is_no_circle(other: Any) -> None:
    scene = changed(PAIR, 1, task_instances=task_instances(PAIR.specs[1], 200, **other))
    awaiting = scene.awaiting()
    if scene.runs[1].task_instances[0].cause is not Cause.AWAITS:
        awaiting.pop(200)
    assert not plan(replace(scene.snapshot(), awaiting=awaiting)).run_verdicts


def test_a_run_that_is_being_stopped_is_none() -> None:
    assert not plan(changed(PAIR, 1, stopped_by=StoppedBy(Cause.FAIL_FAST, "t failed")).snapshot()).run_verdicts


def test_one_that_is_skipped_at_its_timeout_is_none() -> None:
    assert not plan(Scene([(1,), (0,)], [False, False], goes_on=True).snapshot()).run_verdicts


@pytest.mark.parametrize(("state", "doomed"), [("none", True), ("failed", False), (NOT_THERE, False)])
def test_a_deadlocked_run_dooms_who_waits_for_what_it_has_left(state: str, doomed: bool) -> None:
    scene = changed(PAIR, 1, state=DagRunState.DEADLOCKED, task_instances=())
    found = {100: Awaiting(PAIR.awaiting()[100].awaited, (Seen(scene.date, state, "t"),) if state != NOT_THERE else ())}
    around = (AwaitedRun(PAIR.specs[1], scene.runs[1]),)
    seen = replace(snapshot(PAIR.specs[0], PAIR.runs[0]), awaiting=found, around=around)
    assert deadlocked(plan(seen)) == doomed


def test_what_is_waited_for_by_many_is_looked_at_once() -> None:
    one = Awaiting(Awaited("d", (NOW,), ("t",), allowed_states=("success",)), ())
    found = waits_of(dict.fromkeys(range(2000), one))
    assert len(set(map(id, found.values()))) == 1
