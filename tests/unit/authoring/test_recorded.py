"""What a task's code may ask about recorded runs: the right query for each call, and one line for what cannot be."""

import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import tailrace
from tailrace import DagRun, TaskInstanceRecord
from tailrace.authoring.context import recorded
from tailrace.errors import RecordNotFound, RecordsUnreadable
from tailrace.model.recorded import (
    Counted,
    RecordedRun,
    RecordedTaskInstance,
    RecordsQuery,
    RecordsRefused,
    RecordsReply,
    RunsFound,
    TaskInstancesFound,
    Wanted,
)

DAY = datetime(2024, 1, 5, tzinfo=UTC)


def run_of(days: int, state: str = "success") -> RecordedRun:
    date = DAY + timedelta(days=days)
    return RecordedRun(
        dag_id="d",
        run_id=f"r{days}",
        run_type="backfill",
        state=state,
        logical_date=date,
        data_interval_start=date,
        data_interval_end=date + timedelta(days=1),
        conf={"a": 1},
    )


def instance(task_id: str, state: str | None, map_index: int = -1) -> RecordedTaskInstance:
    return RecordedTaskInstance(
        dag_id="d",
        run_id="r0",
        task_id=task_id,
        map_index=map_index,
        state=state,
        try_number=1,
        max_tries=2,
        logical_date=DAY,
        start_date=DAY,
        end_date=DAY + timedelta(seconds=90),
    )


@pytest.fixture
def asked() -> Iterator[list[RecordsQuery]]:
    """What was asked; the replies are two runs, three task instances, or 7."""
    queries: list[RecordsQuery] = []

    def ask(query: RecordsQuery) -> RecordsReply:
        queries.append(query)
        if query.wanted is Wanted.RUNS:
            return RunsFound((run_of(1), run_of(0)) if query.newest else (run_of(0), run_of(1)))
        if query.wanted is Wanted.TASK_INSTANCES:
            return TaskInstancesFound((instance("a", "success"), instance("m", None, 0), instance("m", "failed", 1)))
        return Counted(7)

    recorded.ask_by(ask)
    yield queries
    recorded.ask_by(None)


def test_counts(asked: list[RecordsQuery]) -> None:
    assert tailrace.get_ti_count("d", 3, "a", "g", [DAY], ["r"], ["success", None]) == 7
    assert tailrace.get_task_instance_count is tailrace.get_ti_count
    assert tailrace.get_dr_count("d", DAY, "r", "running") == 7
    assert asked == [
        RecordsQuery(
            Wanted.TASK_INSTANCE_COUNT,
            "d",
            run_ids=("r",),
            logical_dates=(DAY,),
            states=("success", "none"),
            task_ids=("a",),
            task_group_id="g",
            map_index=3,
        ),
        RecordsQuery(Wanted.RUN_COUNT, "d", run_ids=("r",), logical_dates=(DAY,), states=("running",)),
    ]


def test_states_are_told_by_run_and_task_as_airflow_does(asked: list[RecordsQuery]) -> None:
    assert tailrace.get_task_states("d") == {"r0": {"a": "success", "m_0": None, "m_1": "failed"}}
    assert tailrace.get_dagrun_state("d", "r0") == "success"
    assert asked[1].run_ids == ("r0",)


def test_runs_are_told_the_oldest_first_also_where_only_the_newest_are_wanted(asked: list[RecordsQuery]) -> None:
    assert [each.run_id for each in tailrace.get_dag_runs("d", limit=2)] == ["r0", "r1"]
    found = DagRun.find("d", None, DAY, ["success"], execution_start_date=DAY, execution_end_date=DAY)
    assert [each.run_id for each in found] == ["r0", "r1"] and found[0].conf == {"a": 1}
    assert asked[0].newest == 2
    assert (asked[1].states, asked[1].logical_dates, asked[1].first) == (("success",), (DAY,), DAY)


def test_a_run_can_be_asked_about_itself(asked: list[RecordsQuery]) -> None:
    [run, _] = tailrace.get_dag_runs("d")
    assert run.get_task_instances("failed")[2].duration == 90.0
    assert isinstance(run.get_task_instance("m", 1), TaskInstanceRecord)
    assert run.get_previous_dagrun("success") == run_again(run.get_previous_scheduled_dagrun())
    assert [(each.run_ids, each.states, each.task_ids, each.map_index, each.before) for each in asked[1:]] == [
        (("r0",), ("failed",), None, None, None),
        (("r0",), None, ("m",), 1, None),
        (None, ("success",), None, None, DAY),
        (None, None, None, None, DAY),
    ]
    assert asked[4].run_types == ("scheduled", "backfill")
    assert (run.execution_date, run.external_trigger, run.get_state()) == (DAY, False, "success")
    assert run.is_backfill
    assert pickle.loads(pickle.dumps(run)) == run


def run_again(run: DagRun | None) -> DagRun | None:
    assert isinstance(run, DagRun)
    return run


def test_a_date_in_any_zone_is_the_moment_that_it_is(asked: list[RecordsQuery]) -> None:
    tailrace.get_dr_count("d", logical_dates=[DAY.astimezone(timezone(timedelta(hours=5)))])
    assert asked[0].logical_dates == (DAY,)
    assert asked[0].logical_dates[0].utcoffset() == timedelta(0)


def test_states_of_airflow_that_nothing_is_in_are_no_mistake(asked: list[RecordsQuery]) -> None:
    tailrace.get_ti_count("d", states=["scheduled", "running"])
    assert asked[0].states == ("scheduled", "running")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tailrace.get_ti_count(5), TypeError, "dag_id must be text, not 5"),  # type: ignore[arg-type]
        (lambda: tailrace.get_ti_count("d", True), TypeError, "map_index must be a whole number, not True"),
        (lambda: tailrace.get_ti_count("d", -2), ValueError, "map_index is no index that a task instance can have"),
        (lambda: tailrace.get_ti_count("d", task_ids=5), TypeError, "task_ids must be a list, not 5"),  # type: ignore[arg-type]
        (lambda: tailrace.get_ti_count("d", task_ids=[5]), TypeError, "task_ids must be text, not 5"),  # type: ignore[list-item]
        (lambda: tailrace.get_ti_count("d", task_ids={"a": 1}), TypeError, "task_ids must be a list, not {'a': 1}"),
        (
            lambda: tailrace.get_ti_count("d", task_ids=["a"] * 5001),
            ValueError,
            "task_ids are 5,001, and at most 5,000 can be asked for at once",
        ),
        (
            lambda: tailrace.get_ti_count("d", task_group_id="\0"),
            ValueError,
            "task_group_id must be text that can be stored, not '\\x00'",
        ),
        (
            lambda: tailrace.get_ti_count("d", states=["sucess"]),
            ValueError,
            "states: there is no state 'sucess'; did you mean 'success'?",
        ),
        (
            lambda: tailrace.get_dr_count("d", states=[None]),
            TypeError,
            "states: there is no state None; there are cancelled, deadlocked, failed, queued, running, success",
        ),
        (
            lambda: tailrace.get_dr_count("d", logical_dates=[datetime(2024, 1, 1)]),
            ValueError,
            "logical_dates must say its time zone, as logical_date does, and 2024-01-01 00:00:00 does not",
        ),
        (
            lambda: tailrace.get_dr_count("d", logical_dates=["2024-01-01"]),  # type: ignore[list-item]
            TypeError,
            "logical_dates must be a datetime, not '2024-01-01'",
        ),
        (
            lambda: tailrace.get_dr_count("d", logical_dates=[None]),  # type: ignore[list-item]
            TypeError,
            "logical_dates must be datetimes, not None",
        ),
        (
            lambda: tailrace.get_dag_runs("d", first=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
            ValueError,
            "first must be a date that there is in UTC, not 0001-01-01 00:00:00+05:00",
        ),
        (
            lambda: tailrace.get_dag_runs("d", limit=0),
            ValueError,
            "limit must be a whole number from 1 to 10,000, not 0",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_asked(
    asked: list[RecordsQuery], call: Callable[[], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as refused:
        call()
    assert str(refused.value) == words
    assert asked == []


def test_what_is_refused_is_raised() -> None:
    replies: dict[str, Any] = {
        "unknown": RecordsRefused("there is no DAG unknown", unknown=True),
        "many": RecordsRefused("too many"),
        "none": RunsFound(()),
    }
    recorded.ask_by(lambda query: replies[query.dag_id])
    try:
        with pytest.raises(LookupError, match="there is no DAG unknown"):
            tailrace.get_ti_count("unknown")
        with pytest.raises(RecordsUnreadable, match="too many") as refused:
            tailrace.get_dag_runs("many")
        assert not isinstance(refused.value, LookupError)
        with pytest.raises(RecordNotFound, match="none has no run r"):
            tailrace.get_dagrun_state("none", "r")
    finally:
        recorded.ask_by(None)


def test_outside_a_task_there_is_nobody_to_ask() -> None:
    with pytest.raises(RecordsUnreadable, match="only in a task that runs"):
        tailrace.get_dag_runs("d")
