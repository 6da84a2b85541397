"""What tasks ask about recorded runs: each question is one read, the same on both databases, and of a bounded size."""

from datetime import timedelta
from typing import Any

import pytest

from tailrace.effects.tries import XComQuery
from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.views import recorded
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.recorded import (
    Counted,
    RecordsQuery,
    RecordsRefused,
    RunsFound,
    TaskInstancesFound,
    Wanted,
)
from tailrace.model.spec import GroupSpec, XComRef
from tests.conformance.mapped import Mapped
from tests.conformance.worlds import DAY, FIRST, World, dag

SPEC = dag("a>b", _dag={"groups": (GroupSpec("g", ("b",)),)})


class Runs:
    """Three daily runs, all active; b of the second has failed, a of all has succeeded."""

    def __init__(self, world: World) -> None:
        self.world = world
        _, self.job = world.begun(SPEC, 3)
        self.ids = world.run_rows()
        for run, value in zip(self.ids, ("one", None, "three"), strict=True):
            xcoms = {} if value is None else {"k": value}
            world.run_try(SPEC, self.job, world.by_task(run)["a"], xcoms={"return_value": 1, **xcoms})
        world.run_try(SPEC, self.job, world.by_task(self.ids[1])["b"], OutcomeKind.FAILED)
        self.names = [world.row(dag_run, run).run_id for run in self.ids]

    def asked(self, wanted: Wanted, dag_id: str = "dag", **conditions: Any) -> Any:
        return self.world.store.recorded(RecordsQuery(wanted, dag_id, **conditions))

    def count(self, **conditions: Any) -> int:
        reply = self.asked(Wanted.TASK_INSTANCE_COUNT, **conditions)
        assert isinstance(reply, Counted), reply
        return reply.count


@pytest.fixture
def runs(world: World) -> Runs:
    return Runs(world)


def test_task_instances_are_counted_by_every_condition(runs: Runs) -> None:
    assert runs.count() == 6
    assert runs.count(states=("success",)) == 3
    assert runs.count(states=("failed", "none")) == 3
    assert runs.count(states=("scheduled",)) == 0
    assert runs.count(task_ids=("a",)) == 3
    assert runs.count(task_ids=()) == 0
    assert runs.count(task_group_id="g") == 3
    assert runs.count(task_group_id="g", task_ids=("a",)) == 0
    assert runs.count(map_index=-1) == 6 and runs.count(map_index=0) == 0
    assert runs.count(run_ids=(runs.names[0], "none")) == 2
    assert runs.count(logical_dates=(FIRST, FIRST + DAY)) == 4
    assert runs.count(logical_dates=(FIRST + timedelta(seconds=1),)) == 0
    assert runs.count(before=FIRST + DAY, states=("success",)) == 1
    assert runs.count(first=FIRST + DAY, last=FIRST + DAY) == 2


def test_task_instances_come_by_date_and_in_topological_order(runs: Runs) -> None:
    reply = runs.asked(Wanted.TASK_INSTANCES)
    assert isinstance(reply, TaskInstancesFound)
    told = [(each.run_id, each.task_id, each.state) for each in reply.task_instances]
    states = (("success", None), ("success", "failed"), ("success", None))
    assert told == [
        (name, task_id, state)
        for name, of_run in zip(runs.names, states, strict=True)
        for task_id, state in zip("ab", of_run, strict=True)
    ]
    first = reply.task_instances[0]
    assert (first.map_index, first.try_number, first.logical_date, first.pool) == (-1, 1, FIRST, "default_pool")
    assert first.start_date is not None and first.end_date is not None


def test_the_instances_of_a_mapped_task_stand_at_its_place(world: World) -> None:
    mapped = Mapped(world, dag("a>m>z", m={"mapped_over": (XComRef("a"),)}))
    mapped.leaves([1, 2, 3])
    for _ in range(3):
        mapped.step()
    reply = world.store.recorded(RecordsQuery(Wanted.TASK_INSTANCES, "dag"))
    assert isinstance(reply, TaskInstancesFound)
    assert [(each.task_id, each.map_index) for each in reply.task_instances] == [
        ("a", -1),
        ("m", 0),
        ("m", 1),
        ("m", 2),
        ("z", -1),
    ]


def test_runs_and_the_newest_of_them(runs: Runs) -> None:
    runs.world.set_run(runs.ids[0], state="success", conf='{"a": 1}')
    reply = runs.asked(Wanted.RUNS)
    assert isinstance(reply, RunsFound)
    assert [each.run_id for each in reply.runs] == runs.names
    first = reply.runs[0]
    assert (first.state, first.conf, first.run_type) == ("success", {"a": 1}, "backfill")
    assert (first.logical_date, first.data_interval_end) == (FIRST, FIRST + DAY)
    newest = runs.asked(Wanted.RUNS, before=FIRST + 2 * DAY, newest=1)
    assert [each.run_id for each in newest.runs] == [runs.names[1]]
    succeeded = runs.asked(Wanted.RUNS, before=FIRST + 2 * DAY, states=("success",), newest=1)
    assert [each.run_id for each in succeeded.runs] == [runs.names[0]]
    assert runs.asked(Wanted.RUNS, before=FIRST, newest=1).runs == ()
    assert runs.asked(Wanted.RUN_COUNT, states=("running",)) == Counted(2)
    assert runs.asked(Wanted.RUN_COUNT, run_types=("manual", "scheduled")) == Counted(0)
    before = runs.asked(Wanted.TASK_INSTANCES, task_ids=("b",), before=FIRST + 2 * DAY, states=("failed",), newest=1)
    assert [each.run_id for each in before.task_instances] == [runs.names[1]]


def test_what_there_never_was_is_told_apart_from_what_has_not_happened(runs: Runs) -> None:
    refused = {
        "dga": runs.asked(Wanted.RUNS, "dga"),
        "task": runs.asked(Wanted.TASK_INSTANCE_COUNT, task_ids=("a", "bb")),
        "group": runs.asked(Wanted.TASK_INSTANCES, task_group_id="h"),
        "no group": runs.asked(Wanted.TASK_INSTANCES, task_group_id=""),
    }
    assert refused == {
        "dga": RecordsRefused("there is no DAG dga; did you mean dag?", unknown=True),
        "task": RecordsRefused("dag has no task bb; did you mean b?", unknown=True),
        "group": RecordsRefused("dag has no task group h; it has g", unknown=True),
        "no group": RecordsRefused("dag has no task group ; it has g", unknown=True),
    }
    runs.world.store.store_loaded([dag("x", _dag={"dag_id": "new"})], runs.world.write_id())
    assert runs.asked(Wanted.RUNS, "new") == RunsFound(())
    assert runs.asked(Wanted.TASK_INSTANCE_COUNT, "new", task_ids=("x",)) == Counted(0)


def test_more_than_a_worker_should_hold_is_refused_before_it_is_read(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "MOST_RETURNED", 5)
    reply = runs.asked(Wanted.TASK_INSTANCES)
    assert isinstance(reply, RecordsRefused) and not reply.unknown
    assert reply.why.startswith("task instances of dag: these are 6, and at most 5 are returned at once: ask for")
    assert runs.count() == 6
    assert len(runs.asked(Wanted.TASK_INSTANCES, task_ids=("a",)).task_instances) == 3
    monkeypatch.setattr(recorded, "LONGEST_CONFS", 10)
    runs.world.set_run(runs.ids[0], conf='{"a": "long enough"}')
    reply = runs.asked(Wanted.RUNS)
    assert isinstance(reply, RecordsRefused) and "their confs are 20 characters long together" in reply.why
    assert len(runs.asked(Wanted.RUNS, newest=1).runs) == 1  # it has none


def pulled(runs: Runs, run: int, *task_ids: str, key: str = "k", **more: Any) -> Any:
    date = more.pop("until", FIRST + run * DAY)
    name = runs.names[run] if run < len(runs.names) else "elsewhere"
    reply = runs.world.store.read_xcom(XComQuery("dag", name, task_ids, key, until=date, **more))
    assert isinstance(reply, tuple), reply
    return [value for _, _, value in reply]


def test_an_xcom_of_a_prior_date_is_that_of_the_latest_earlier_logical_date(runs: Runs) -> None:
    assert pulled(runs, 0, "a") == ["one"]
    assert pulled(runs, 1, "a") == ["one"]  # it has left none, and the run of the next date, done before, is later
    assert pulled(runs, 2, "a") == ["three"]
    assert pulled(runs, 1, "a", key="return_value") == [1]
    assert pulled(runs, 1, "b") == [] and pulled(runs, 1) == ["one"]
    assert pulled(runs, 1, "a", "b") == ["one"]
    assert pulled(runs, 1, "a", map_index=-1) == ["one"] and pulled(runs, 1, "a", map_index=0) == []


def test_a_date_that_is_filled_in_later_counts_by_its_logical_date(world: World) -> None:
    spec = dag("a")
    values = {}
    for days in (5, 0, 3):  # out of order
        backfill = world.backfill(spec, 1, FIRST + days * DAY)
        job = world.job(spec, backfill)
        [run] = [row for row in world.rows(dag_run) if row.logical_date == FIRST + days * DAY]
        world.activate(spec, job, run.id)
        world.run_try(spec, job, world.by_task(run.id)["a"], xcoms={"k": days})
        values[days] = run.run_id

    def latest(until: int, run_id: str = "not there") -> list[Any]:
        query = XComQuery("dag", run_id, ("a",), "k", until=FIRST + until * DAY)
        reply = world.store.read_xcom(query)
        assert isinstance(reply, tuple)
        return [value for *_, value in reply]

    assert [latest(days) for days in (0, 2, 3, 4, 5, 9)] == [[0], [0], [3], [3], [5], [5]]
    assert latest(-1) == []
    assert latest(9, values[3]) == [3]  # up to the run that is named


def test_of_a_mapped_task_all_values_are_of_one_run(world: World) -> None:
    spec = dag("a")
    _, job = world.begun(spec, 2)
    first, second = world.run_rows()
    for run, value in ((first, "old"), (second, "new")):
        world.run_try(spec, job, world.by_task(run)["a"], xcoms={"k": value})
    world.set_state(world.by_task(first)["a"], map_index=1)
    world.set_state(world.by_task(second)["a"], map_index=0)
    query = XComQuery("dag", "not there", ("a",), "k", until=FIRST + DAY)
    assert world.store.read_xcom(query) == (("a", 0, "new"),)
    of_one = XComQuery("dag", "not there", ("a",), "k", 1, until=FIRST + DAY)
    assert world.store.read_xcom(of_one) == (("a", 1, "old"),)


def test_a_task_that_a_dag_had_once_is_known(runs: Runs) -> None:
    runs.world.store.store_loaded([dag("a")], runs.world.write_id())
    assert runs.count(task_ids=("a",)) == 3 and runs.count(task_ids=("a", "b")) == 6
