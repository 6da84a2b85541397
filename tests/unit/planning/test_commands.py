"""What clearing, marking, cancelling and pausing decide, from facts alone."""

import pytest
from msgspec.structs import replace

from tailrace.model.keys import RunType
from tailrace.model.spec import GroupSpec
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, dag_run_may, task_instance_may
from tailrace.planning.cancelling import plan_cancel, plan_pause
from tailrace.planning.clearing import ClearRequest, plan_clear
from tailrace.planning.commands import CommandPlan
from tailrace.planning.marking import MarkRequest, plan_mark_runs, plan_mark_tasks
from tailrace.planning.snapshot import RunOptions
from tests.message_text import lines
from tests.unit.planning.builders import dag
from tests.unit.planning.commanded import deadlocked, facts, known_backfill, known_run, run_steps, steps

ABC = dag("a>b>c", a={"retries": 2})
PAST = dag("a>b", a={"depends_on_past": True})


def legal(plan: CommandPlan) -> CommandPlan:
    """The plan, every step of which a person may make."""
    for step in plan.task_instances:
        assert task_instance_may(step.before, step.after, Actor.PERSON, step.cause), step
    for change in plan.runs:
        assert change.after is change.before or dag_run_may(change.before, change.after, Actor.PERSON, change.cause)
    return plan


# --- clear -------------------------------------------------------------------------------------------------


def test_clearing_a_task_clears_what_is_below_it_and_opens_its_run() -> None:
    run = known_run(ABC, state="failed", tis={"a": "success", "b": "failed", "c": "upstream_failed"})
    plan = legal(plan_clear(facts(ABC, run), ClearRequest(("b",))))
    assert steps(plan) == {"b": ("none", None), "c": ("none", None)}
    assert run_steps(plan) == {"run_1": ("failed", "queued")}


@pytest.mark.parametrize(
    ("request_", "cleared"),
    [
        (ClearRequest(("b",), downstream=False), {"b"}),
        (ClearRequest(("b",), upstream=True), {"a", "b", "c"}),
        (ClearRequest(("b",), upstream=True, downstream=False), {"a", "b"}),
        (ClearRequest(), {"a", "b", "c"}),
        (ClearRequest(only_failed=True), {"b", "c"}),
        (ClearRequest(("a",), downstream=False, only_failed=True), set()),
    ],
)
def test_what_a_clear_reaches(request_: ClearRequest, cleared: set[str]) -> None:
    run = known_run(ABC, state="failed", tis={"a": "success", "b": "failed", "c": "upstream_failed"})
    plan = legal(plan_clear(facts(ABC, run), request_))
    assert steps(plan).keys() == cleared
    assert plan.writes == bool(cleared)


GROUPED = replace(
    dag("a>g.b>g.c>d"), groups=(GroupSpec("g", ("g.b",)), GroupSpec("g.h", ("g.c",), "g"), GroupSpec("empty"))
)


@pytest.mark.parametrize("word", ["g", "g.*", "g.?"])
def test_a_group_or_a_pattern_is_all_its_tasks(word: str) -> None:
    run = known_run(GROUPED, state="success", tis=dict.fromkeys(GROUPED.by_id, "success"))
    cleared = legal(plan_clear(facts(GROUPED, run), ClearRequest((word, "g.b"), downstream=False)))
    assert steps(cleared).keys() == {"g.b", "g.c"}
    assert steps(plan_clear(facts(GROUPED, run), ClearRequest((word,)))).keys() == {"g.b", "g.c", "d"}
    marked = legal(plan_mark_tasks(facts(GROUPED, run), mark("failed", word)))
    assert steps(marked).keys() == {"g.b", "g.c"}


@pytest.mark.parametrize("word", ["b", "empty", "x*", "g.??"])
def test_a_word_that_means_no_task_is_refused_as_it_was_typed(word: str) -> None:
    given = facts(GROUPED, known_run(GROUPED))
    for refusals in (
        plan_clear(given, ClearRequest(("a", word))).refusals,
        plan_mark_tasks(given, mark("success", word)).refusals,
    ):
        assert lines(refusals) == (f"dag has no task {word!r}; it has a, d, g.b, g.c",)


def test_only_failed_takes_the_skips_that_a_failure_caused_along() -> None:
    by_rule = {"state": "skipped", "cause": Cause.TRIGGER_RULE}
    run = known_run(ABC, state="failed", tis={"a": "failed", "b": by_rule, "c": {"state": "skipped"}})
    assert steps(plan_clear(facts(ABC, run), ClearRequest(only_failed=True))).keys() == {"a", "b"}


def test_a_running_try_is_stopped_and_the_budget_begins_anew_behind_its_number() -> None:
    tis = {"a": {"state": "running", "try_number": 4, "max_tries": 5}, "b": {"state": "queued", "try_number": 2}}
    plan = legal(plan_clear(facts(ABC, known_run(ABC, tis=tis)), ClearRequest()))
    assert steps(plan) == {"a": ("stopping", "none"), "b": ("none", None)}
    assert [(step.max_tries, step.fresh) for step in plan.task_instances] == [(7, True), (3, True)]
    assert run_steps(plan) == {"run_1": ("running", "running")}, "an open run only gets a new version"


def test_where_a_stopping_try_ends_is_written_only_if_that_changes() -> None:
    def cleared(ends: str) -> CommandPlan:
        tis = {"a": {"state": "stopping", "stopping_to": TaskInstanceState(ends)}}
        return legal(plan_clear(facts(ABC, known_run(ABC, tis=tis)), ClearRequest()))

    assert steps(cleared("none")) == {}
    assert steps(cleared("success")) == {"a": ("stopping", "none")}


def test_clearing_a_blocker_opens_the_runs_that_it_deadlocked_and_those_behind_them() -> None:
    run = known_run(PAST, state="failed", tis={"a": "failed", "b": "upstream_failed"})
    stuck = [deadlocked(PAST, 2, 1, "a"), deadlocked(PAST, 3, 2, "a"), deadlocked(PAST, 5, 4, "a")]
    plan = legal(plan_clear(facts(PAST, run, deadlocked=tuple(stuck)), ClearRequest(("a",))))
    assert run_steps(plan).keys() == {"run_1", "run_2", "run_3"}
    assert run_steps(plan)["run_3"] == ("deadlocked", "queued")
    assert plan.deadlocked == {2: 3, 3: 3, 5: 3}


def test_a_deadlock_that_leans_on_another_task_stays() -> None:
    spec = dag("a b", a={"depends_on_past": True})
    run = known_run(spec, state="failed", tis={"a": "failed", "b": "failed"})
    given = facts(spec, run, deadlocked=(deadlocked(spec, 2, 1, "a"),))
    assert run_steps(plan_clear(given, ClearRequest(("b",)))).keys() == {"run_1"}


def test_clearing_a_deadlocked_run_opens_it_although_nothing_in_it_has_run() -> None:
    run = known_run(PAST, state="deadlocked", tis={"a": "none", "b": "none"})
    plan = legal(plan_clear(facts(PAST, run), ClearRequest(("a",))))
    assert steps(plan) == {}
    assert run_steps(plan) == {"run_1": ("deadlocked", "queued")}


def test_a_cancelled_run_that_never_began_is_opened_by_clearing_it() -> None:
    plan = legal(plan_clear(facts(ABC, known_run(ABC, state="cancelled")), ClearRequest()))
    assert run_steps(plan) == {"run_1": ("cancelled", "queued")}


def test_nothing_to_clear_writes_nothing_and_reports_it() -> None:
    plan = plan_clear(facts(ABC, known_run(ABC, tis={"a": "none"})), ClearRequest())
    assert not plan.writes
    assert lines(plan.notices) == ("nothing to clear",)


def test_what_is_not_there_is_refused_by_name() -> None:
    spec = facts(ABC, not_found=("manual__x",))
    assert "has no run manual__x" in lines(plan_clear(spec, ClearRequest()).refusals)[0]
    assert "has no runs in this range" in lines(plan_clear(facts(ABC), ClearRequest()).refusals)[0]
    assert "has no task 'z'" in lines(plan_clear(facts(ABC, known_run(ABC)), ClearRequest(("z",))).refusals)[0]
    assert "has never run here" in lines(plan_clear(facts(ABC, dag=None), ClearRequest()).refusals)[0]


@pytest.mark.parametrize(
    ("run", "backfill", "said"),
    [
        ({"wanted_by": (1,)}, {"driven": True}, "backfill 1 drives it"),
        ({"wanted_by": (1,)}, {}, "continue that with `tailrace backfill dag 1`"),
        ({"wanted_by": (1,)}, {"paused": True}, "tailrace backfill resume 1"),
        ({"wanted_by": (1,)}, {"detached": True}, "tailrace scheduler"),
        ({"run_type": RunType.MANUAL}, {}, "a scheduler drives it"),
        ({"judged_by": 4}, {}, "or run it here: `tailrace backfill dag -s 2024-05-02T12:00+00:00`"),
        ({"conf": '{"k":5}'}, {}, "-s 2024-05-02T12:00+00:00`"),  # which it keeps unasked
        (
            {"options": RunOptions(pool="p", disable_retry=True, mark_success=True)},
            {},
            " --pool p --disable-retry --mark-success`",
        ),
    ],
)
def test_a_clear_says_who_drives_the_run_again(run: dict[str, object], backfill: dict[str, object], said: str) -> None:
    failed = known_run(ABC, state="failed", tis={"a": "failed"}, **run)
    given = facts(ABC, failed, backfills={1: known_backfill(**backfill)})
    plan = plan_clear(given, ClearRequest())
    assert said in lines(plan.notices)[0]
    assert ("what was judged stays as it is: backfill 4" in " ".join(lines(plan.notices))) == (failed.judged_by == 4)


# --- mark --------------------------------------------------------------------------------------------------


def mark(state: str, *task_ids: str, **more: bool) -> MarkRequest:
    return MarkRequest(TaskInstanceState(state), task_ids, **more)


def test_marking_gives_an_outcome_or_says_where_a_running_try_ends() -> None:
    run = known_run(ABC, tis={"a": "running", "b": "queued", "c": "none"})
    plan = legal(plan_mark_tasks(facts(ABC, run), mark("success", "a", downstream=True)))
    assert steps(plan) == {"a": ("stopping", "success"), "b": ("success", None), "c": ("success", None)}
    assert run_steps(plan) == {"run_1": ("running", "running")}


def test_a_closed_run_is_judged_again_by_its_leaves() -> None:
    run = known_run(ABC, state="failed", tis={"a": "success", "b": "success", "c": "failed"})
    plan = legal(plan_mark_tasks(facts(ABC, run), mark("success", "c")))
    assert run_steps(plan) == {"run_1": ("failed", "success")}
    assert plan.runs[0].evidence == {100: "success", 101: "success", 102: "failed"}
    back = known_run(ABC, state="success", tis={"a": "success", "b": "success", "c": "success"})
    assert run_steps(plan_mark_tasks(facts(ABC, back), mark("failed", "c"))) == {"run_1": ("success", "failed")}


def test_a_mark_leaves_what_is_below_and_says_how_to_run_it() -> None:
    run = known_run(ABC, state="failed", tis={"a": "failed", "b": "upstream_failed", "c": "upstream_failed"})
    plan = legal(plan_mark_tasks(facts(ABC, run), mark("success", "a")))
    assert steps(plan) == {"a": ("success", None)}
    assert run_steps(plan) == {"run_1": ("failed", "failed")}
    assert lines(plan.notices)[0] == (
        "run_1: b, c stay upstream_failed; `tailrace tasks mark dag a run_1 --state success --downstream-failed` lets "
        "it run"
    )
    assert not any("stay" in line for line in lines(plan_mark_tasks(facts(ABC, run), mark("failed", "b")).notices))


@pytest.mark.parametrize("state", ["failed", "deadlocked", "cancelled", "running"])
def test_a_mark_clears_what_failed_below_where_that_is_asked_for(state: str) -> None:
    """Of what is below only that, and also where the mark itself has been made before."""
    tis = {"a": "failed", "b": "upstream_failed", "c": "upstream_failed"}
    wanted = mark("success", "a", downstream_failed=True)
    plan = legal(plan_mark_tasks(facts(ABC, known_run(ABC, state=state, tis=tis)), wanted))
    assert steps(plan) == {"a": ("success", None), "b": ("none", None), "c": ("none", None)}
    assert run_steps(plan) == {"run_1": (state, "running" if state == "running" else "queued")}
    assert not any("stay" in line for line in lines(plan.notices))
    assert {step.key.task_id: step.fresh for step in plan.task_instances} == {"a": False, "b": True, "c": True}
    marked = known_run(ABC, state=state, tis=tis | {"a": "success", "c": "skipped"})
    assert steps(legal(plan_mark_tasks(facts(ABC, marked), wanted))) == {"b": ("none", None)}
    beside = known_run(ABC, state=state, tis={"a": "upstream_failed", "b": "failed", "c": "success"})
    assert steps(plan_mark_tasks(facts(ABC, beside), mark("skipped", "b", downstream_failed=True))) == {
        "b": ("skipped", None)
    }


def test_a_mark_opens_a_deadlocked_run_and_those_it_deadlocked() -> None:
    run = known_run(PAST, state="deadlocked", tis={"a": "none", "b": "none"})
    given = facts(PAST, run, deadlocked=(deadlocked(PAST, 2, 1, "a"),))
    plan = legal(plan_mark_tasks(given, mark("success", "a")))
    assert run_steps(plan) == {"run_1": ("deadlocked", "queued"), "run_2": ("deadlocked", "queued")}


def test_marking_what_is_not_there_yet_creates_it() -> None:
    plan = legal(plan_mark_tasks(facts(ABC, known_run(ABC, state="queued")), mark("skipped", "b")))
    assert [(new.key.task_id, new.state) for new in plan.created] == [("b", "skipped")]
    assert run_steps(plan) == {"run_1": ("queued", "queued")}


def test_a_run_marked_success_has_nothing_unfinished_and_nothing_failed() -> None:
    run = known_run(ABC, tis={"a": "running", "b": "failed", "c": "skipped"})
    plan = legal(plan_mark_runs(facts(ABC, run), DagRunState.SUCCESS))
    assert steps(plan) == {"a": ("stopping", "success"), "b": ("success", None)}
    assert run_steps(plan) == {"run_1": ("running", "success")}


def test_a_run_marked_failed_fails_what_runs_and_skips_the_rest() -> None:
    run = known_run(ABC, tis={"a": "success", "b": "running", "c": "none"})
    plan = legal(plan_mark_runs(facts(ABC, run), DagRunState.FAILED))
    assert steps(plan) == {"b": ("stopping", "failed"), "c": ("skipped", None)}
    assert run_steps(plan) == {"run_1": ("running", "failed")}
    fresh = legal(plan_mark_runs(facts(ABC, known_run(ABC, state="queued")), DagRunState.SUCCESS))
    assert [new.key.task_id for new in fresh.created] == ["a", "b", "c"]


def test_marking_what_is_so_already_writes_nothing() -> None:
    run = known_run(ABC, state="success", tis={"a": "success", "b": "success", "c": "skipped"})
    assert not plan_mark_runs(facts(ABC, run), DagRunState.SUCCESS).writes
    assert not plan_mark_tasks(facts(ABC, run), mark("success", "a")).writes


# --- cancel, pause, resume -----------------------------------------------------------------------------------


def test_cancelling_takes_back_only_what_nobody_else_wants() -> None:
    mine = known_run(ABC, 1, wanted_by=(1,), tis={"a": "running", "b": "queued", "c": "none"})
    shared = known_run(ABC, 2, wanted_by=(1, 2), tis={"a": "running"})
    live = known_run(ABC, 3, wanted_by=(1,), live=True, tis={"a": "running"})
    plan = legal(plan_cancel(facts(ABC, mine, shared, live, backfill=known_backfill())))
    assert steps(plan) == {"a": ("stopping", "none"), "b": ("none", None)}
    assert [step.max_tries for step in plan.task_instances] == [4, 2], "the number it used is given back"
    assert run_steps(plan) == {"run_1": ("running", "cancelled")}
    assert plan.backfill is not None
    assert plan.backfill.after is BackfillState.CANCELLED
    assert plan.wanted == {1: (1,), 2: (1, 2), 3: (1,)}
    assert len(plan.notices) == 2


def test_a_judged_backfill_is_not_cancelled_and_a_cancelled_one_not_twice() -> None:
    judged = plan_cancel(facts(ABC, backfill=known_backfill(state=BackfillState.SUCCESS)))
    assert lines(judged.refusals) == ("backfill 1 is success already; there is nothing to cancel",)
    again = plan_cancel(facts(ABC, backfill=known_backfill(state=BackfillState.CANCELLED)))
    assert (again.refusals, again.writes) == ((), False)
    assert plan_cancel(facts(ABC)).refusals


def test_pausing_takes_queued_tries_back_unless_somebody_may_go_on() -> None:
    mine = known_run(ABC, 1, wanted_by=(1,), tis={"a": "running", "b": "queued"})
    shared = known_run(ABC, 2, wanted_by=(1, 2), tis={"a": "queued"})
    given = facts(ABC, mine, shared, backfill=known_backfill())
    plan = legal(plan_pause(given, True))
    assert [(step.run, step.key.task_id, step.after, step.cause) for step in plan.task_instances] == [
        (1, "b", "none", "paused")
    ]
    both = replace(given, backfills={1: known_backfill(1), 2: known_backfill(2, paused=True)})
    assert len(plan_pause(both, True).task_instances) == 2


def test_pausing_and_resuming_what_is_so_already_writes_nothing() -> None:
    for paused in (True, False):
        plan = plan_pause(facts(ABC, backfill=known_backfill(paused=paused)), paused)
        assert not plan.writes
        assert plan.notices
    resumed = plan_pause(facts(ABC, backfill=known_backfill(paused=True)), False)
    assert resumed.backfill is not None
    assert resumed.backfill.paused is False
    assert lines(resumed.notices) == ("go on with it: `tailrace backfill dag 1`",)
