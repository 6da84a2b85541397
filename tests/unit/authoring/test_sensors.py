"""Sensors: how often they look, when they look next, what becomes of one that does not find anything."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import (
    DAG,
    BaseOperator,
    BaseSensorOperator,
    DateTimeSensor,
    FileSensor,
    PokeReturnValue,
    PythonSensor,
    TimeDeltaSensor,
    task,
)
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.sensors import poking as sensors
from tailrace.authoring.sensors import time_sensors
from tailrace.errors import SecretNotFound
from tailrace.exceptions import SensorTimeout, TaskFailed, TaskRescheduled, TaskSkipped

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clock(datetime):
    """Stands still until a sensor sleeps."""

    at = NOW

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return cls.at


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Clock]]:
    Clock.at = NOW

    def sleep(seconds: float) -> None:
        Clock.at += timedelta(seconds=seconds)

    monkeypatch.setattr(sensors, "datetime", Clock)
    monkeypatch.setattr(time_sensors, "datetime", Clock)
    monkeypatch.setattr(sensors.time, "sleep", sleep)
    yield Clock


def context(reschedules: int = 0, **more: Any) -> dict[str, Any]:
    return {"ti": SimpleNamespace(start_date=NOW, reschedules=reschedules), **more}


def in_dag(make: Callable[..., Any], **arguments: Any) -> Any:
    with DAG("d", start_date=NOW, timezone="Europe/Berlin"):
        return make(task_id="s", **arguments)


def mistakes(sensor: BaseOperator) -> list[str]:
    compile_dag(sensor.dag, "d.py", "hash")
    return [each.message for each in sensor.dag.mistakes]


class Counted(BaseSensorOperator):
    """Finds something at its n-th look."""

    def __init__(self, found_at: int = 3, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.found_at, self.looks = found_at, list[datetime]()

    def poke(self, context: Mapping[str, Any]) -> bool | PokeReturnValue:
        self.looks.append(Clock.at)
        return PokeReturnValue(len(self.looks) >= self.found_at, {"looks": len(self.looks)})


def seconds(sensor: Counted) -> list[float]:
    return [(at - NOW).total_seconds() for at in sensor.looks]


def test_it_looks_each_interval_until_it_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    sensor = in_dag(Counted, poke_interval=20)
    assert sensor.execute(context()) == {"looks": 3}
    assert seconds(sensor) == [0, 20, 40]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "asked once: not yet; asks again at 2026-01-01 12:00:20Z, times out at 2026-01-08 12:00:00Z"
    assert said[-1] == "asked 3 times: it is there"


def test_the_last_look_is_at_the_timeout() -> None:
    sensor = in_dag(Counted, found_at=99, poke_interval=20, timeout=50)
    with pytest.raises(SensorTimeout, match=r"after 0:00:50, asked 4 times \(its timeout is 0:00:50\)"):
        sensor.execute(context())
    assert seconds(sensor) == [0, 20, 40, 50]
    assert issubclass(SensorTimeout, TaskFailed)  # no other try


def test_without_time_it_looks_once() -> None:
    sensor = in_dag(Counted, found_at=2, timeout=0)
    with pytest.raises(SensorTimeout):
        sensor.execute(context())
    assert in_dag(Counted, found_at=1, timeout=0).execute(context()) == {"looks": 1}


def test_backoff_doubles_up_to_the_longest_wait() -> None:
    sensor = in_dag(Counted, found_at=6, poke_interval=10, exponential_backoff=True, max_wait=timedelta(seconds=50))
    sensor.execute(context())
    assert seconds(sensor) == [0, 10, 30, 70, 120, 170]


def test_reschedule_gives_the_worker_back_and_goes_on_counting() -> None:
    sensor = in_dag(Counted, mode="reschedule", poke_interval=10, exponential_backoff=True, timeout=100)
    with pytest.raises(TaskRescheduled, match="asked once") as first:
        sensor.execute(context())
    assert first.value.resumes_at == NOW + timedelta(seconds=10)
    assert first.value.times_out_at == NOW + timedelta(seconds=100)
    with pytest.raises(TaskRescheduled, match="asked 2 times") as second:
        sensor.execute(context(reschedules=1))
    assert second.value.resumes_at == NOW + timedelta(seconds=20)
    assert sensor.execute(context(reschedules=2)) == {"looks": 3}


@given(
    asked=st.integers(1, 10**6),
    interval=st.floats(0.001, 10**9),
    timeout=st.floats(0, 10**9),
    late=st.floats(0, 10**9),
    backoff=st.booleans(),
    longest=st.none() | st.floats(0.001, 10**9),
)
def test_the_next_look_is_never_behind_the_timeout(
    asked: int, interval: float, timeout: float, late: float, backoff: bool, longest: float | None
) -> None:
    sensor = in_dag(Counted, poke_interval=interval, timeout=timeout, exponential_backoff=backoff, max_wait=longest)
    gives_up = NOW + timedelta(seconds=timeout)
    now = min(NOW + timedelta(seconds=late), gives_up)
    assert now <= sensor._next_look({}, asked, now, gives_up) <= gives_up


class Failing(BaseSensorOperator):
    """Raises at its first look, and finds nothing at the second."""

    def __init__(self, raises: Exception, **arguments: Any) -> None:
        super().__init__(timeout=10, poke_interval=10, **arguments)
        self.raises, self.asked = raises, 0

    def poke(self, context: Mapping[str, Any]) -> bool:
        self.asked += 1
        if self.asked == 1:
            raise self.raises
        return False


@pytest.mark.parametrize(
    ("given_flags", "raised", "ends"),
    [
        ({}, ValueError("no"), ValueError),
        ({}, TaskFailed("never"), TaskFailed),
        ({"soft_fail": True}, ValueError("no"), ValueError),
        ({"soft_fail": True}, TaskFailed("never"), TaskSkipped),
        ({"silent_fail": True}, ValueError("no"), SensorTimeout),
        ({"silent_fail": True}, TaskFailed("never"), TaskFailed),
        ({"silent_fail": True, "soft_fail": True}, ValueError("no"), TaskSkipped),
        ({"never_fail": True}, ValueError("no"), TaskSkipped),
        ({"never_fail": True}, TaskFailed("never"), TaskSkipped),
        ({"soft_fail": True, "never_fail": False}, TaskSkipped("not today"), TaskSkipped),
        ({"silent_fail": True}, TaskRescheduled(NOW), TaskRescheduled),
    ],
)
def test_what_a_look_raises(given_flags: dict[str, bool], raised: Exception, ends: type[Exception]) -> None:
    with pytest.raises(ends):
        in_dag(Failing, raises=raised, **given_flags).execute(context())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"mode": "deferred"}, "mode must be 'poke' or 'reschedule', not 'deferred'"),
        ({"poke_interval": 0}, "poke_interval must be longer than zero"),
        ({"timeout": -1}, "timeout must be a timedelta or a number of seconds"),
        ({"soft_fail": "yes"}, "soft_fail must be True or False"),
        ({"soft_fail": True, "never_fail": True}, "soft_fail and never_fail: say one of them"),
        ({"deferrable": True}, "deferrable waits nowhere else; mode='reschedule' holds no worker either"),
        ({"poke_intervall": 5}, "has no argument 'poke_intervall'; did you mean 'poke_interval'?"),
    ],
)
def test_wrong_arguments_are_mistakes(wrong: dict[str, Any], said: str) -> None:
    [mistake] = mistakes(in_dag(PythonSensor, python_callable=bool, **wrong))
    assert said in mistake


def test_a_sensor_that_cannot_look_is_a_mistake() -> None:
    class Blind(BaseSensorOperator):
        pass

    assert mistakes(in_dag(Blind)) == ["task s: Blind does not define poke(context)"]


def test_default_args_reach_sensors_and_leave_others_alone() -> None:
    with DAG("d", start_date=NOW, default_args={"mode": "reschedule", "poke_interval": 5}) as dag:

        @task
        def plain() -> None: ...

        @task.sensor(poke_interval=7)
        def there() -> bool:
            return True

        plain() >> there()
    assert mistakes(dag.task_dict["plain"]) == []
    sensor = dag.task_dict["there"]
    assert isinstance(sensor, PythonSensor)
    assert (sensor.mode, sensor.poke_interval) == ("reschedule", timedelta(seconds=7))


@pytest.mark.parametrize(
    ("returns", "done"),
    [(True, True), (1, True), (0, False), (None, False), ([], False), (PokeReturnValue(False, 1), False)],
)
def test_a_function_is_done_when_it_returns_something_true(returns: Any, done: bool) -> None:
    sensor = in_dag(PythonSensor, python_callable=lambda: returns)
    assert bool(sensor.poke({})) is done


def test_a_coroutine_function_is_awaited() -> None:
    async def look(ds: str) -> PokeReturnValue:
        return PokeReturnValue(ds == "2026-01-01", "found")

    assert in_dag(PythonSensor, python_callable=look).execute(context(ds="2026-01-01")) == "found"


@pytest.mark.parametrize(
    "target",
    [
        NOW + timedelta(minutes=5),
        "2026-01-01T12:05:00+00:00",
        " 2026-01-01 12:05:00Z",
        "2026-01-01 13:05",
        datetime(2026, 1, 1, 13, 5),
    ],
)
def test_a_moment_is_waited_for_at_once(target: Any, clock: type[Clock]) -> None:
    """A naive one is in the DAG's zone, which is an hour ahead."""
    sensor = in_dag(DateTimeSensor, target_time=target, mode="reschedule")
    with pytest.raises(TaskRescheduled) as raised:
        sensor.execute(context())
    assert raised.value.resumes_at == NOW + timedelta(minutes=5)
    clock.at = NOW + timedelta(minutes=5)
    sensor.execute(context(reschedules=1))


@pytest.mark.parametrize("target", ["tomorrow", "{{ ds }", "9999-12-31T23:59:59-12:00"])
def test_what_is_no_moment_fails_for_good(target: str) -> None:
    with pytest.raises(TaskFailed, match="is no moment"):
        in_dag(DateTimeSensor, target_time=target).execute(context())


def test_a_span_after_the_interval_is_waited_for(clock: type[Clock]) -> None:
    sensor = in_dag(TimeDeltaSensor, delta=timedelta(hours=1))
    sensor.execute(context(data_interval_end=NOW - timedelta(minutes=59)))
    assert clock.at == NOW + timedelta(minutes=1)
    endless = in_dag(TimeDeltaSensor, delta=timedelta(days=1_000_000), timeout=5)
    with pytest.raises(SensorTimeout):
        endless.execute(context(data_interval_end=NOW))
    with pytest.raises(TaskFailed, match="is no date"):
        endless.poke(context(data_interval_end=datetime(9999, 1, 1, tzinfo=UTC)))


def test_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(path: str, **more: Any) -> bool:
        return bool(in_dag(FileSensor, filepath=path, **more).poke({}))

    assert not found(str(tmp_path / "orders.csv"))
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert not found(str(tmp_path / "deep"))
    (tmp_path / "deep" / "er" / "orders.csv").write_text("1")
    os.utime(tmp_path / "deep" / "er" / "orders.csv", (0, 0))
    assert found(str(tmp_path / "deep"))
    assert found(str(tmp_path / "*" / "er" / "*.csv"))
    assert not found(str(tmp_path / "*.csv"))
    assert not found(str(tmp_path / "**" / "*.csv"))
    assert found(str(tmp_path / "**" / "*.csv"), recursive=True)

    def get(conn_id: str) -> Any:
        if conn_id != "disk":
            raise SecretNotFound("no", "connection", conn_id)
        return SimpleNamespace(extra_dejson={"path": str(tmp_path)})

    monkeypatch.setattr(time_sensors.Connection, "get", get)
    assert found("deep/er/orders.csv", fs_conn_id="disk")
    assert found(str(tmp_path / "deep"), fs_conn_id="fs_default")
    with pytest.raises(SecretNotFound):
        found("deep", fs_conn_id="elsewhere")


@pytest.mark.parametrize(
    "moment", [None, "2026-01-01", datetime(2026, 1, 1), datetime.max.replace(tzinfo=UTC) - timedelta(days=3_000_000)]
)
def test_a_task_is_rescheduled_for_a_moment(moment: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="TaskRescheduled: resumes_at"):
        TaskRescheduled(moment)


@given(st.datetimes(min_value=datetime(1900, 1, 3), timezones=st.timezones()))
def test_any_moment_with_a_zone_is_one(moment: datetime) -> None:
    try:
        assert TaskRescheduled(moment).resumes_at == moment.astimezone(UTC)
    except (OverflowError, ValueError):
        assert moment.year == 9999
