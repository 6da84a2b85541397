"""What one planning step decides, from one snapshot."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.model.spec import BranchKind
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, task_instance_may
from tailrace.planning.plan import LookBack, Plan
from tailrace.planning.planner import RESUBMIT_AFTER, held_back_by, plan
from tailrace.planning.snapshot import BackfillSnapshot, PoolSnapshot, PreviousRun, RunOptions
from tests.unit.planning.builders import NOW, dag, run, snapshot, task_instances


def steps(decided: Plan) -> dict[str, str]:
    return {step.key.task_id: str(step.after) for step in decided.transitions}


def waits(decided: Plan) -> dict[str, set[str]]:
    return {
        each.key.task_id: {status.dependency for status in each.failed} for each in decided.decisions if each.failed
    }


def test_what_is_ready_is_queued_with_the_next_try_number() -> None:
    spec = dag("a>b")
    decided = plan(snapshot(spec, run(spec)))
    (step,) = decided.transitions
    assert (step.key.task_id, step.after, step.before_try, step.try_number) == ("a", "queued", 0, 1)
    assert waits(decided) == {"b": {"Trigger Rule"}}


def test_a_skip_decided_here_is_seen_below_it() -> None:
    spec = dag("a>b>c")
    decided = plan(snapshot(spec, run(spec, tis=task_instances(spec, a="skipped"))))
    assert steps(decided) == {"b": "skipped", "c": "skipped"}
    assert [verdict.state for verdict in decided.run_verdicts] == [DagRunState.SUCCESS]


def test_a_failure_fails_everything_below_it_in_one_step() -> None:
    spec = dag("a>b>c")
    decided = plan(snapshot(spec, run(spec, tis=task_instances(spec, a="failed"))))
    assert steps(decided) == {"b": "upstream_failed", "c": "upstream_failed"}
    (verdict,) = decided.run_verdicts
    assert verdict.state is DagRunState.FAILED
    assert set(verdict.evidence.values()) == {TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED}


@pytest.mark.parametrize("state", ["queued", "running", "stopping", "up_for_retry"])
def test_work_in_flight_is_never_a_deadlock(state: str) -> None:
    """The thread's world: B is not ready while A is anywhere short of its end."""
    spec = dag("a>b")
    decided = plan(snapshot(spec, run(spec, tis=task_instances(spec, a={"state": state, "try_number": 1}))))
    assert decided.run_verdicts == ()


def test_the_race_of_2016_in_one_snapshot_has_no_room() -> None:
    """Whether A is seen running or done, B is judged from the same moment: waiting, or ready."""
    spec = dag("a>b")
    running = plan(snapshot(spec, run(spec, tis=task_instances(spec, a={"state": "running", "try_number": 1}))))
    done = plan(snapshot(spec, run(spec, tis=task_instances(spec, a={"state": "success", "try_number": 1}))))
    assert (running.run_verdicts, steps(running)) == ((), {})
    assert steps(done) == {"b": "queued"}


@pytest.mark.parametrize(
    "more",
    [
        {"pools": {"default_pool": PoolSnapshot("default_pool", 1, 1)}},
        {"dag_active_tasks": 16},
        {"backfill": BackfillSnapshot(1, BackfillState.RUNNING, 1, paused=True, open_runs=1, active_runs=1)},
    ],
)
def test_limits_and_pauses_are_never_doom(more: dict[str, Any]) -> None:
    spec = dag("a")
    decided = plan(snapshot(spec, run(spec), **more))
    assert (steps(decided), decided.run_verdicts) == ({}, ())
    assert not any(decision.doomed for decision in decided.decisions)


def test_a_retry_waits_for_its_time_and_says_when() -> None:
    spec = dag("a", a={"retries": 1})
    later = NOW + timedelta(minutes=3)
    failed = {"state": "up_for_retry", "try_number": 1, "retry_at": later}
    decided = plan(snapshot(spec, run(spec, tis=task_instances(spec, a=failed))))
    assert (steps(decided), decided.wake_at) == ({}, later)
    assert waits(decided) == {"a": {"Not In Retry Period"}}
    due = plan(snapshot(spec, run(spec, tis=task_instances(spec, a={**failed, "retry_at": NOW}))))
    assert [step.try_number for step in due.transitions] == [2]


def test_a_pool_that_can_never_hold_the_task_is_a_deadlock_with_proof() -> None:
    spec = dag("a>b", a={"pool": "tiny", "pool_slots": 3})
    decided = plan(
        snapshot(
            spec,
            run(spec),
            pools={"tiny": PoolSnapshot("tiny", 2, 0), "default_pool": PoolSnapshot("default_pool", 1, 0)},
        )
    )
    (verdict,) = decided.run_verdicts
    assert verdict.state is DagRunState.DEADLOCKED
    assert [blocker.key.task_id for blocker in verdict.blocked] == ["a", "b"]
    assert verdict.pool_evidence["tiny"] == 2


def past(spec: Any, state: str, run_state: DagRunState) -> dict[int, PreviousRun]:
    return {7: PreviousRun(7, "run_7", run_state, {"a": (TaskInstanceState(state),)})}


def test_depends_on_past_waits_while_the_previous_run_is_open() -> None:
    spec = dag("a", a={"depends_on_past": True})
    open_run = plan(snapshot(spec, run(spec), after={1: 7}, previous=past(spec, "none", DagRunState.RUNNING)))
    assert (steps(open_run), open_run.run_verdicts) == ({}, ())
    fine = plan(snapshot(spec, run(spec), after={1: 7}, previous=past(spec, "success", DagRunState.RUNNING)))
    assert steps(fine) == {"a": "queued"}


def test_depends_on_past_waits_while_a_try_of_the_closed_previous_run_is_stopping() -> None:
    """Found by seed 6641: a person marked the run as success, and the try that was to end so had not yet."""
    spec = dag("a", a={"depends_on_past": True})
    stopping = plan(snapshot(spec, run(spec), after={1: 7}, previous=past(spec, "stopping", DagRunState.SUCCESS)))
    assert (steps(stopping), stopping.run_verdicts) == ({}, ())


def test_depends_on_past_is_doom_once_the_previous_run_is_closed() -> None:
    spec = dag("a", a={"depends_on_past": True})
    decided = plan(snapshot(spec, run(spec), after={1: 7}, previous=past(spec, "failed", DagRunState.FAILED)))
    (verdict,) = decided.run_verdicts
    assert verdict.state is DagRunState.DEADLOCKED
    assert verdict.past_evidence == {7: DagRunState.FAILED}
    ignoring = run(spec, options=RunOptions(ignore_depends_on_past=True))
    assert steps(plan(snapshot(spec, ignoring, after={1: 7}, previous=past(spec, "failed", DagRunState.FAILED)))) == {
        "a": "queued"
    }


@pytest.mark.parametrize(
    ("state", "states", "to_clear", "expected"),
    [
        ("running", {"a": "success", "b": "running"}, (), {}),
        ("running", {"a": "success", "b": "skipped"}, (), {"a": "queued"}),
        ("running", {"a": "success"}, (), {}),
        ("success", {"a": "success"}, (), {"a": "queued"}),
        ("success", {"a": "success", "b": "removed"}, (), {"a": "queued"}),
        ("queued", {"a": "success", "b": "success"}, ("b",), {}),
        ("queued", {"a": "success", "b": "success"}, (), {"a": "queued"}),
        ("queued", {}, (), {}),
    ],
)
def test_wait_for_downstream_looks_below_in_the_same_previous_run(
    state: str, states: dict[str, str], to_clear: tuple[str, ...], expected: dict[str, str]
) -> None:
    """A task that a closed previous run does not have holds nobody back; an open one is still to create it."""
    spec = dag("a>b", a={"depends_on_past": True, "wait_for_downstream": True})
    found = {task_id: (TaskInstanceState(each),) for task_id, each in states.items()}
    previous = PreviousRun(7, "run_7", DagRunState(state), found, to_clear=frozenset(to_clear))
    decided = plan(snapshot(spec, run(spec), after={1: 7}, previous={7: previous}))
    assert (steps(decided), decided.run_verdicts) == (expected, ())


@pytest.mark.parametrize(
    ("state", "its", "after"),
    [
        ("running", "none", "none"),
        ("running", "up_for_retry", "none"),
        ("running", "failed", "skipped"),
        ("running", "success", "skipped"),
        ("success", "stopping", "none"),
        ("deadlocked", "none", "skipped"),
    ],
)
def test_a_skip_waits_until_the_previous_run_has_decided(state: str, its: str, after: str) -> None:
    spec = dag("up>a way>a", a={"depends_on_past": True}, way={"decides": BranchKind.BRANCH})
    for tis in (
        task_instances(spec, up="skipped", way={"state": "success", "followed": ("a",)}),
        task_instances(spec, up="success", way={"state": "success", "followed": ()}),
    ):
        decided = plan(snapshot(spec, run(spec, tis=tis), after={1: 7}, previous=past(spec, its, DagRunState(state))))
        assert steps(decided).get("a", "none") == after
        assert decided.run_verdicts == () if after == "none" else decided.run_verdicts


def test_what_leans_on_the_past_expects_the_dag_as_it_was() -> None:
    spec = dag("a b", a={"depends_on_past": True})
    seen = snapshot(spec, run(spec), after={1: 7}, previous=past(spec, "success", DagRunState.SUCCESS), dag_version=5)
    found = {step.key.task_id: step for step in plan(seen).transitions}
    assert found["a"].looked_back == LookBack(5, "run_7")
    assert (7, 0) in found["a"].versions
    assert (found["b"].looked_back, found["b"].versions) == (None, ((1, 1),))
    nothing = {step.key.task_id: step for step in plan(replace(seen, looks_at={})).transitions}
    assert nothing["a"].looked_back == LookBack(5, None)


def test_gates_come_before_any_rule() -> None:
    spec = dag("branch>a branch>b x>b", branch={"decides": BranchKind.BRANCH}, b={"trigger_rule": "always"})
    waiting = plan(snapshot(spec, run(spec, tis=task_instances(spec, x="success", branch="running"))))
    assert steps(waiting) == {}
    assert waits(waiting)["b"] == {"Not Previously Skipped"}
    decided = plan(
        snapshot(
            spec, run(spec, tis=task_instances(spec, x="success", branch={"state": "success", "followed": ("a",)}))
        )
    )
    assert steps(decided) == {"a": "queued", "b": "skipped"}


def test_a_task_below_a_followed_one_is_not_excluded() -> None:
    spec = dag("branch>a>join branch>join", branch={"decides": BranchKind.BRANCH})
    chosen = {"state": "success", "followed": ("a",)}
    decided = plan(snapshot(spec, run(spec, tis=task_instances(spec, branch=chosen, a="success"))))
    assert steps(decided) == {"join": "queued"}


def test_a_short_circuit_skips_everything_below_whatever_its_rule() -> None:
    spec = dag("gate>a>b", gate={"decides": BranchKind.SHORT_CIRCUIT}, b={"trigger_rule": "all_done"})
    decided = plan(snapshot(spec, run(spec, tis=task_instances(spec, gate={"state": "success", "followed": ()}))))
    assert steps(decided) == {"a": "skipped", "b": "skipped"}


def test_one_full_pool_does_not_hold_back_the_others() -> None:
    spec = dag("a b", a={"pool": "full", "priority_weight": 9})
    pools = {"full": PoolSnapshot("full", 1, 1), "default_pool": PoolSnapshot("default_pool", 1, 0)}
    decided = plan(snapshot(spec, run(spec), pools=pools))
    assert steps(decided) == {"b": "queued"}
    assert waits(decided) == {"a": {"Pool Slots Available"}}


def test_room_goes_to_the_heaviest_first() -> None:
    spec = dag("a b c", b={"priority_weight": 5}, _dag={"max_active_tasks": 2})
    assert list(steps(plan(snapshot(spec, run(spec))))) == ["b", "a"]


@pytest.mark.parametrize("how", ["lease", "found dead"])
def test_a_lost_try_spends_no_retry_and_waits_for_nothing(how: str) -> None:
    spec = dag("a")
    lost = {"state": "running", "try_number": 1, "token": 4, "lease_expired": how == "lease"}
    given = snapshot(spec, run(spec, tis=task_instances(spec, a=lost)))
    decided = plan(given if how == "lease" else replace(given, lost=frozenset({1})))
    (step,) = decided.transitions
    assert (step.after, step.cause, step.token) == ("up_for_retry", Cause.LOST, 4)
    assert (step.max_tries, step.lost_tries, step.retry_at) == (2, 1, NOW)


def test_the_third_loss_is_the_last() -> None:
    spec = dag("a")
    lost = {"state": "running", "try_number": 3, "lost_tries": 2, "lease_expired": True}
    (step,) = plan(snapshot(spec, run(spec, tis=task_instances(spec, a=lost)))).transitions
    assert step.after is TaskInstanceState.FAILED
    assert "lost 3 times" in step.reason


def test_a_queued_try_nobody_claimed_is_offered_again() -> None:
    spec = dag("a")
    old = {"state": "queued", "try_number": 1, "queued_at": NOW - RESUBMIT_AFTER}
    fresh = {**old, "queued_at": NOW - timedelta(seconds=1)}
    assert len(plan(snapshot(spec, run(spec, tis=task_instances(spec, a=old)))).resubmit) == 1
    later = plan(snapshot(spec, run(spec, tis=task_instances(spec, a=fresh))))
    assert (later.resubmit, later.wake_at) == ((), NOW - timedelta(seconds=1) + RESUBMIT_AFTER)


def queued(spec: Any, id: int, **more: Any) -> Any:
    return run(spec, id, day=id, state=DagRunState.QUEUED, owner_job_id=None, tis=(), **more)


def test_the_window_slides_over_what_this_step_closes() -> None:
    spec = dag("a", _dag={"max_active_runs": 2})
    closing = run(spec, 1, tis=task_instances(spec, 10, a="success"))
    going = run(spec, 2, tis=task_instances(spec, 20, a={"state": "running", "try_number": 1}))
    decided = plan(snapshot(spec, closing, going, candidates=(queued(spec, 3), queued(spec, 4))))
    assert [activation.id for activation in decided.activations] == [3]


def test_a_backfills_own_limit_can_only_lower() -> None:
    spec = dag("a", _dag={"max_active_runs": 2})
    for own, expected in ((1, 1), (9, 2)):
        view = BackfillSnapshot(1, BackfillState.RUNNING, 1, max_active_runs=own, open_runs=3)
        candidates = tuple(queued(spec, id) for id in (1, 2, 3))
        decided = plan(snapshot(spec, candidates=candidates, backfill=view))
        assert len(decided.activations) == expected


def test_a_run_that_looks_back_waits_for_its_predecessor_to_be_active() -> None:
    spec = dag("a", a={"depends_on_past": True})
    previous = {9: PreviousRun(9, "run_9", DagRunState.QUEUED, {})}
    blocked = plan(snapshot(spec, candidates=(queued(spec, 1),), previous=previous, after={1: 9}))
    assert blocked.activations == ()
    chained = (queued(spec, 9), queued(spec, 1))
    opened = plan(snapshot(spec, candidates=chained, previous=previous, after={1: 9}))
    assert [activation.id for activation in opened.activations] == [9, 1]


def test_a_backfill_that_waits_for_another_ones_queued_run_can_name_it() -> None:
    """Found by seed 19307: it waited for ever for what a backfill, stopped at its first failure, had left."""
    spec = dag("a", a={"depends_on_past": True})
    left = PreviousRun(9, "run_9", DagRunState.QUEUED, {})
    waiting = snapshot(spec, candidates=(queued(spec, 1),), previous={9: left}, after={1: 9})
    assert held_back_by(waiting) == (waiting.candidates[0], left)
    chained = snapshot(spec, candidates=(queued(spec, 9), queued(spec, 1)), previous={9: left}, after={1: 9})
    assert held_back_by(chained) is None, "it starts that one itself"
    begun = {9: replace(left, state=DagRunState.RUNNING)}
    assert held_back_by(replace(waiting, previous=begun)) is None, "it begins, and waits then"
    active = snapshot(spec, run(spec, 1), previous=begun, after={1: 9})
    assert held_back_by(active) == (active.runs[0], begun[9])
    working = snapshot(spec, run(spec, 1, tis=task_instances(spec, a="running")), previous=begun, after={1: 9})
    assert held_back_by(working) is None
    closed = {9: replace(left, state=DagRunState.SUCCESS)}
    assert held_back_by(replace(active, previous=closed)) is None
    assert held_back_by(replace(waiting, backfill=None)) is None


def test_stop_on_failure_starts_nothing_more_and_ends_when_nothing_is_active() -> None:
    spec = dag("a")
    closed = {DagRunState.FAILED: 1}
    view = BackfillSnapshot(
        1, BackfillState.RUNNING, 1, stop_on_failure=True, open_runs=2, failed_runs=1, closed_by_state=closed
    )
    decided = plan(snapshot(spec, candidates=(queued(spec, 1),), backfill=view))
    assert decided.activations == ()
    assert decided.backfill_verdict is not None
    assert decided.backfill_verdict.state is BackfillState.FAILED


@pytest.mark.parametrize(("outcome", "begun"), [("failed", []), ("success", [2])])
def test_stop_on_failure_begins_no_run_in_the_step_that_closes_a_failed_one(outcome: str, begun: list[int]) -> None:
    """Its room was given to the next run at once: one more was started than should be."""
    spec = dag("a")
    view = BackfillSnapshot(1, BackfillState.RUNNING, 1, stop_on_failure=True, open_runs=2, active_runs=1)
    ended = run(spec, tis=task_instances(spec, a=outcome))
    decided = plan(snapshot(spec, ended, candidates=(queued(spec, 2),), backfill=view))
    assert [verdict.state for verdict in decided.run_verdicts] == [outcome]
    assert [activation.id for activation in decided.activations] == begun


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, BackfillState.SUCCESS),
        ({DagRunState.SUCCESS: 3}, BackfillState.SUCCESS),
        ({DagRunState.SUCCESS: 3, DagRunState.FAILED: 1}, BackfillState.FAILED),
        ({DagRunState.FAILED: 3, DagRunState.DEADLOCKED: 1}, BackfillState.DEADLOCKED),
        ({DagRunState.CANCELLED: 1}, BackfillState.FAILED),
    ],
)
def test_the_backfill_is_judged_by_all_its_runs(counts: dict[DagRunState, int], expected: BackfillState) -> None:
    spec = dag("a")
    view = BackfillSnapshot(1, BackfillState.RUNNING, 1, closed_by_state=counts)
    verdict = plan(snapshot(spec, backfill=view)).backfill_verdict
    assert verdict is not None
    assert verdict.state is expected


def test_a_new_task_in_an_active_run_is_adopted_and_an_old_one_removed() -> None:
    before, after = dag("a gone"), dag("a>b")
    decided = plan(snapshot(after, run(after, tis=task_instances(before, a="success"))))
    assert [adoption.task_ids for adoption in decided.adoptions] == [("b",)]
    assert steps(decided) == {"gone": "removed"}
    assert decided.run_verdicts == ()


def test_a_run_without_a_live_owner_is_taken_over() -> None:
    spec = dag("a")
    decided = plan(snapshot(spec, run(spec, owner_job_id=5, owner_alive=False)))
    assert [(takeover.id, takeover.previous_owner) for takeover in decided.takeovers] == [(1, 5)]
    assert steps(decided) == {"a": "queued"}


def test_the_same_snapshot_gives_the_same_plan_and_every_step_is_in_the_table() -> None:
    spec = dag("a>b>d a>c>d", b={"trigger_rule": "one_failed"})
    given = snapshot(spec, run(spec, tis=task_instances(spec, a="failed")))
    decided = plan(given)
    assert decided == plan(given)
    for step in decided.transitions:
        assert task_instance_may(step.before, step.after, Actor.PLANNER, step.cause)
