"""ExternalTaskSensor: which runs it asks about, in one question a look, and what of their states ends the waiting."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tailrace import DAG, ExternalTaskSensor
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.context import recorded
from tailrace.authoring.sensors.external_task_sensor import ExternalTaskFailed
from tailrace.errors import TaskAwaits
from tailrace.exceptions import TaskFailed, TaskRescheduled, TaskSkipped
from tailrace.execution.messages.channel import ProtocolError, decode, encode
from tailrace.execution.messages.tries import outcome_in
from tailrace.execution.tries.outcomes import outcome_of
from tailrace.model.awaited import MOST_AWAITED, Awaited
from tailrace.model.recorded import (
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
ONE = timedelta(days=1)


class Store:
    """What is recorded of the other DAG, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[RecordsQuery] = []
        self.runs: dict[datetime, str] = {}
        self.tasks: list[tuple[datetime, str, int, str | None]] = []
        self.unknown = ""

    def reply(self, query: RecordsQuery) -> RecordsReply:
        self.asked.append(query)
        if self.unknown:
            return RecordsRefused(self.unknown, unknown=True)
        dates = query.logical_dates or ()
        if query.wanted is Wanted.RUNS:
            found = {date: state for date, state in self.runs.items() if date in dates}
            return RunsFound(tuple(map(_run, found.keys(), found.values())))
        tasks = [each for each in self.tasks if each[0] in dates]
        if query.task_ids is not None:
            tasks = [each for each in tasks if each[1] in query.task_ids]
        return TaskInstancesFound(tuple(_instance(*each) for each in tasks))


def _run(date: datetime, state: str) -> RecordedRun:
    return RecordedRun(
        dag_id="other", run_id=f"r{date}", run_type="backfill", state=state, logical_date=date,
        data_interval_start=date, data_interval_end=date + ONE,
    )  # fmt: skip


def _instance(date: datetime, task_id: str, map_index: int, state: str | None) -> RecordedTaskInstance:
    return RecordedTaskInstance(
        dag_id="other", run_id=f"r{date}", task_id=task_id, map_index=map_index, state=state, try_number=1,
        max_tries=1, logical_date=date,
    )  # fmt: skip


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    recorded.ask_by(made.reply)
    yield made
    recorded.ask_by(None)


def sensor(**arguments: Any) -> Any:
    with DAG("d", timezone="Europe/Berlin") as dag:
        made = ExternalTaskSensor(task_id="s", external_dag_id="other", **arguments)
    compile_dag(dag, "d.py", "hash")
    assert dag.mistakes == []
    return made


def poke(**arguments: Any) -> bool:
    found: bool = sensor(**arguments).poke({"logical_date": DAY, "ds": "2024-01-05"})
    return found


@pytest.mark.parametrize(("state", "done"), [("success", True), ("running", False), ("failed", False)])
def test_a_whole_run_of_the_same_date(store: Store, state: str, done: bool) -> None:
    assert poke() is False
    store.runs = {DAY: state, DAY - ONE: "success"}
    assert poke() is done
    assert [(each.wanted, each.logical_dates) for each in store.asked] == [(Wanted.RUNS, (DAY,))] * 2


def test_a_task_several_and_a_group(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.tasks = [(DAY, "a", -1, "success"), (DAY, "b", 0, "success"), (DAY, "b", 1, None)]
    assert poke(external_task_id="a") is True
    assert poke(external_task_ids=["a", "b"]) is False
    assert capsys.readouterr().out == "other.b[1] of 2024-01-05 00:00:00Z is none\n"
    assert poke(external_task_ids=["a", "c"]) is False
    assert capsys.readouterr().out == "other.c of 2024-01-05 00:00:00Z is not there\n"
    store.tasks[2] = (DAY, "b", 1, "removed")
    assert poke(external_task_ids=["a", "b"]) is True
    assert poke(external_task_group_id="g") is True
    assert store.asked[-1].task_group_id == "g"
    store.tasks = []
    assert poke(external_task_group_id="g") is False


def test_other_dates(store: Store) -> None:
    store.runs = {DAY - ONE: "success", DAY - 2 * ONE: "running"}
    assert poke(execution_delta=ONE) is True
    assert poke(execution_delta=2 * ONE) is False

    def before(logical_date: datetime, ds: str) -> list[datetime]:
        assert ds == "2024-01-05"
        return [logical_date - ONE, logical_date - 2 * ONE]

    assert poke(execution_date_fn=before) is False
    store.runs[DAY - 2 * ONE] = "success"
    assert poke(execution_date_fn=before) is True
    assert store.asked[-1].logical_dates == (DAY - ONE, DAY - 2 * ONE)
    poke(execution_date_fn=lambda date: datetime(2024, 1, 5, 1))  # in the zone of its DAG
    assert store.asked[-1].logical_dates == (DAY,)


@pytest.mark.parametrize("given", [None, [], "2024-01-01", [1], 5])
def test_what_is_no_date_fails_for_good(store: Store, given: Any) -> None:
    with pytest.raises(TaskFailed, match="execution_date_fn"):
        poke(execution_date_fn=lambda date: given)
    with pytest.raises(TaskFailed, match="is no date"):
        poke(execution_delta=timedelta(days=10**6))


def test_failed_and_skipped_states(store: Store) -> None:
    store.tasks = [(DAY, "a", -1, "failed"), (DAY, "b", -1, "skipped")]
    both = {"external_task_ids": ["a", "b"]}
    assert poke(**both) is False
    with pytest.raises(ExternalTaskFailed, match=r"^other.a of 2024-01-05 00:00:00Z is failed$"):
        poke(**both, failed_states=["failed", "upstream_failed"], skipped_states=["skipped"])
    with pytest.raises(TaskSkipped, match="other.a"):
        poke(**both, failed_states=["failed"], soft_fail=True)
    with pytest.raises(TaskSkipped, match="other.b"):
        poke(**both, skipped_states=["skipped"])
    assert poke(**both, allowed_states=["failed", "skipped"]) is True
    for state in ("failed", "deadlocked", "cancelled"):
        store.runs = {DAY: state}
        with pytest.raises(ExternalTaskFailed):
            poke(failed_states=["failed"])


def test_what_there_is_not(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.unknown = "there is no DAG 'other'"
    assert poke() is False
    assert capsys.readouterr().out == "not there yet: there is no DAG 'other'\n"
    with pytest.raises(TaskFailed, match="there is no DAG 'other'"):
        poke(check_existence=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"external_task_id": "a", "external_task_ids": ["b"]},
            "external_task_id and external_task_ids: say one of them",
        ),
        (
            {"execution_delta": ONE, "execution_date_fn": print},
            "execution_delta and execution_date_fn: say one of them",
        ),
        (
            {"allowed_states": ["succeeded"]},
            "allowed_states: succeeded is no state; those of runs are cancelled, deadlocked",
        ),
        ({"external_task_id": "a", "failed_states": ["deadlocked"]}, "deadlocked is no state; those of tasks are"),
        ({"failed_states": ["success"]}, "success is in two of allowed_states, failed_states and skipped_states"),
        ({"execution_delta": 5}, "execution_delta must be a timedelta, not 5"),
    ],
)
def test_wrong_arguments_are_mistakes(wrong: dict[str, Any], said: str) -> None:
    with DAG("d") as dag:
        ExternalTaskSensor(task_id="s", external_dag_id="other", **wrong)
    compile_dag(dag, "d.py", "hash")
    assert [said in mistake.message for mistake in dag.mistakes] == [True], dag.mistakes


def waits(made: Any) -> TaskRescheduled:
    """How it gives its worker back after its first look."""
    ti = SimpleNamespace(start_date=datetime.now(UTC), reschedules=0)
    with pytest.raises(TaskRescheduled) as raised:
        made.execute({"ti": ti, "logical_date": DAY, "ds": "2024-01-05"})
    return raised.value


def test_what_it_has_found_undecided_wakes_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.tasks = [(DAY - ONE, "a", -1, "running")]
    named = {"external_task_ids": ["a", "b"], "failed_states": ["failed"], "execution_delta": ONE}
    given_back = waits(sensor(mode="reschedule", timeout=90, soft_fail=True, **named))
    assert isinstance(given_back, TaskAwaits) and given_back.resumes_at == given_back.times_out_at
    assert given_back.awaited == Awaited(
        "other",
        (DAY - ONE,),
        ("a", "b"),
        allowed_states=("success",),
        failed_states=("failed",),
        goes_on=True,
    )
    assert "asked once: not yet; is woken by what it waits for, times out at 20" in capsys.readouterr().out


def test_dates_that_its_function_has_returned_are_known_then(store: Store) -> None:
    found = waits(sensor(mode="reschedule", execution_date_fn=lambda date: [date, date - ONE]))
    assert isinstance(found, TaskAwaits)
    assert isinstance(found.awaited, Awaited) and found.awaited.logical_dates == (DAY, DAY - ONE)
    assert found.awaited.goes_on  # it may return others: such a wait is in no circle


class Own(ExternalTaskSensor):
    """One that asks for more than the states alone."""

    def poke(self, context: Mapping[str, Any]) -> bool:
        return super().poke(context) and False


def test_whoever_looks_by_code_of_his_own_looks_each_interval(store: Store) -> None:
    with DAG("d"):
        made = Own(task_id="s", external_dag_id="other", mode="reschedule")
    given_back = waits(made)
    assert not isinstance(given_back, TaskAwaits) and given_back.resumes_at < datetime.now(UTC) + timedelta(minutes=2)


def test_what_is_not_known_yet_is_looked_for_each_interval(store: Store) -> None:
    store.unknown = "there is no DAG other"
    assert not isinstance(waits(sensor(mode="reschedule")), TaskAwaits)


def test_more_dates_than_are_kept_are_looked_for_each_interval(store: Store) -> None:
    many = [DAY + number * ONE for number in range(MOST_AWAITED + 1)]
    assert not isinstance(waits(sensor(mode="reschedule", execution_date_fn=lambda date: many)), TaskAwaits)


def test_what_it_raises_is_sent_as_it_is_kept(store: Store) -> None:
    store.runs = {DAY: "running"}
    given_back = waits(sensor(mode="reschedule"))
    sent = outcome_of(given_back)
    assert sent["error"].startswith("asked once, is woken by what it waits for, times out at ")
    got = outcome_in(decode(encode(sent)))
    assert (got.awaits, got.resumes_at) == (given_back.awaited, given_back.resumes_at)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        {"logical_dates": []},
        {"logical_dates": ["2024-01-05T00:00:00+01:00"]},
        {"logical_dates": ["2024-01-05T00:00:00"]},
        {"dag_id": "o\0"},
        {"task_ids": ["a\0"]},
        {"allowed_states": [None]},
        {"more": 1},
    ],
)
def test_what_nobody_can_wait_for_is_not_taken(store: Store, change: dict[str, Any]) -> None:
    sent = outcome_of(waits(sensor(mode="reschedule", external_task_id="a")))
    with pytest.raises(ProtocolError):
        outcome_in(decode(encode({**sent, "awaits": {**sent["awaits"], **change}})))
    with pytest.raises(ProtocolError):
        outcome_in(decode(encode({**sent, "kind": "success"})))
