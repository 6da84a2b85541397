"""Which steps callbacks are called for: each end of a try, in each way, and nothing that a person does."""

import itertools

import pytest
from msgspec.structs import replace

from tailrace.model.callbacks import EVERYWHERE, OF_DAGS, OF_TASKS
from tailrace.model.spec import DagSpec, TaskSpec, called_everywhere
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import TASK_INSTANCE_TRANSITIONS, Actor, Cause
from tailrace.planning.calling import event_of_backfill, event_of_late_run, event_of_run, event_of_task

ALL = TaskSpec("t", calls=tuple(sorted(map(str, OF_TASKS))))
RUNNING, STOPPING = TaskInstanceState.RUNNING, TaskInstanceState.STOPPING
NAMES = {"success": "on_success_callback", "failed": "on_failure_callback", "skipped": "on_skipped_callback"}
NAMES["up_for_retry"] = "on_retry_callback"


def test_every_transition_is_an_event_or_none() -> None:
    told = {
        (step.before, step.after, step.cause): event_of_task(ALL, step.before, step.after, step.cause)
        for step in TASK_INSTANCE_TRANSITIONS
        if step.actor is not Actor.PERSON
    }
    for (before, after, cause), callback in told.items():
        unexpanded = (after, cause) == (TaskInstanceState.FAILED, Cause.EXPANDED)
        expected = NAMES.get(after, "") if before is RUNNING or unexpanded else ""
        assert callback == expected, (before, after, cause)


@pytest.mark.parametrize("has", [each for n in range(3) for each in itertools.combinations(map(str, OF_TASKS), n)])
def test_only_what_the_task_has_is_called(has: tuple[str, ...]) -> None:
    task = replace(ALL, calls=has)
    for after, callback in NAMES.items():
        found = event_of_task(task, RUNNING, TaskInstanceState(after), Cause.OUTCOME)
        assert found == (callback if callback in has else "")


def test_a_run_fails_by_a_deadlock_too() -> None:
    dag = DagSpec("d", (), calls=tuple(sorted(map(str, OF_DAGS))))
    told = {str(state): event_of_run(dag, state) for state in DagRunState}
    assert (told["success"], told["failed"], told["deadlocked"]) == (
        "on_success_callback",
        "on_failure_callback",
        "on_failure_callback",
    )
    assert (event_of_backfill(dag), event_of_late_run(dag)) == ("on_backfill_end", "on_late_callback")
    assert event_of_late_run(DagSpec("d", ())) == ""
    assert event_of_backfill(DagSpec("d", ())) == event_of_run(DagSpec("d", ()), DagRunState.FAILED) == ""


def test_what_all_dags_are_called_for_is_in_their_structures() -> None:
    dag = DagSpec("d", (TaskSpec("a", calls=("on_success_callback",)), TaskSpec("b")), calls=("on_backfill_end",))
    everywhere = called_everywhere(dag, ("on_failure", "on_task_retry", "on_backfill_end"))
    assert everywhere.calls == ("on_backfill_end", "on_failure_callback")
    assert [task.calls for task in everywhere.tasks] == [
        ("on_retry_callback", "on_success_callback"),
        ("on_retry_callback",),
    ]
    assert called_everywhere(dag, ("on_success",)).tasks == dag.tasks
    assert called_everywhere(dag, EVERYWHERE).calls_back
