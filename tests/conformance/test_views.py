"""What people are shown is what is there."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.effects.requests import Accepted
from tailrace.errors import CommandError
from tailrace.metastore.db.tables import backfill, dag_run, task_instance
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.views.runs import RunFilter
from tailrace.metastore.views.summaries import Failures
from tailrace.metastore.views.task_instances import TaskInstanceFilter
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import GroupSpec, TaskSpec
from tailrace.model.states import BackfillState, DagRunState, JobKind, JobState, TaskInstanceState
from tailrace.planning.failed_tasks import FailedTasks
from tailrace.planning.failure_groups import Failed
from tailrace.planning.plan import RunVerdict
from tailrace.planning.planner import plan
from tailrace.planning.resizing import plan_resize
from tests.conformance.listening import hearing, plan_of
from tests.conformance.worlds import DAY, FIRST, LEASE, World, dag
from tests.message_text import lines

AB = dag("a>b")


@pytest.fixture
def failed(world: World) -> int:
    """A backfill of three runs: the first succeeded, the second failed at a, the third is queued."""
    id = world.backfill(AB, days=3)
    job = world.job(AB, id)
    world.activate(AB, job, 1, 2)
    for task_id in ("a", "b"):
        world.run_try(AB, job, world.by_task(1)[task_id])
    assert world.apply(AB, job, run_verdicts=(world.verdict(1, DagRunState.SUCCESS),)).judged
    a, b = world.by_task(2).values()
    world.queue(AB, job, a)
    claim = world.running(a)
    world.clock.advance(5)
    assert world.report(AB, claim, OutcomeKind.FAILED) == Accepted("failed")
    failed = world.transition(b, TaskInstanceState.UPSTREAM_FAILED, reason="a failed")
    verdict = world.verdict(2, DagRunState.FAILED, reason="b is upstream_failed")
    evidence = {a: TaskInstanceState.FAILED, b: TaskInstanceState.UPSTREAM_FAILED}
    assert world.apply(AB, job, transitions=(failed,), run_verdicts=(replace(verdict, evidence=evidence),)).judged
    return id


def test_the_summary_of_a_backfill(world: World, failed: int) -> None:
    summary = world.store.backfill_summary(failed)
    assert (summary.id, summary.dag_id, summary.state, summary.left_failed) == (failed, "dag", "queued", 0)
    assert summary.runs == {"success": 1, "failed": 1, "queued": 1}
    assert summary.task_instances == {"success": 2, "failed": 1, "upstream_failed": 1}
    root = summary.root_failure
    assert root is not None
    run_id = world.row(dag_run, 2).run_id
    assert root.try_key == TryKey(TaskInstanceKey("dag", run_id, "a"), 1)
    assert (root.state, root.reason) == ("failed", "said so")
    with pytest.raises(KeyError):
        world.store.backfill_summary(999)


def test_failures_that_were_left_alone_are_counted(world: World, failed: int) -> None:
    verdict = world.backfill_verdict(failed, BackfillState.FAILED)
    world.store._database.write(lambda tx: tx.connection.exec_driver_sql("UPDATE backfill SET state = 'cancelled'"))
    assert not world.apply(AB, 1, backfill_verdict=verdict).backfill_judged
    second = world.backfill(AB, days=3)
    assert second != failed
    assert world.store.backfill_summary(second).left_failed == 1


AFTER_ALL = dag("a>b b>c d>e", c={"trigger_rule": TriggerRule.ALL_DONE}, d={"trigger_rule": TriggerRule.ALWAYS})


def test_what_failed_inside_runs_that_succeeded(world: World) -> None:
    """Two runs succeed although a failed and b did not run; in the third, d fails, and with e the run."""
    id = world.backfill(AFTER_ALL, days=3)
    job = world.job(AFTER_ALL, id)
    failing = {1: ("a",), 2: ("a",), 3: ("d",)}
    judged: dict[int, RunVerdict] = {}
    for _ in range(60):
        decided = plan(world.store.snapshot(job, AFTER_ALL, id))
        for submission in world.store.apply(decided, world.write_id()).queued:
            run = world.row(task_instance, submission.id).dag_run_id
            fails = submission.key.task_instance.task_id in failing[run]
            kind = OutcomeKind.FAILED if fails else OutcomeKind.SUCCESS
            world.report(AFTER_ALL, world.running(submission.id, submission.key.try_number), kind)
        judged.update((verdict.id, verdict) for verdict in decided.run_verdicts)
        if decided.backfill_verdict is not None:
            break
    inside = FailedTasks({"a": 1}, {"b": 1})
    assert [(run, judged[run].state, judged[run].failed_inside) for run in (1, 2, 3)] == [
        (1, "success", inside),
        (2, "success", inside),
        (3, "failed", FailedTasks()),
    ]
    assert decided.backfill_verdict is not None
    assert decided.backfill_verdict.failed_inside == FailedTasks({"a": 2}, {"b": 2})
    inside_all = FailedTasks({"a": 2}, {"b": 2})
    everywhere = Failures(FailedTasks({"a": 2, "d": 1}, {"b": 2, "e": 1}), inside_all)
    assert world.store.backfill_summary(id).failures == everywhere
    [line] = world.store.list_backfills()
    assert FailedTasks(line.failed_tasks, line.upstream_failed_tasks) == everywhere.everywhere
    assert line.failed_inside == inside_all
    assert [run.failures for run in world.store.runs_of_backfill(id)] == [
        inside,
        inside,
        FailedTasks({"d": 1}, {"e": 1}),
    ]
    world.sound()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_failures_inside_are_found_by_an_index_of_failures(world: World, failed: int) -> None:
    """However many task instances have succeeded."""
    statements: list[str] = []
    with hearing(world.store, statements.append):
        world.store.list_backfills()
        world.store.list_runs()
    plans = [plan_of(world.store, each) for each in statements if "'upstream_failed'" in each]
    assert len(plans) == 2
    for shown in plans:
        index = "SEARCH task_instance USING COVERING INDEX ix_task_instance_failed (dag_run_id=?)"
        assert index in shown, shown


def test_backfills_in_a_list(world: World, failed: int) -> None:
    world.clock.advance(60)
    later = world.backfill(replace(AB, dag_id="later"), days=1)
    first, second = world.store.list_backfills()
    assert (first.backfill_id, second.backfill_id) == (later, failed)
    assert (second.start, second.end, second.command, second.reprocess) == (FIRST, FIRST + 2 * DAY, "typed", "missing")
    assert second.runs == {"success": 1, "failed": 1, "queued": 1}
    assert world.store.list_backfills("dag") == (second,)
    assert world.store.list_backfills(limit=1) == (first,)
    assert world.store.show_backfill(None) == first
    assert world.store.show_backfill(failed) == second
    assert world.store.show_backfill(999) is None


def test_progress(world: World, failed: int) -> None:
    world.activate(AB, 1, 3)
    a = world.by_task(3)["a"]
    world.queue(AB, 1, a)
    world.running(a)
    progress = world.store.backfill_progress(failed)
    assert progress.runs == {"success": 1, "failed": 1, "running": 1}
    assert progress.task_instances == {"success": 2, "failed": 1, "upstream_failed": 1, "running": 1, "none": 1}
    assert progress.running == (f"a @ {(FIRST + 2 * DAY).isoformat()}",)


def test_runs(world: World, failed: int) -> None:
    third, second, first = world.store.list_runs()
    assert [run.logical_date for run in (first, second, third)] == [FIRST, FIRST + DAY, FIRST + 2 * DAY]
    assert (second.state, second.reason, second.run_type) == ("failed", "b is upstream_failed", "backfill")
    assert (second.task_instance_counts, third.task_instance_counts) == ({"failed": 1, "upstream_failed": 1}, {})
    assert (second.start, second.end) == (world.clock.now - timedelta(seconds=5), world.clock.now)
    assert world.store.list_runs(RunFilter("dag", "failed")) == (second,)
    assert world.store.list_runs(RunFilter("unknown")) == ()
    assert world.store.list_runs(limit=1) == (third,)
    assert world.store.runs_of_backfill(failed) == (first, second, third)
    [found] = world.store.find_runs("dag", second.run_id)
    assert (world.store.show_run(found.id), found.run_id) == (second, second.run_id)
    with pytest.raises(KeyError):
        world.store.show_run(999)
    assert world.store.find_runs("another", second.run_id) == ()
    names = [[run.run_id for run in world.store.runs_between("dag", FIRST, FIRST + DAY, most)] for most in (9, 1)]
    assert names == [[first.run_id, second.run_id], [first.run_id]]
    assert world.store.runs_between("another", FIRST, FIRST + DAY, 9) == ()


def test_task_instances_of_a_run(world: World, failed: int) -> None:
    a, b = world.store.task_instances_of(2)
    assert (a.task_id, a.map_index, a.state, a.try_number, a.reason) == ("a", -1, "failed", 1, "said so")
    assert (a.start, a.end) == (world.clock.now - timedelta(seconds=5), world.clock.now)
    assert (b.task_id, b.state, b.try_number, b.start, b.reason) == ("b", "upstream_failed", 0, None, "a failed")
    assert world.store.task_instances_of(3) == ()


def test_dags(world: World, failed: int) -> None:
    world.backfill(replace(AB, dag_id="another"))
    assert world.store.known_dags() == ("another", "dag")
    another, mine = world.store.dag_stats()
    assert (another.dag_id, another.runs, another.task_instances) == ("another", {"queued": 1}, {})
    assert mine.runs == {"success": 1, "failed": 1, "queued": 1}
    assert mine.task_instances == {"success": 2, "failed": 1, "upstream_failed": 1}
    assert world.store.dag_stats("dag") == (mine,)
    assert world.store.stored_dag("dag") == AB
    assert world.store.stored_dag("unknown") is None


def test_pausing(world: World, failed: int) -> None:
    version = world.rows(dag_table)[0].version
    assert world.store.set_paused("dag", True, world.write_id())
    assert world.store.dag_stats("dag")[0].paused
    assert world.rows(dag_table)[0].version == version + 1
    assert world.store.set_paused("dag", False, world.write_id())
    assert not world.store.dag_stats("dag")[0].paused
    assert not world.store.set_paused("unknown", True, world.write_id())


def test_pools(world: World) -> None:
    [default] = world.store.list_pools()
    assert (default.name, default.slots, default.open) == ("default_pool", 128, 128)
    assert world.pool("small", 2, "few")
    assert not world.pool("small", 3, None)
    assert [(pool.name, pool.slots, pool.description) for pool in world.store.list_pools()][1] == ("small", 3, "few")
    assert not world.pool("small", 3, "fewer")
    assert world.store.list_pools()[1].description == "fewer"
    world.store.delete_pool("small", world.write_id())
    assert len(world.store.list_pools()) == 1


@pytest.mark.parametrize(
    ("name", "slots", "refusal"),
    [
        ("", 1, "a pool's name must be text in one line, not ''"),
        ("small", -2, "pool 'small': expected 0 slots or more (-1: no limit), found -2"),
    ],
)
def test_a_pool_nobody_could_use_is_refused(world: World, name: str, slots: int, refusal: str) -> None:
    assert lines(plan_resize(world.store.resize_facts(name), name, slots).refusals) == (refusal,)


def test_a_pool_in_use_is_not_deleted(world: World) -> None:
    world.pool("small", 1, None)
    spec = dag("a", a={"pool": "small"})
    _, job = world.begun(spec)
    a = world.by_task(1)["a"]
    with pytest.raises(CommandError, match="used by 1 unfinished task instances"):
        world.store.delete_pool("small", world.write_id())
    world.queue(spec, job, a)
    with pytest.raises(CommandError, match="used by 1 unfinished task instances"):
        world.store.delete_pool("small", world.write_id())
    world.report(spec, world.running(a))
    world.store.delete_pool("small", world.write_id())
    world.pool("small", 1, None)
    world.backfill(dag("a"), first=FIRST + 5 * DAY, pool="small")
    with pytest.raises(CommandError, match="used by an unfinished backfill"):
        world.store.delete_pool("small", world.write_id())
    with pytest.raises(CommandError, match="can be resized, not deleted"):
        world.store.delete_pool("default_pool", world.write_id())


def test_a_backfill_that_is_not_finished_shows_who_drives_it(world: World) -> None:
    id, job = world.begun(AB)

    def shown(**columns: object) -> tuple[str, tuple[int, ...]]:
        world.store._database.write(lambda tx: tx.change(backfill.update().values(**columns)))
        [found], [run] = world.store.list_backfills(), world.store.list_runs()
        assert run.driven_by == (() if found.state == "paused" and not found.driven_by else found.driven_by)
        for each in world.store.list_task_instances(TaskInstanceFilter(), 9):
            assert (each.run_state, each.driven_by) == (run.state, run.driven_by)
        [wanted] = world.store.explained(1).wanted_by
        assert wanted.interrupted == (found.state == "interrupted")
        return found.state, found.driven_by

    assert shown(paused=False) == ("queued", (job,)), "its job has only just begun"
    assert shown(state="running") == ("running", (job,))
    assert shown(paused=True)[0] == "paused"
    world.clock.advance(2 * LEASE)
    assert shown(paused=True) == ("paused", ())
    assert shown(paused=False) == ("interrupted", ())
    assert shown(detached=True) == ("interrupted", ()), "it was begun"
    assert shown(state="queued") == ("queued", ())
    assert shown(detached=False) == ("interrupted", ()), "its command has gone"
    scheduler = world.store.start_job(JobKind.SCHEDULER, world.process(), None, None, LEASE, world.write_id())
    assert shown(detached=True) == ("queued", (scheduler,))
    assert shown(detached=False, state="running") == ("running", (scheduler,)), "its job was killed: it is taken up"
    agenda = world.store.agenda(scheduler)
    assert [lane.backfill_id for lane in agenda.lanes] == [id]
    [run] = world.store.list_runs()
    assert [each.id for each in world.store.explained(1).drivers] == list(run.driven_by) == [scheduler]
    world.store.end_job(job, JobState.INTERRUPTED)
    assert shown(detached=False) == ("interrupted", ()), "it waits for who interrupted it"
    assert world.store.agenda(scheduler).lanes == ()
    ended = {"state": "failed", "ended_at": world.clock.now}
    assert shown(**ended, paused=True)[0] == "failed"
    [newest, older] = world.store.list_jobs(10)
    assert (newest.job_id, newest.state, newest.kind) == (scheduler, "running", "scheduler")
    assert (older.job_id, older.state, older.backfill_id, older.dag_id) == (job, "interrupted", id, "dag")


def test_task_instances_of_many_runs(world: World, failed: int) -> None:
    def listed(limit: int = 9, **asked: Any) -> list[tuple[str, str]]:
        found = world.store.list_task_instances(TaskInstanceFilter(**asked), limit)
        return [(each.task_id, f"{each.logical_date:%d}") for each in found]

    first, second = f"{FIRST:%d}", f"{FIRST + DAY:%d}"
    assert listed() == [("a", second), ("b", second), ("a", first), ("b", first)]
    assert listed(states=("failed", "upstream_failed")) == [("a", second), ("b", second)]
    assert listed(task_ids=("a",), last=FIRST) == [("a", first)]
    assert listed(dag_id="dag", first=FIRST + DAY, limit=1) == [("a", second)]
    assert listed(dag_id="another") == []
    [run] = world.store.list_runs(RunFilter(failed_tasks=True))
    assert run.logical_date == FIRST + DAY
    assert world.store.list_runs(RunFilter(first=FIRST + DAY, last=FIRST + DAY)) == (run,)


def test_the_tasks_and_groups_of_all_structures(world: World, failed: int) -> None:
    spec = world.store.stored_dag("dag")
    assert spec is not None
    newer = replace(spec, tasks=(TaskSpec("g.new"), *spec.tasks), groups=(GroupSpec("g", ("g.new",)),))
    world.store.store_loaded([newer], "newer")
    assert world.store.task_names("dag") == world.store.task_names(None)
    assert world.store.task_names("dag").tasks == {"a", "b", "g.new"}
    assert world.store.task_names("dag").groups == {"g": {"g.new"}}
    assert world.store.task_names("another").tasks == frozenset()


def test_what_was_marked_shows_as_marked(world: World, failed: int) -> None:
    world.store._database.write(
        lambda tx: tx.change(dag_run.update().where(dag_run.c.id == 1).values(mark_success=True))
    )
    marked = task_instance.update().where(task_instance.c.dag_run_id == 2, task_instance.c.task_id == "b")
    world.store._database.write(lambda tx: tx.change(marked.values(cause="marked")))
    assert [run.marked for run in world.store.list_runs()] == [0, 1, 2]
    assert [each.marked for each in world.store.task_instances_of(2)] == [False, True]


PAST = dag("a>b", a={"depends_on_past": True})


def test_failures_are_grouped_by_task_and_error(world: World) -> None:
    spec = dag("a b")
    id, job = world.begun(spec, days=4)
    for run in range(1, 5):
        tasks = world.by_task(run)
        world.run_try(spec, job, tasks["a"], OutcomeKind.FAILED_FOR_GOOD)
        world.run_try(spec, job, tasks["b"], OutcomeKind.SUCCESS if run % 2 else OutcomeKind.FAILED_FOR_GOOD)
    world.set_state(world.by_task(3)["a"], reason="row 17 is wrong")
    world.set_state(world.by_task(4)["a"], reason="row 4 is wrong")
    assert world.store.backfill_summary(id).failed == (
        Failed("a", "said so", 2, FIRST, FIRST + DAY),
        Failed("b", "said so", 2, FIRST + DAY, FIRST + 3 * DAY),
        Failed("a", "row 17 is wrong", 2, FIRST + 2 * DAY, FIRST + 3 * DAY),
    )


def deadlocked(world: World, first: int, days: int) -> int:
    """A backfill that is driven until nothing more can begin."""
    id = world.backfill(PAST, days, FIRST + first * DAY)
    job = world.job(PAST, id)
    for _ in range(4 * days):
        world.step(PAST, job, id)
    return id


def test_the_failure_before_its_range_that_a_backfill_goes_back_to(world: World) -> None:
    id, job = world.begun(PAST)
    world.run_try(PAST, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    for _ in range(4):
        world.step(PAST, job, id)
    own = world.store.backfill_summary(id)
    assert (own.root_before, own.root_failure is None) == (None, False)
    between, later = deadlocked(world, 1, 2), deadlocked(world, 5, 3)
    run_id = world.row(dag_run, 1).run_id
    for backfill_id, chain, runs in ((between, (0,), 1), (later, (0, 1, 2), 3)):
        summary = world.store.backfill_summary(backfill_id)
        assert (summary.state, summary.root_failure) == ("deadlocked", None)
        root = summary.root_before
        assert root is not None
        assert root.try_key == TryKey(TaskInstanceKey("dag", run_id, "a"), 1)
        assert (root.state, root.reason, root.runs) == ("failed", "said so", runs)
        assert root.chain == tuple(FIRST + day * DAY for day in chain)


def test_the_xcoms_of_a_run_are_listed_by_task_and_key(world: World) -> None:
    spec = dag("a>b")
    _, job = world.begun(spec, 2)
    world.activate(spec, job, 1, 2)
    for run, values in ((1, {"return_value": {"k": "é" * 200}, "b": None}), (2, {"return_value": 5})):
        world.run_try(spec, job, world.by_task(run)["a"], xcoms=values)
    world.run_try(spec, job, world.by_task(1)["b"], xcoms={"x": "text"})
    found = world.store.recorded_xcoms(1)
    assert [(each.task_id, each.map_index, each.key, each.characters) for each in found] == [
        ("a", -1, "b", 4),
        ("a", -1, "return_value", 208),
        ("b", -1, "x", 6),
    ]
    assert [each.begins for each in found] == ["null", '{"k":"' + "é" * 94, '"text"']
    assert {each.pushed for each in found} == {world.clock.now}
    assert [each.begins for each in world.store.recorded_xcoms(2)] == ["5"]
    assert world.store.recorded_xcoms(3) == ()


def test_a_run_names_the_version_it_was_begun_with(world: World) -> None:
    job = world.job(dag("a>b"), world.backfill(dag("a>b"), 2))
    assert world.store.version_of_run(2) is None
    world.activate(dag("a>b"), job, 1)
    world.activate(dag("a>b>c", c={"retries": 1}), job, 2)
    first, second = world.store.version_of_run(1), world.store.version_of_run(2)
    assert first is not None and (first.version, first.versions) == (1, 2)
    assert second is not None and (second.version, second.versions) == (2, 2)
    versions = world.store.dag_versions("dag")
    assert [(each.version, each.tasks, each.runs, each.changes) for each in versions] == [
        (1, 2, 1, ()),
        (2, 3, 1, ("added c",)),
    ]
    assert world.store.dag_versions("none") == ()
