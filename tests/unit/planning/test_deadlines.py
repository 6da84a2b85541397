"""Runs that are late, and DAGs that are paused because their runs fail, one after the other."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.model.keys import RunType
from tailrace.model.spec import DeadlineReference, DeadlineSpec
from tailrace.model.states import DagRunState
from tailrace.planning.plan import DagPause
from tailrace.planning.planner import plan
from tailrace.planning.snapshot import EndedRun, RunSnapshot
from tests.unit.planning.builders import DAY, NOW, dag, run, snapshot, task_instances

HOUR = timedelta(hours=1)
FROM_CREATION = dag("a", _dag={"deadline": DeadlineSpec(DeadlineReference.QUEUED_AT, HOUR)})


@pytest.mark.parametrize(
    ("deadline", "late"),
    [
        (DeadlineSpec(DeadlineReference.QUEUED_AT, HOUR), True),
        (DeadlineSpec(DeadlineReference.QUEUED_AT, HOUR + timedelta(microseconds=1)), False),
        (DeadlineSpec(DeadlineReference.LOGICAL_DATE, 30 * DAY), True),
        (DeadlineSpec(DeadlineReference.LOGICAL_DATE, 30 * DAY + HOUR), False),
        (DeadlineSpec(DeadlineReference.FIXED, timedelta(0), NOW), True),
        (DeadlineSpec(DeadlineReference.FIXED, HOUR, NOW), False),
        (DeadlineSpec(DeadlineReference.LOGICAL_DATE, timedelta(days=900_000_000)), False),
    ],
)
def test_a_run_is_late_once_its_deadline_has_passed(deadline: DeadlineSpec, late: bool) -> None:
    spec = dag("a", _dag={"deadline": deadline})
    decided = plan(snapshot(spec, run(spec, created_at=NOW - HOUR)))
    assert [each.id for each in decided.late] == ([1] if late else [])
    if not late and deadline.interval < 100 * DAY:
        assert decided.wake_at is not None and decided.wake_at > NOW, "the loop wakes in time"
    assert decided.transitions, "nothing else follows from it"


@pytest.mark.parametrize(
    ("more", "marked"),
    [
        ({}, True),
        ({"late_since": NOW - HOUR}, False),
        ({"reopened": True}, False),
        ({"created_at": None}, False),
    ],
)
def test_it_is_marked_once_and_never_when_it_is_done_again(more: dict[str, Any], marked: bool) -> None:
    given = {"created_at": NOW - 2 * HOUR, **more}
    assert bool(plan(snapshot(FROM_CREATION, run(FROM_CREATION, **given))).late) is marked


def test_what_waits_behind_others_is_late_too() -> None:
    queued = [run(FROM_CREATION, id, created_at=NOW - DAY, state=DagRunState.QUEUED, tis=()) for id in (2, 3)]
    seen = snapshot(FROM_CREATION, candidates=(queued[0],), overdue=tuple(queued))
    assert [each.id for each in plan(seen).late] == [2, 3]
    assert plan(seen).late[0].reason == "late: its deadline was 2024-04-30 13:00:00Z"


# --- failed, one after the other ---------------------------------------------------------------------------

THREE = dag("a", _dag={"max_consecutive_failed_dag_runs": 3})


def ended(*states: str, first: int = 1) -> tuple[EndedRun, ...]:
    """So many runs that have ended, day after day."""
    return tuple(
        EndedRun(number, f"run_{number}", NOW - 30 * DAY + number * DAY, 1, DagRunState(state))
        for number, state in enumerate(states, start=first)
    )


def pause(*states: str, **more: Any) -> DagPause | None:
    return plan(snapshot(THREE, ended=ended(*states), **more)).pause


@pytest.mark.parametrize(
    ("states", "pauses"),
    [
        (("failed", "failed"), False),
        (("failed", "failed", "failed"), True),
        (("success", "failed", "deadlocked", "failed"), True),
        (("failed", "failed", "success"), False),
        (("failed", "success", "failed", "failed"), False),
        (("failed", "cancelled", "failed"), False),
    ],
)
def test_so_many_newest_runs_in_a_row(states: tuple[str, ...], pauses: bool) -> None:
    assert (pause(*states) is not None) is pauses
    assert pause(*states, dag_paused=True) is None


def test_it_is_paused_once_for_each_newest_failure() -> None:
    first = pause("failed", "failed", "failed")
    assert first is not None
    assert first.reason == "its 3 newest scheduled runs failed, run_3 last (max_consecutive_failed_dag_runs)"
    assert pause("failed", "failed", "failed", paused_after=first.after) is None, "a person let it go on"
    assert pause("failed", "failed", "failed", "failed", paused_after=first.after) is not None
    assert pause("failed", "failed", paused_after=first.after) is None


def failing(spec: Any, run_type: RunType) -> RunSnapshot:
    tis = task_instances(spec, 900, a={"state": "failed", "try_number": 1})
    return run(spec, 9, day=9, tis=tis, run_type=run_type)


def test_a_run_that_this_plan_judges_counts_and_nothing_begins_any_more() -> None:
    seen = snapshot(
        THREE,
        failing(THREE, RunType.SCHEDULED),
        ended=ended("failed", "failed"),
        backfill=None,
        candidates=(run(THREE, 10, day=10, state=DagRunState.QUEUED, tis=()),),
    )
    decided = plan(seen)
    assert decided.pause is not None
    assert decided.pause.runs == dict.fromkeys((1, 2, 9), DagRunState.FAILED)
    assert not decided.activations


def test_only_scheduled_runs_count() -> None:
    assert plan(snapshot(THREE, failing(THREE, RunType.MANUAL), ended=ended("failed", "failed"))).pause is None
    plain = dag("a")
    assert plan(snapshot(plain, failing(plain, RunType.SCHEDULED), ended=ended(*["failed"] * 9))).pause is None


@given(st.lists(st.sampled_from(["failed", "success", "deadlocked", "cancelled"]), max_size=8), st.integers(1, 4))
def test_it_is_the_length_of_the_last_streak_that_counts(states: list[str], most: int) -> None:
    spec = dag("a", _dag={"max_consecutive_failed_dag_runs": most})
    streak = 0
    for state in states:
        streak = streak + 1 if state in ("failed", "deadlocked") else 0
    assert (plan(snapshot(spec, ended=ended(*states))).pause is not None) is (streak >= most)
