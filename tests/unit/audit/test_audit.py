"""Each check finds the one thing that is wrong in a history that is sound otherwise."""

from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.audit.checks import audit
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import BranchKind, TaskSpec
from tests.unit.audit.chronicle import SECOND, Chronicle, dag_of

A, B = TaskSpec("a"), TaskSpec("b", upstream=("a",))
CHAIN = dag_of(A, B)
RETRYING = dag_of(replace(A, retries=1))
BRANCH = dag_of(
    TaskSpec("way", decides=BranchKind.BRANCH), TaskSpec("x", upstream=("way",)), TaskSpec("y", upstream=("way",))
)


def found(history: Chronicle, **more: Any) -> list[str]:
    return [violation.check for violation in audit(history.records(**more))]


def begun(dag: Any = CHAIN, **more: Any) -> Chronicle:
    history = Chronicle(dag, **more)
    history.activate()
    return history


def whole() -> Chronicle:
    """A backfill of one run, all successful."""
    history = Chronicle(CHAIN)
    history.backfill(None, "queued", "created")
    history.activate()
    history.backfill("queued", "running", "activated")
    history.play("a")
    history.play("b")
    history.run("running", "success", "judged")
    history.backfill("running", "success", "judged")
    return history


def test_a_sound_history_passes() -> None:
    assert audit(whole().records()) == ()


def test_nothing_passes() -> None:
    assert audit(Chronicle(CHAIN).records()) == ()


@pytest.mark.parametrize("place", range(len(whole().records().history)))
def test_no_row_can_be_taken_out(place: int) -> None:
    records = whole().records()
    left = records.history[:place] + records.history[place + 1 :]
    assert audit(replace(records, history=left))


@pytest.mark.parametrize("place", range(len(whole().records().history)))
def test_no_row_can_happen_twice(place: int) -> None:
    records = whole().records()
    again = records.history[: place + 1] + records.history[place:]
    assert audit(replace(records, history=again))


@pytest.mark.parametrize("place", range(len(whole().records().history) - 1))
def test_no_two_rows_of_one_thing_can_change_places(place: int) -> None:
    records = whole().records()
    rows = list(records.history)
    rows[place], rows[place + 1] = rows[place + 1], rows[place]
    kinds = {rows[place].kind, rows[place + 1].kind}
    strangers = kinds in ({"backfill", "dag_run"}, {"backfill", "task_instance"}, {"pool", "backfill"})
    independent = strangers and place + 2 < len(rows)  # the verdict of the backfill leans on its run
    siblings = [row.cause for row in rows[place : place + 2]] == ["created", "created"] and rows[place].task_id
    assert bool(audit(replace(records, history=tuple(rows)))) is not bool(independent or siblings)


@pytest.mark.parametrize("state", ["none", "queued", "running", "failed", "skipped", "upstream_failed"])
def test_a_row_changed_by_hand_is_found(state: str) -> None:
    records = whole().records()
    rows = tuple(replace(row, state=state) if row.task_id == "b" else row for row in records.task_instances)
    assert [violation.check for violation in audit(replace(records, task_instances=rows))] == ["final state"]


def test_a_token_changed_by_hand_is_found() -> None:
    records = whole().records()
    rows = tuple(replace(row, token=9) for row in records.task_instances)
    assert {violation.check for violation in audit(replace(records, task_instances=rows))} == {"final state"}


def test_a_run_and_a_backfill_changed_by_hand_are_found() -> None:
    records = whole().records()
    runs = tuple(replace(run, state="failed") for run in records.runs)
    backfills = tuple(replace(backfill, state="failed") for backfill in records.backfills)
    assert [violation.check for violation in audit(replace(records, runs=runs))] == ["final state"]
    assert [violation.check for violation in audit(replace(records, backfills=backfills))] == ["final state"]


def test_a_deleted_row_is_found() -> None:
    records = whole().records()
    assert audit(replace(records, task_instances=records.task_instances[1:]))
    assert audit(replace(records, runs=()))


def test_a_step_that_is_not_in_the_table_is_found() -> None:
    history = begun()
    history.queue("a")
    history.step("a", "queued", "success", "outcome", actor="worker")
    assert "transition" in found(history)


def test_a_step_by_the_wrong_actor_is_found() -> None:
    history = begun()
    history.queue("a")
    history.claim("a")
    history.end("a", "success", actor="planner")
    assert "transition" in found(history)


# --- tries -------------------------------------------------------------------------------------------------


def test_a_second_claim_of_a_try_is_found() -> None:
    history = begun()
    history.queue("a")
    history.claim("a")
    history.claim("a")
    assert "claim" in found(history)


def test_a_claim_of_another_try_than_the_queued_one_is_found() -> None:
    history = begun()
    history.queue("a")
    history.step("a", "queued", "running", "claimed", actor="worker", try_number=2, token=1)
    assert "claim" in found(history)


def test_a_token_that_does_not_grow_is_found() -> None:
    history = begun(RETRYING)
    history.play("a", "up_for_retry", cause="retry")
    history.queue("a", before="up_for_retry")
    history.step("a", "queued", "running", "claimed", actor="worker", token=1)
    assert "token" in found(history)


def test_a_try_number_that_is_used_twice_is_found() -> None:
    history = begun(RETRYING)
    history.play("a", "up_for_retry", cause="retry")
    history.step("a", "up_for_retry", "queued", "dependencies_met", try_number=1)
    assert "try number" in found(history)


def test_a_late_result_that_was_merged_is_found() -> None:
    history = begun(RETRYING)
    history.play("a", "up_for_retry", cause="lost")
    history.queue("a", before="up_for_retry")
    history.claim("a")
    history.end("a", "success", try_number=1, token=1)
    assert "outcome" in found(history)


def test_a_late_result_that_was_refused_is_sound() -> None:
    history = begun(RETRYING)
    history.play("a", "up_for_retry", cause="lost")
    history.queue("a", before="up_for_retry")
    history.claim("a")
    history.step("a", "running", "success", "outcome", kind="refused", actor="worker", try_number=1, token=1)
    assert found(history) == []


def test_refusing_the_holder_is_found() -> None:
    history = begun()
    history.queue("a")
    history.claim("a")
    history.step("a", "running", "success", "outcome", kind="refused", actor="worker", token=1)
    assert found(history) == ["refused"]


def test_a_second_result_of_a_try_is_found() -> None:
    """Whoever reported first had borrowed the try: its holder comes too late."""
    history = begun()
    history.play("a")
    history.step("a", "success", "success", "outcome", kind="refused", actor="worker", token=1)
    assert found(history) == ["refused"]


def test_a_result_that_comes_after_its_try_was_lost_is_sound() -> None:
    history = begun(RETRYING)
    history.play("a", "up_for_retry", cause="lost")
    history.step("a", "up_for_retry", "success", "outcome", kind="refused", actor="worker", try_number=1, token=1)
    assert found(history) == []


def test_a_retry_too_many_is_found() -> None:
    history = begun(RETRYING)
    history.play("a", "up_for_retry", cause="retry")
    history.queue("a", before="up_for_retry")
    history.claim("a")
    assert found(history) == []
    history.end("a", "up_for_retry", cause="retry")
    assert found(history) == ["retries"]


def lost(history: Chronicle, times: int) -> None:
    before = "none"
    for _ in range(times):
        history.queue("a", before=before)
        history.claim("a")
        history.end("a", "up_for_retry", cause="lost", actor="planner")
        before = "up_for_retry"


def test_lost_tries_have_a_budget_of_their_own() -> None:
    history = begun()
    lost(history, 2)
    assert found(history) == []
    lost_too_often = begun()
    lost(lost_too_often, 3)
    assert found(lost_too_often) == ["lost tries"]


def test_a_try_that_was_lost_with_others_spends_none_of_them() -> None:
    history = begun()
    for before in ("none", *["up_for_retry"] * 4):
        history.queue("a", before=before)
        history.claim("a")
        history.end("a", "up_for_retry", cause="lost_together")
    assert found(history) == []
    history.queue("a", before="up_for_retry")
    history.claim("a")
    history.end("a", "failed", cause="lost_together")
    assert "transition" in found(history)


def test_failing_a_task_instance_at_its_first_loss_is_found() -> None:
    history = begun()
    history.queue("a")
    history.claim("a")
    history.end("a", "failed", cause="lost", actor="planner")
    assert found(history) == ["lost tries"]


def test_work_in_a_closed_run_is_found() -> None:
    history = whole()
    history.queue("b", before="success")
    assert "active run" in found(history)


# --- dependencies ------------------------------------------------------------------------------------------


def test_a_start_before_its_upstream_is_found() -> None:
    history = begun()
    history.queue("b")
    assert found(history) == ["start"]


def test_a_start_while_a_branch_is_open_is_found() -> None:
    dag = dag_of(*BRANCH.tasks[:2], replace(BRANCH.tasks[2], trigger_rule=TriggerRule.ALWAYS))
    history = begun(dag)
    history.queue("y")
    assert found(history) == ["start"]


def test_a_start_of_what_a_branch_leaves_out_is_found() -> None:
    history = begun(BRANCH)
    history.play("way", followed=("x",))
    history.queue("y")
    assert found(history) == ["start"]


def test_a_start_in_spite_of_the_previous_run_is_found() -> None:
    history = begun(dag_of(replace(A, depends_on_past=True)))
    history.play("a", "failed", looked_at="")
    history.run("running", "failed", "judged")
    history.activate(SECOND)
    history.queue("a", SECOND, looked_at="r1")
    assert found(history) == ["previous run"]


def test_a_branch_skips_what_it_did_not_follow() -> None:
    history = begun(BRANCH)
    history.play("way", followed=("x",))
    history.step("y", "none", "skipped", "branch")
    assert found(history) == []
    history.step("x", "none", "skipped", "branch")
    assert found(history) == ["branch"]


def test_a_choice_counts_as_it_was_when_it_was_made() -> None:
    """A branch that is cleared and chooses otherwise does not make its first choice wrong."""
    history = begun(BRANCH)
    history.play("way", followed=("x",))
    history.step("y", "none", "skipped", "branch")
    history.play("x")
    history.run("running", "success", "judged")
    history.run("success", "queued", "reprocess", actor="person")
    history.run("queued", "running", "activated")
    for task_id, state in (("way", "success"), ("x", "success"), ("y", "skipped")):
        history.step(task_id, state, "none", "reprocess")
    history.play("way", followed=("y",))
    history.step("x", "none", "skipped", "branch")
    assert found(history) == []


def test_a_skip_that_its_rule_does_not_give_is_found() -> None:
    history = begun()
    history.play("a")
    history.step("b", "none", "skipped", "trigger_rule")
    assert found(history) == ["trigger rule"]


def test_an_early_verdict_of_all_success_is_found() -> None:
    """One upstream is skipped, the other may still fail: nothing is decided yet."""
    history = begun(dag_of(A, TaskSpec("c"), TaskSpec("b", upstream=("a", "c"))))
    history.play("a", "skipped")
    history.step("b", "none", "skipped", "trigger_rule")
    assert found(history) == ["trigger rule"]


# --- limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("check", "task", "more", "pools"),
    [
        ("pool", {"pool": "p"}, {}, {"p": 1}),
        ("pool", {"pool": "p", "pool_slots": 2}, {}, {"p": 3}),
        ("max_active_tasks", {}, {"max_active_tasks": 1}, {}),
        ("max_active_tis_per_dag", {"max_active_tis_per_dag": 1}, {}, {}),
    ],
)
def test_a_limit_that_is_exceeded_is_found(
    check: str, task: dict[str, Any], more: dict[str, Any], pools: dict[str, int]
) -> None:
    dag = dag_of(replace(A, **task), **more)
    history = begun(dag, pools={"default_pool": 128, **pools})
    history.activate(SECOND)
    history.queue("a")
    assert found(history) == []
    history.queue("a", SECOND)
    assert found(history) == [check]


def test_a_finished_task_instance_gives_its_room_back() -> None:
    history = begun(dag_of(A, TaskSpec("c"), max_active_tasks=1))
    history.play("a")
    history.queue("c")
    assert found(history) == []


def test_a_window_that_is_exceeded_is_found() -> None:
    history = begun(dag_of(A, max_active_runs=1))
    history.activate(SECOND)
    assert found(history) == ["max_active_runs"]


# --- verdicts ----------------------------------------------------------------------------------------------


def test_the_false_deadlock_of_2016_is_found() -> None:
    """A has finished, B could run, and the run is called deadlocked."""
    history = begun()
    history.play("a")
    history.run("running", "deadlocked", "judged", blocked=(("b", -1),))
    assert found(history) == ["false deadlock"]


def blocked_by_the_past() -> Chronicle:
    history = begun(dag_of(replace(A, depends_on_past=True), B))
    history.play("a", "failed", looked_at="")
    history.step("b", "none", "upstream_failed", "trigger_rule")
    history.run("running", "failed", "judged")
    history.activate(SECOND)
    return history


def test_a_true_deadlock_is_sound() -> None:
    history = blocked_by_the_past()
    history.run("running", "deadlocked", "judged", SECOND, blocked=(("a", -1), ("b", -1)))
    assert found(history) == []


def test_a_proof_that_leaves_somebody_out_is_found() -> None:
    history = blocked_by_the_past()
    history.run("running", "deadlocked", "judged", SECOND, blocked=(("a", -1),))
    assert found(history) == ["deadlock proof"]


def test_waiting_for_an_open_previous_run_is_no_deadlock() -> None:
    history = begun(dag_of(replace(A, depends_on_past=True)), run_types=dict.fromkeys(("r1", "r2"), "scheduled"))
    history.activate(SECOND)
    history.run("running", "deadlocked", "judged", SECOND)
    assert found(history) == ["false deadlock"]


def test_a_pool_that_is_too_small_dooms() -> None:
    history = begun(dag_of(replace(A, pool="p", pool_slots=2)), pools={"p": 1})
    history.run("running", "deadlocked", "judged", blocked=(("a", -1),))
    assert found(history) == []


def test_a_running_task_is_no_deadlock() -> None:
    history = begun()
    history.queue("a")
    history.claim("a")
    history.run("running", "deadlocked", "judged")
    assert found(history) == ["false deadlock"]


def test_a_verdict_while_something_is_unfinished_is_found() -> None:
    history = begun()
    history.play("a")
    history.run("running", "success", "judged")
    assert found(history) == ["verdict"]


def test_a_verdict_against_the_leaves_is_found() -> None:
    history = begun()
    history.play("a")
    history.play("b", "failed")
    history.run("running", "success", "judged")
    assert found(history) == ["verdict"]


def test_a_failure_above_the_leaves_does_not_fail_the_run() -> None:
    history = begun(dag_of(A, replace(B, trigger_rule=TriggerRule.ALL_DONE)))
    history.play("a", "failed")
    history.play("b")
    history.run("running", "success", "judged")
    assert found(history) == []


@pytest.mark.parametrize("state", ["failed", "deadlocked"])
def test_a_backfill_that_its_runs_do_not_explain_is_found(state: str) -> None:
    history = whole()
    history.rows[-1] = replace(history.rows[-1], after=state)
    assert found(history) == ["backfill verdict"]


def test_a_backfill_judged_before_its_runs_is_found() -> None:
    history = begun()
    history.backfill(None, "queued", "created")
    history.backfill("queued", "failed", "judged")
    assert found(history) == ["backfill verdict"]


def test_a_backfill_that_stops_on_failure_may_leave_runs_undone() -> None:
    history = begun(stop_on_failure=True)
    history.backfill(None, "queued", "created")
    history.run(None, "queued", "created", SECOND)
    history.play("a", "failed")
    history.step("b", "none", "upstream_failed", "trigger_rule")
    history.run("running", "failed", "judged")
    history.backfill("queued", "failed", "judged")
    assert found(history) == []


# --- what is not known -------------------------------------------------------------------------------------


def test_without_its_structure_a_run_is_still_checked_for_what_needs_none() -> None:
    history = begun()
    history.queue("b")
    history.claim("b")
    history.claim("b")
    assert "claim" in found(history, structure=None)
    assert "start" not in found(history, structure=None)


def test_rows_of_an_older_structure_are_not_held_against_the_new_one() -> None:
    """The DAG lost an edge and a run went again: what its first activation did was right then."""
    history = begun()
    history.play("a", "failed")
    history.step("b", "none", "upstream_failed", "trigger_rule")
    history.run("running", "failed", "judged")
    history.run("failed", "queued", "reprocess", actor="person")
    history.run("queued", "running", "activated")
    history.step("b", "upstream_failed", "none", "reprocess")
    history.queue("b")
    loose = dag_of(A, TaskSpec("b"))
    records = history.records()
    assert [violation.check for violation in audit(records)] == ["start"]
    assert audit(replace(records, structures={1: loose, 2: CHAIN})) == ()


def test_a_kind_nobody_knows_is_found() -> None:
    history = whole()
    history.row("rumour", after="success", cause="created")
    assert found(history) == ["kind"]


def test_a_violation_reads_well() -> None:
    history = begun()
    history.queue("b")
    (violation,) = audit(history.records())
    assert str(violation) == "start: d / r1 / b: queued under all_success over none, which gives wait (history row 5)"
