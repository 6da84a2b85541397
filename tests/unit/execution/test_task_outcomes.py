"""How what a task does becomes the outcome of its try, and what its log says of it."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tailrace.authoring.operator import BaseOperator
from tailrace.authoring.operators import (
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
)
from tailrace.exceptions import TaskFailed, TaskSkipped
from tailrace.execution.channel import LONGEST_MESSAGE
from tests.unit.execution.builders import dag, run


def python(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    with dag():
        return run(PythonOperator(task_id="work", python_callable=function, **arguments))


def raising(error: BaseException) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_what_a_task_returns_is_its_xcom() -> None:
    outcome = python(lambda ds: {"day": ds, "pair": (1, 2)})
    assert (outcome["kind"], outcome["error"]) == ("success", "")
    assert outcome["xcoms"] == {"return_value": {"day": "2016-01-31", "pair": [1, 2]}}


def test_none_and_do_xcom_push_false_push_nothing() -> None:
    assert python(lambda: None)["xcoms"] == {}
    assert python(lambda: 5, do_xcom_push=False)["xcoms"] == {}


class BrokenText(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (TaskSkipped("no data today"), "skipped", "no data today"),
        (TaskSkipped(), "skipped", "skipped"),
        (TaskFailed("wrong key"), "failed_for_good", "wrong key"),
        (ValueError("bad row\nsecond line"), "failed", "ValueError: bad row"),
        (ValueError(), "failed", "ValueError"),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
        (SystemExit(), "success", ""),
        (SystemExit(0), "success", ""),
        (SystemExit(3), "failed", "the task called exit(3)"),
        (SystemExit(256), "failed", "the task called exit(256)"),
        (SystemExit(0.0), "failed", "the task called exit: 0.0"),
        (SystemExit("bye\nbye"), "failed", "the task called exit: bye"),
        (BrokenText(), "failed", "BrokenText: (its text cannot be told: ValueError)"),
    ],
)
def test_what_a_task_raises(error: BaseException, kind: str, text: str) -> None:
    outcome = python(raising(error))
    assert (outcome["kind"], outcome["error"]) == (kind, text)


@pytest.mark.parametrize("value", [{1, 2}, object(), float("nan"), {"a": b"bytes"}])
def test_only_json_is_returned(value: object, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = python(lambda: value)
    assert outcome["kind"] == "failed"
    assert "the XCom 'return_value' of work must be JSON" in outcome["error"]
    assert "Traceback" not in capfd.readouterr().err


def test_pushes_of_a_failed_try_are_told_too() -> None:
    def work(ti: Any) -> None:
        ti.xcom_push("seen", 3)
        raise ValueError("late")

    assert python(work)["xcoms"] == {"seen": 3}


@pytest.mark.parametrize("ending", ["returns", "fails"])
def test_too_much_xcom_fails_in_one_line(ending: str) -> None:
    def work(ti: Any) -> None:
        ti.xcom_push("much", "x" * LONGEST_MESSAGE)
        if ending == "fails":
            raise ValueError("late")

    outcome = python(work)
    assert outcome["kind"] == "failed"
    assert "pass a path instead" in outcome["error"]
    assert outcome["xcoms"] == {}


def test_the_traceback_shows_the_authors_frames_only(capfd: pytest.CaptureFixture[str]) -> None:
    def inner() -> None:
        raise ValueError("inner")

    def work() -> None:
        try:
            inner()
        except ValueError as error:
            raise RuntimeError("outer") from error

    assert python(work)["kind"] == "failed"
    told = capfd.readouterr().err
    assert "RuntimeError: outer" in told and "ValueError: inner" in told
    assert "in work" in told and "in inner" in told
    assert "tailrace/execution" not in told and "tailrace/authoring" not in told


def test_a_branch_says_what_it_follows() -> None:
    with dag():
        task = BranchPythonOperator(task_id="branch", python_callable=lambda: "left")
        task >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")]
    outcome = run(task)
    assert (outcome["kind"], outcome["followed"]) == ("success", ("left",))
    assert outcome["xcoms"] == {"return_value": "left"}


@pytest.mark.parametrize(("answer", "followed"), [(True, None), (0, ())])
def test_a_short_circuit_says_whether_to_go_on(answer: object, followed: object) -> None:
    with dag():
        task = ShortCircuitOperator(task_id="check", python_callable=lambda: answer)
        task >> EmptyOperator(task_id="rest")
    outcome = run(task)
    assert (outcome["kind"], outcome["followed"]) == ("success", followed)


@pytest.mark.parametrize(
    ("command", "kind", "error"),
    [
        ("echo one; echo two", "success", ""),
        ("exit 99", "skipped", "bash exited 99, which skips"),
        ("echo why >&2; exit 3", "failed", "BashFailed: bash exited 3: why"),
        ("kill -9 $$", "failed", "BashFailed: bash was killed by signal 9"),
    ],
)
def test_bash(command: str, kind: str, error: str) -> None:
    with dag():
        outcome = run(BashOperator(task_id="shell", bash_command=command))
    assert (outcome["kind"], outcome["error"]) == (kind, error)
    assert outcome["xcoms"] == ({"return_value": "two"} if kind == "success" else {})


def test_a_commands_own_path_need_not_lead_to_bash() -> None:
    with dag():
        outcome = run(BashOperator(task_id="shell", bash_command="echo $PATH", env={"PATH": "/nowhere"}))
    assert outcome["xcoms"] == {"return_value": "/nowhere"}


@pytest.mark.parametrize(
    ("command", "last"),
    [
        ("printf 'one\\ntwo'", "two"),
        ("printf 'one\\n\\n'", ""),
        ("true", ""),
        ("printf one; sleep 0.01; printf two; sleep 0.01; echo; sleep 0.01; printf three", "three"),
        ("head -c 200000 /dev/zero | tr '\\0' x; echo; sleep 0.01; echo y", "y"),
    ],
)
def test_the_last_line_of_a_command_is_its_xcom(command: str, last: str) -> None:
    with dag():
        outcome = run(BashOperator(task_id="shell", bash_command=command))
    assert outcome["xcoms"] == {"return_value": last}


def _prints(count: int, then: str) -> str:
    return f"echo before; head -c {count} /dev/zero | tr '\\0' x; {then or 'true'}"


@pytest.mark.parametrize("then", ["", "echo", "sleep 0.01; echo y"])
def test_a_last_line_of_any_length_is_refused_or_kept_whole(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.authoring.operators._LONGEST_LINE", 150_001)

    def bash(command: str, **arguments: Any) -> dict[str, Any]:
        with dag():
            return run(BashOperator(task_id="shell", bash_command=command, **arguments))

    length = "200,001" if "y" in then else "200,000"
    assert len(bash(_prints(150_000, then))["xcoms"]["return_value"]) in (150_000, 150_001)
    refused = bash(_prints(200_000, then))
    assert (refused["kind"], refused["xcoms"]) == ("failed", {})
    assert f"its last line, {length} bytes, is too long for an XCom (at most 150,001)" in refused["error"]
    assert bash(_prints(200_000, then), do_xcom_push=False)["kind"] == "success"
    assert bash(_prints(200_000, then) + "; echo; echo z")["xcoms"] == {"return_value": "z"}
    failed = bash(_prints(200_000, then) + "; exit 3")
    assert failed["error"].startswith("BashFailed: bash exited 3: xxx") and len(failed["error"]) < 1100


def test_running_a_task_leaves_the_task_as_it_was_written() -> None:
    """A process that runs many tries (isolation worker) renders each anew."""
    with dag():
        task = BashOperator(task_id="shell", bash_command="echo {{ ti.try_number }}")
    assert run(task, try_number=1)["xcoms"] == {"return_value": "1"}
    assert run(task, try_number=2)["xcoms"] == {"return_value": "2"}
    assert task.bash_command == "echo {{ ti.try_number }}"


class _Rendered(BaseOperator):
    template_fields = ("message",)

    def __init__(self, *, message: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.message = message

    def execute(self, context: Mapping[str, Any]) -> str:
        assert context["task"] is self
        return self.message


def test_an_operator_of_the_author_is_rendered_and_is_the_task_of_its_context() -> None:
    with dag():
        task = _Rendered(task_id="own", message="{{ ds }}")
    assert run(task)["xcoms"] == {"return_value": "2016-01-31"}
