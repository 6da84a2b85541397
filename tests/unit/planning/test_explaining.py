"""Each wait is told in the planner's own words, with what would release it and the command where there is one."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.cli.remedies import command_of
from tailrace.model.keys import ProcessIdentity
from tailrace.model.spec import BranchKind, DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.explain import RunExplanation, TaskInstanceExplanation, explain_run
from tailrace.planning.explain_facts import JobFacts, JobTrouble, RunFacts, TaskInstanceFacts, WantedBy
from tailrace.planning.releasing import seconds_text
from tailrace.planning.snapshot import Holder, PoolSnapshot, PreviousRun, RunOptions, RunSnapshot
from tests.unit.planning.builders import NOW, dag, run, snapshot, task_instances

JOB = JobFacts(1, "backfill", "here", 100, True, 15.0, 1)
WANTED = WantedBy(1, "running", False, 0, 1, None, False, "tailrace backfill dag -s 2024-01-01")
WORKER = ProcessIdentity("here", "boot", 7, 7)
CHILD = ProcessIdentity("here", "boot", 8, 8)


def facts(spec: DagSpec, of: RunSnapshot, *others: RunSnapshot, **more: Any) -> RunFacts:
    """The facts of a run beside others, driven by a live job for one backfill."""
    running = [each for each in (of, *others) if each.state is DagRunState.RUNNING]
    fields = {name: more.pop(name) for name in ("owner", "drivers", "wanted_by", "live", "blocked") if name in more}
    instances = more.pop("instances", tuple(TaskInstanceFacts(ti, pool="default_pool") for ti in of.task_instances))
    seen = snapshot(spec, *running, **more)
    of = replace(of, live=fields.pop("live", False))
    return RunFacts(of, seen, instances, **{"owner": JOB, "drivers": (JOB,), "wanted_by": (WANTED,), **fields})


def of_task(explained: RunExplanation, task_id: str) -> TaskInstanceExplanation:
    return next(each for each in explained.task_instances if each.key.task_id == task_id)


def explained(spec: DagSpec, task_id: str, *, states: Any = None, **more: Any) -> TaskInstanceExplanation:
    of = run(spec, tis=task_instances(spec, **(states or {})), **more.pop("of", {}))
    return of_task(explain_run(facts(spec, of, **more)), task_id)


def render(found: TaskInstanceExplanation) -> tuple[str, str | None]:
    assert found.release is not None
    remedy = found.release.remedy
    return str(found.release), None if remedy is None else command_of(remedy)


def test_a_trigger_rule_waits_for_what_is_above_it() -> None:
    found = explained(dag("a>c b>c"), "c", states={"a": "success", "b": "up_for_retry"})
    assert "success=1, skipped=0, failed=0, upstream_failed=0, removed=0, done=1, pending=1" in found.waits
    assert render(found) == ("the end of b (up_for_retry)", None)
    assert [status.dependency for status in found.statuses if not status.passed] == ["Trigger Rule"]


def test_what_the_planner_would_do_is_reported() -> None:
    found = explained(dag("a"), "a")
    assert found.waits == "the next step makes it queued: every dependency is met"
    assert render(found) == ("the next step of job 1 (backfill on here, pid 100)", None)
    skipped = explained(
        dag("way>x way>y", way={"decides": BranchKind.BRANCH}),
        "y",
        states={"way": {"state": "success", "followed": ("x",)}},
    )
    assert skipped.waits == "the next step makes it skipped: Task way followed x, which excludes this task."


def test_without_a_live_job_the_command_that_starts_one_is_named() -> None:
    found = explained(dag("a"), "a", drivers=())
    assert render(found) == ("a job that drives it: none is alive", WANTED.command)
    detached = explained(dag("a"), "a", drivers=(), wanted_by=(replace(WANTED, detached=True),))
    assert render(detached) == ("a job that drives it: none is alive", "tailrace scheduler")
    live = explained(dag("a"), "a", drivers=(), wanted_by=(), live=True)
    assert render(live) == ("a job that drives it: none is alive", "tailrace scheduler")


def hindered(**trouble: Any) -> JobFacts:
    """A scheduler that says what hinders it."""
    return JobFacts(3, "scheduler", "there", 7, True, 15.0, trouble=JobTrouble(**trouble))


def test_a_try_that_cannot_be_begun_says_what_is_lacking() -> None:
    queued = {"a": {"state": "queued", "try_number": 1, "queued_at": NOW - timedelta(seconds=8)}}
    lacking = "no process can be had for a task (Too many open files): allow more open files (ulimit -n)"
    found = explained(dag("a"), "a", states=queued, drivers=(JOB, hindered(tries=lacking)))
    assert found.waits == (
        f"try 1 is queued for 8 s in pool default_pool; no worker has claimed it yet: job 3 says: {lacking}"
    )


@pytest.mark.parametrize("kind", ["files", "dags"])
def test_a_run_whose_dag_does_not_load_says_why(kind: str) -> None:
    """The scheduler lives, and will never drive it so."""
    spec = replace(dag("a"), file="/dags/flow.py")
    wrong = "/dags/flow.py:3: ModuleNotFoundError: No module named 'nowhere'"
    without = hindered(**{kind: {"/dags/flow.py" if kind == "files" else "dag": wrong}})
    release = f"a DAG file that loads: job 3 (scheduler on there, pid 7) cannot load it: {wrong}"
    of = run(spec, tis=task_instances(spec))
    explanation = explain_run(facts(spec, of, drivers=(without,), owner=None, wanted_by=(), live=True))
    assert explanation.waits.startswith(f"job 3 (scheduler on there, pid 7) does not have the DAG: {wrong}; 1 of 1 ")
    assert render(of_task(explanation, "a")) == (release, None)
    queued = replace(run(spec), state=DagRunState.QUEUED, task_instances=())
    explanation = explain_run(facts(spec, queued, drivers=(without,), owner=None, wanted_by=(), live=True))
    assert explanation.waits.startswith(f"job 3 (scheduler on there, pid 7) does not have the DAG: {wrong}; ")
    able = explain_run(facts(spec, of, drivers=(without, JOB)))
    assert "does not have" not in able.waits
    assert render(of_task(able, "a")) == ("the next step of job 1 (backfill on here, pid 100)", None)


def test_what_hinders_with_another_dag_is_not_said_of_this_one() -> None:
    other = hindered(files={"/dags/other.py": "broken"}, dags={"another": "broken"})
    spec = replace(dag("a"), file="/dags/flow.py")
    explanation = explain_run(facts(spec, run(spec, tis=task_instances(spec)), drivers=(other,), owner=None))
    assert "broken" not in explanation.waits + render(of_task(explanation, "a"))[0]


def test_a_retry_waits_for_its_time() -> None:
    waiting = {"a": {"state": "up_for_retry", "try_number": 1, "retry_at": NOW + timedelta(minutes=3, seconds=5)}}
    found = explained(dag("a", a={"retries": 1}), "a", states=waiting)
    text = "the time: 2024-05-01T12:03:05+00:00, in 3:05; or clear it to run it at once"
    assert render(found) == (text, "tailrace tasks clear dag a run_1")


def test_a_full_pool_says_who_is_before_it() -> None:
    spec = dag("a b c", a={"pool": "p"}, b={"pool": "p", "priority_weight": 5}, c={"pool": "p"})
    pools = {"p": PoolSnapshot("p", 1, 1), "default_pool": PoolSnapshot("default_pool", 9, 0)}
    of, other = run(spec), run(spec, 2, tis=task_instances(spec, 200, b="success", c="success"))
    explanation = explain_run(facts(spec, of, other, pools=pools))
    places = {task: of_task(explanation, task).waits.partition("needs 1.")[2] for task in "abc"}
    assert places == {
        "b": " It is number 1 of 4 that wait for this.",
        "a": " It is number 2 of 4 that wait for this.",
        "c": " It is number 3 of 4 that wait for this.",
    }
    assert render(of_task(explanation, "b")) == (
        "slots of pool p that become free, or more of them",
        "tailrace pools set p SLOTS",
    )


def test_a_pool_that_is_not_there_dooms() -> None:
    found = explained(dag("a", a={"pool": "p"}), "a")
    assert found.doomed
    assert "does not exist" in found.waits


def test_a_previous_run_that_is_open_or_failed() -> None:
    spec = dag("a>b", a={"depends_on_past": True})
    past = PreviousRun(9, "run_9", DagRunState.RUNNING, {"a": (TaskInstanceState.RUNNING,)})
    waits = explained(spec, "a", after={1: 9}, previous={9: past})
    assert render(waits) == ("a of run_9, which is running", "tailrace runs explain dag run_9")
    assert not waits.doomed
    failed = replace(past, state=DagRunState.FAILED, states={"a": (TaskInstanceState.FAILED,)})
    never = explained(spec, "a", after={1: 9}, previous={9: failed})
    assert never.doomed
    assert render(never) == ("a of run_9 must run again and succeed", "tailrace tasks clear dag a run_9")
    blocked = replace(past, state=DagRunState.DEADLOCKED, states={"a": (TaskInstanceState.NONE,)})
    further = explained(spec, "a", after={1: 9}, previous={9: blocked})
    success = "the success of run_9, which is deadlocked; see what keeps it from that"
    assert render(further) == (success, "tailrace runs explain dag run_9")
    below = explained(spec, "b", after={1: 9}, previous={9: failed})
    assert render(below)[0].startswith("nothing by itself: a (none) can never run")


def test_a_paused_backfill_says_how_to_resume_it() -> None:
    spec = dag("a")
    of = run(spec)
    seen = facts(spec, of, wanted_by=(replace(WANTED, paused=True),))
    assert seen.snapshot.backfill is not None
    seen = replace(seen, snapshot=replace(seen.snapshot, backfill=replace(seen.snapshot.backfill, paused=True)))
    found = of_task(explain_run(seen), "a")
    assert found.waits == "The backfill is paused."
    assert render(found)[1] == "tailrace backfill resume 1"


def test_a_queued_try_that_nobody_claimed() -> None:
    waiting = {"a": {"state": "queued", "try_number": 1, "queued_at": NOW - timedelta(seconds=4)}}
    found = explained(dag("a"), "a", states=waiting)
    assert found.waits == "try 1 is queued for 4 s in pool default_pool; no worker has claimed it yet"
    assert render(found)[0] == "a free worker; job 1 offers it again if none has claimed it for 10 s"
    alone = explained(dag("a"), "a", states=waiting, drivers=())
    assert render(alone) == ("a job that drives it: none is alive", WANTED.command)


@pytest.mark.parametrize(
    ("lease", "waits", "release"),
    [
        (12.0, ", lease for 12 s more", "its end; if its worker sends no heartbeat, it is lost in 12 s"),
        (-3.0, "; its lease ran out 3 s ago", "the next step of its job declares this try lost"),
    ],
)
def test_a_running_try_says_who_holds_it(lease: float, waits: str, release: str) -> None:
    spec = dag("a")
    (view,) = task_instances(spec, a={"state": "running", "try_number": 2, "holder": Holder(WORKER, CHILD)})
    ti = TaskInstanceFacts(view, started_at=NOW - timedelta(seconds=70), lease_seconds=lease)
    found = of_task(explain_run(facts(spec, run(spec, tis=(view,)), instances=(ti,))), "a")
    assert found.waits == f"try 2 is running for 1:10 by worker 7 on here, process 8{waits}"
    assert render(found)[0] == release
    waiting = replace(ti, reason="waiting for thread x to end")
    found = of_task(explain_run(facts(spec, run(spec, tis=(view,)), instances=(waiting,))), "a")
    held = "by worker 7 on here, process 8; its function has returned, and its process is waiting for thread x to end"
    assert found.waits == f"try 2 is running for 1:10 {held}{waits}"


def test_what_has_ended_says_how() -> None:
    spec = dag("a b")
    views = task_instances(
        spec,
        a={"state": "failed", "try_number": 2, "cause": Cause.OUTCOME},
        b={"state": "upstream_failed", "cause": Cause.TRIGGER_RULE},
    )
    tis = (
        TaskInstanceFacts(views[0], reason="exit 1"),
        TaskInstanceFacts(views[1], reason="because"),
    )
    explanation = explain_run(facts(spec, run(spec, tis=views), instances=tis))
    assert [each.waits for each in explanation.task_instances] == [
        "failed in try 2 (outcome): exit 1",
        "upstream_failed (trigger rule): because",
    ]
    assert explanation.waits.endswith("the next step closes it as failed: a is failed; b is upstream_failed")


def queued(**more: Any) -> RunExplanation:
    spec = dag("a", _dag={"max_active_runs": 1})
    of = run(spec, 5, state=DagRunState.QUEUED, tis=(), owner_job_id=None)
    more = {"owner": None, "dag_active_runs": 1, **more}
    return explain_run(facts(spec, of, run(spec), **more))


def test_a_queued_run_says_where_it_stands_in_the_window() -> None:
    found = queued(wanted_by=(replace(WANTED, ahead=3, active=2, max_active_runs=2),))
    assert found.waits == (
        "1 of 1 runs of dag are running (max_active_runs); backfill 1: 3 queued before it, 2 of 2 of its own running"
    )
    assert found.release is not None
    assert str(found.release) == "an active run that closes"
    paused = queued(wanted_by=(replace(WANTED, paused=True),))
    assert paused.release is not None
    assert paused.release.remedy is not None
    assert command_of(paused.release.remedy) == "tailrace backfill resume 1"
    unwanted = queued(wanted_by=(replace(WANTED, state="cancelled"),))
    assert unwanted.release is not None
    assert str(unwanted.release) == "no unfinished backfill wants it"


def test_a_queued_run_with_room_begins_at_the_next_step() -> None:
    spec = dag("a")
    of = run(spec, 5, state=DagRunState.QUEUED, tis=(), owner_job_id=None)
    found = explain_run(facts(spec, of, candidates=(of,)))
    assert found.waits == "there is room for it: the next step begins it"


def test_a_run_waits_for_its_previous_one_to_begin() -> None:
    spec = dag("a", a={"depends_on_past": True})
    of = run(spec, 5, state=DagRunState.QUEUED, tis=(), owner_job_id=None)
    past = PreviousRun(4, "run_4", DagRunState.QUEUED, {})
    found = explain_run(facts(spec, of, candidates=(of,), previous={4: past}, after={5: 4}))
    assert "its previous run run_4 is queued itself" in found.waits
    free = replace(of, options=RunOptions(ignore_depends_on_past=True))
    assert (
        "the next step begins it"
        in explain_run(facts(spec, free, candidates=(free,), previous={4: past}, after={5: 4})).waits
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (59.4, "59 s"), (185, "3:05"), (7385, "2:03:05"), (180_000, "2 d 2 h")]
)
def test_spans_read_well(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
