"""A backfill appears whole: its runs, who wants them, what is to be done again; or nothing of it does."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, dag_version, history, task_instance
from tailrace.metastore.db.tables import dag as dag_table
from tailrace.metastore.store import MetastoreStale
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import DagSpec
from tailrace.model.states import BackfillState, DagRunState
from tailrace.planning.backfills import BackfillCreation, DateAction
from tests.conformance.worlds import DAY, FIRST, World, dag

A = dag("a", a={"retries": 2})


def write(world: World, spec: DagSpec, creation: BackfillCreation) -> Any:
    return world.store.create_backfill(spec, creation, "typed", world.write_id())


def ended(world: World, kind: OutcomeKind = OutcomeKind.SUCCESS, days: int = 1) -> tuple[int, int]:
    """A backfill whose runs are all closed; its own verdict is written too."""
    id, job = world.begun(A, days)
    for run in world.run_rows():
        world.run_try(A, job, world.by_task(run)["a"], kind)
        state = DagRunState.SUCCESS if kind is OutcomeKind.SUCCESS else DagRunState.FAILED
        assert world.apply(A, job, run_verdicts=(world.verdict(run, state),)).judged
    version = world.row(backfill, id).version
    assert world.apply(
        A, job, backfill_verdict=world.backfill_verdict(id, BackfillState.FAILED, version)
    ).backfill_judged
    return id, job


def test_everything_is_there_at_once(world: World) -> None:
    id = world.backfill(A, days=3, conf='{"k":1}', disable_retry=True, stop_on_failure=True, max_active_runs=2)
    row = world.row(backfill, id)
    assert (row.state, row.dag_id, row.command, row.max_active_runs) == ("queued", "dag", "typed", 2)
    assert (row.range_start, row.range_end, row.created_at) == (FIRST, FIRST + 2 * DAY, world.clock.now)
    runs = world.rows(dag_run)
    assert [run.logical_date for run in runs] == [FIRST, FIRST + DAY, FIRST + 2 * DAY]
    assert [run.run_id for run in runs][0] == "backfill__2024-01-01T00:00:00+00:00"
    assert {(run.state, run.version, run.conf, run.disable_retry, run.owner_job_id) for run in runs} == {
        ("queued", 1, '{"k":1}', True, None)
    }
    assert [(w.dag_run_id, w.ordinal, w.run_state, w.action) for w in world.rows(backfill_run)] == [
        (1, 0, "queued", "create"),
        (2, 1, "queued", "create"),
        (3, 2, "queued", "create"),
    ]
    steps = [h for h in world.history() if h.kind != "changed"]
    assert [(h.kind, h.before, h.after, h.actor) for h in steps] == [
        ("backfill", None, "queued", "person"),
        *[("dag_run", None, "queued", "person")] * 3,
    ]
    [known] = world.rows(dag_version)
    assert spec_from(known.spec) == A
    assert world.rows(dag_table)[0].dag_version_id == known.id
    assert world.rows(task_instance) == []


def test_what_an_older_tailrace_wrote_is_read() -> None:
    """It knew fewer fields, and took a description that was None."""
    text = spec_text(replace(A, description="?"))
    older = text.replace('"description":"?"', '"description":null').replace('"catchup":false,', "")
    assert older != text
    read = spec_from(older)
    assert (read.dag_id, read.tasks, read.catchup) == (A.dag_id, A.tasks, False)


@pytest.mark.parametrize("where", ["_insert_runs", "requeue_runs", "_want", "insert_history", "record"])
def test_nothing_is_there_if_it_breaks_anywhere(world: World, where: str) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the process dies here")

    creation = world.decide(A, days=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"tailrace.metastore.commands.creation.{where}", fail)
        with pytest.raises(RuntimeError):
            write(world, A, creation)
    for table in (dag_table, dag_version, backfill, dag_run, backfill_run):
        assert world.rows(table) == [], table.name
    assert world.history() == []


def test_backwards_turns_the_order_round(world: World) -> None:
    world.backfill(A, days=3, backwards=True)
    assert [(w.dag_run_id, w.ordinal) for w in world.rows(backfill_run)] == [(1, 0), (2, 1), (3, 2)]
    assert [run.logical_date for run in world.rows(dag_run)] == [FIRST + 2 * DAY, FIRST + DAY, FIRST]
    candidates = world.store.snapshot(1, A, 1).candidates
    assert [run.logical_date for run in candidates] == [FIRST + 2 * DAY, FIRST + DAY, FIRST]


def test_a_thousand_dates_are_one_transaction(world: World) -> None:
    world.backfill(A, days=1200)
    runs = world.rows(dag_run)
    assert len(runs) == 1200
    [begin, *others] = {row.write_id for row in world.history()}
    assert others == []


# --- the same command again ------------------------------------------------------------------------------------


def test_the_same_command_continues_with_changed_limits(world: World) -> None:
    first = world.backfill(A, days=2)
    assert world.backfill(A, days=2, max_active_runs=1, stop_on_failure=True, backwards=True) == first
    row = world.row(backfill, first)
    assert (row.version, row.max_active_runs, row.stop_on_failure, row.backwards) == (2, 1, True, True)
    assert [(w.dag_run_id, w.ordinal) for w in world.rows(backfill_run)] == [(1, 1), (2, 0)]
    assert len(world.rows(dag_run)) == 2


def test_new_makes_a_second_one_that_wants_the_same_runs(world: World) -> None:
    first = world.backfill(A, days=2)
    second = world.backfill(A, days=2, new=True)
    assert second != first
    assert len(world.rows(dag_run)) == 2
    assert {(w.backfill_id, w.action) for w in world.rows(backfill_run)} == {(first, "create"), (second, "await")}


def test_a_finished_backfill_is_not_continued(world: World) -> None:
    first, _ = ended(world)
    second = world.backfill(A)
    assert second != first
    assert [w.action for w in world.rows(backfill_run) if w.backfill_id == second] == ["leave"]
    assert world.row(dag_run, 1).state == "success"


def test_continuing_keeps_what_creation_decided(world: World) -> None:
    """A run that failed again under this backfill is not taken up a third time just because the command is repeated."""
    _, job = ended(world, OutcomeKind.FAILED_FOR_GOOD, days=2)
    second = world.backfill(A, days=2, reprocess="failed")
    world.activate(A, job, 1)
    world.run_try(A, job, world.by_task(1)["a"], OutcomeKind.FAILED_FOR_GOOD)
    assert world.apply(A, job, run_verdicts=(world.verdict(1, DagRunState.FAILED),)).judged
    assert world.backfill(A, days=2, reprocess="failed") == second
    assert [run.state for run in world.rows(dag_run)] == ["failed", "queued"]


def test_continuing_does_not_mind_what_became_of_its_own_runs(world: World) -> None:
    first = world.backfill(A, days=2)
    again = world.decide(A, days=2)
    bump = dag_run.update().values(version=dag_run.c.version + 1)
    world.store._database.write(lambda tx: tx.change(bump))
    assert write(world, A, again) == first


# --- runs that exist -------------------------------------------------------------------------------------------


def test_reprocessing_puts_closed_runs_back_with_their_intent(world: World) -> None:
    _, _ = ended(world, OutcomeKind.FAILED_FOR_GOOD, days=2)
    second = world.backfill(A, days=2, reprocess="failed", conf='{"again":true}')
    for run in world.rows(dag_run):
        assert (run.state, run.version, run.conf) == ("queued", 2, '{"again":true}')
        assert from_json(run.clear_on_activation) == ["a"]
    assert {(w.action, w.clear) for w in world.rows(backfill_run) if w.backfill_id == second} == {
        ("reprocess", '["a"]')
    }
    told = world.history(kind="dag_run", cause="reprocess")
    assert [(row.before, row.after, row.backfill_id) for row in told] == [("failed", "queued", second)] * 2


def test_a_running_run_is_awaited_and_left_as_it_is(world: World) -> None:
    _, job = world.begun(A)
    before = world.row(dag_run, 1)
    world.backfill(A, reprocess="all")
    assert world.row(dag_run, 1) == before
    assert world.rows(backfill_run)[-1].run_state == "running"


def test_a_queued_run_that_nobody_wants_takes_the_new_options(world: World) -> None:
    first = world.backfill(A, stop_on_failure=True)
    world.store._database.write(lambda tx: tx.change(backfill.update().values(state="cancelled")))
    second = world.backfill(A, disable_retry=True, conf='{"k":2}')
    assert second != first
    run = world.row(dag_run, 1)
    assert (run.state, run.version, run.disable_retry, run.conf) == ("queued", 2, True, '{"k":2}')


@pytest.mark.parametrize(
    ("given", "stored"), [(None, '{"k":1}'), ("{}", None), ('{"k":2}', '{"k":2}')], ids=["kept", "cleared", "given"]
)
@pytest.mark.parametrize("reprocess", ["all", "failed"])
def test_a_run_done_again_keeps_its_conf_unless_another_is_given(
    world: World, given: str | None, stored: str | None, reprocess: str
) -> None:
    ended(world, OutcomeKind.FAILED_FOR_GOOD, days=2)
    world.store._database.write(lambda tx: tx.change(dag_run.update().values(conf='{"k":1}')))
    second = world.backfill(A, days=3, reprocess=reprocess, conf=given)
    new = None if given == "{}" else given
    assert [(run.state, run.conf) for run in world.rows(dag_run)] == [("queued", stored)] * 2 + [("queued", new)]
    assert world.row(backfill, second).conf == given
    job, run = world.job(A, second), world.rows(dag_run)[0].id
    world.activate(A, job, run)
    a = world.by_task(run)["a"]
    world.queue(A, job, a)
    assert world.running(a, 2).run_conf == ({} if stored is None else from_json(stored))


def test_who_gives_no_conf_shares_the_runs_of_one_who_does(world: World) -> None:
    first = world.backfill(A, days=2, conf='{"k":1}')
    second = world.backfill(A, days=3)
    assert first != second
    assert [run.conf for run in world.rows(dag_run)] == ['{"k":1}', '{"k":1}', None]
    assert len([each for each in world.rows(backfill_run) if each.backfill_id == second]) == 3


def test_a_conf_reaches_queued_runs_that_others_want_without_one(world: World) -> None:
    world.backfill(A, days=2)
    late = world.decide(A, conf="{}")
    world.backfill(A, days=2, conf='{"k":1}')
    assert [(run.conf, run.version) for run in world.rows(dag_run)] == [('{"k":1}', 2)] * 2
    assert isinstance(write(world, A, late), MetastoreStale), "it would take away what the other gave meanwhile"
    assert "another --conf" in str(world.decide(A, conf="{}").refusals[0])


def test_two_who_say_what_a_conf_is_cannot_both_be_first(world: World) -> None:
    """Although the first changes nothing of the run: it has no conf, and is to have none."""
    world.backfill(A)
    late = world.decide(A, conf='{"k":1}')
    world.backfill(A, conf="{}")
    assert isinstance(write(world, A, late), MetastoreStale)
    assert "another --conf" in str(world.decide(A, conf='{"k":1}').refusals[0])


def test_a_conf_that_comes_when_the_run_has_begun_is_stale(world: World) -> None:
    id = world.backfill(A)
    late = world.decide(A, conf='{"k":1}')
    world.activate(A, world.job(A, id), 1)
    assert isinstance(write(world, A, late), MetastoreStale)
    assert "another --conf" in str(world.decide(A, conf='{"k":1}').refusals[0])


def test_a_person_who_opens_a_run_again_leaves_its_conf(world: World) -> None:
    ended(world, days=2)
    world.store._database.write(lambda tx: tx.change(dag_run.update().values(conf='{"k":1}')))
    assert world.clear().runs
    assert [(run.state, run.conf) for run in world.rows(dag_run)] == [("queued", '{"k":1}')] * 2


def test_facts_that_changed_make_it_stale_and_nothing_is_written(world: World) -> None:
    ended(world)
    stale = world.decide(A, reprocess="all")
    world.backfill(A, reprocess="all", conf='{"k":1}')
    before = [world.rows(table) for table in (backfill, dag_run, backfill_run, history, dag_table)]
    answer = write(world, A, stale)
    assert isinstance(answer, MetastoreStale)
    assert "expected version 1, found queued version 2" in answer.reason
    assert [world.rows(table) for table in (backfill, dag_run, backfill_run, history, dag_table)] == before


def test_a_run_somebody_created_first_makes_it_stale(world: World) -> None:
    stale = world.decide(A, days=2)
    world.backfill(A, conf='{"k":1}')
    answer = write(world, A, stale)
    assert isinstance(answer, MetastoreStale)
    assert "expected no run, found queued" in answer.reason
    assert len(world.rows(dag_run)) == 1


def test_a_backfill_that_ended_meanwhile_is_not_continued(world: World) -> None:
    world.backfill(A)
    stale = world.decide(A)
    assert stale.continues == 1
    world.store._database.write(lambda tx: tx.change(backfill.update().values(state="cancelled")))
    assert isinstance(write(world, A, stale), MetastoreStale)


def test_a_run_that_began_meanwhile_is_awaited_all_the_same(world: World) -> None:
    id = world.backfill(A)
    job = world.job(A, id)
    awaiting = world.decide(A, new=True)
    world.activate(A, job, 1)
    second = write(world, A, awaiting)
    assert isinstance(second, int)
    assert world.rows(backfill_run)[-1].run_state == "running"


def test_a_clearing_that_came_too_late_is_stale(world: World) -> None:
    _, job = ended(world)
    world.backfill(A, reprocess="all")
    late = world.decide(A, reprocess="all", new=True)
    assert [date.action for date in late.dates] == [DateAction.AWAIT]
    assert late.dates[0].clear == ("a",)
    world.activate(A, job, 1)
    assert isinstance(write(world, A, late), MetastoreStale)


def test_facts_are_those_of_the_range(world: World) -> None:
    first, _ = ended(world, OutcomeKind.FAILED_FOR_GOOD, days=2)
    asked = world.decide(A, days=3, first=FIRST + DAY).request
    dates = world.decide(A, days=3, first=FIRST + DAY).dates
    world.store.set_paused("dag", True, world.write_id())
    facts = world.store.backfill_facts(A, asked, [date.interval for date in dates])
    assert list(facts.existing) == [FIRST + DAY]
    run = facts.existing[FIRST + DAY]
    assert (run.state, run.version, run.wanted_by) == (DagRunState.FAILED, 1, ())
    assert [(ti.task_id, ti.state, ti.cause) for ti in run.task_instances] == [("a", "failed", "outcome")]
    assert (facts.now, facts.dag_paused, facts.pools) == (world.clock.now, True, {"default_pool": 128})
    assert (facts.past, facts.open_with_fingerprint) == (None, None)
    wanting = world.backfill(A, days=2, reprocess="all")
    again = replace(asked, start=FIRST, end=FIRST + DAY, reprocess=world.decide(A, reprocess="all").request.reprocess)
    facts = world.store.backfill_facts(A, again, [date.interval for date in world.decide(A, days=2).dates])
    assert {run.wanted_by for run in facts.existing.values()} == {(wanting,)}
    assert {run.to_clear for run in facts.existing.values()} == {("a",)}
    assert facts.open_with_fingerprint == wanting


def test_a_structure_is_recorded_once_and_named_by_the_runs_it_activated(world: World) -> None:
    _, job = world.begun(A)
    edited = dag("a b", a={"retries": 2, "retry_delay": timedelta(seconds=7)})
    world.backfill(edited, days=2)
    assert len(world.rows(dag_version)) == 2
    world.activate(edited, job, 2)
    world.backfill(A, days=3)
    assert len(world.rows(dag_version)) == 2
    assert [run.dag_version_id for run in world.rows(dag_run)] == [1, 2, None]
    assert world.store.stored_dag("dag") == A


def test_the_newest_ended_backfill_of_a_command_is_known(world: World) -> None:
    """What a repeated command needs to know that it has nothing to do; an unfinished one is continued instead."""
    first, _ = ended(world, days=2)
    again = world.decide(A, days=2)
    assert (again.done_by, again.continues) == (first, None)
    assert world.decide(A, days=3).done_by is None, "another range is another command"
    second = world.backfill(A, days=2, new=True)
    again = world.decide(A, days=2)
    assert (again.done_by, again.continues) == (None, second)
