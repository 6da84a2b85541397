"""How what a task does becomes the outcome of its try, and what its log says of it."""

import itertools
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import ExceptionRetryPolicy, RetryRule
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.authoring.operators.shipped import (
    BashOperator,
    BranchPythonOperator,
    EmptyOperator,
    PythonOperator,
    ShortCircuitOperator,
)
from tailrace.exceptions import TaskFailed, TaskRescheduled, TaskSkipped
from tailrace.execution.messages.channel import LONGEST_MESSAGE, decode, encode
from tailrace.execution.messages.tries import outcome_in
from tailrace.execution.xcoms.values import stored_xcom
from tailrace.model.outcomes import MOST_XCOMS, OutcomeKind
from tailrace.model.plain_text import LONGEST_LINE
from tests.unit.execution.builders import dag, run
from tests.unit.model import anything
from tests.unit.model.anything import nested


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
    assert outcome["xcoms"] == {"return_value": {"day": "2016-01-31", "pair": {"$": "tuple", "of": [1, 2]}}}
    assert outcome["tagged"] == ["return_value"] and "tagged" not in python(lambda: [1])


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
        (BrokenText(), "failed", "BrokenText: (its text cannot be read: ValueError)"),
    ],
)
def test_what_a_task_raises(error: BaseException, kind: str, text: str) -> None:
    outcome = python(raising(error))
    assert (outcome["kind"], outcome["error"]) == (kind, text)


class ExitsAsItsTextIsMade(Exception):
    def __str__(self) -> str:
        sys.exit("no")


class NoTraceback(Exception):
    @property
    def __notes__(self) -> Any:
        raise ValueError("no")


class NoRepr:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ValueError("cannot read caf\udce9.csv"), "failed", "ValueError: cannot read caf\\udce9.csv"),
        (ValueError("bad cell: F\0x"), "failed", "ValueError: bad cell: F\\x00x"),
        (ValueError("[/nope] \x1b[2J {0} %s"), "failed", "ValueError: [/nope] \\x1b[2J {0} %s"),
        (TaskSkipped("a\0\udcff"), "skipped", "a\\x00\\udcff"),
        (TaskFailed("a\0\udcff"), "failed_for_good", "a\\x00\\udcff"),
        (SystemExit("\udcff"), "failed", "the task called exit: \\udcff"),
        (SystemExit(NoRepr()), "failed", "the task called exit: (its text cannot be read: ValueError)"),
        (ExitsAsItsTextIsMade(), "failed", "ExitsAsItsTextIsMade: (its text cannot be read: SystemExit)"),
        (NoTraceback("bad"), "failed", "NoTraceback: bad"),
    ],
    ids=map(str, itertools.count()),  # some have no text
)
def test_whatever_its_text_it_is_reported_in_a_line_that_can_be_stored(
    error: BaseException, kind: str, text: str
) -> None:
    outcome = python(raising(error))
    assert (outcome["kind"], outcome["error"]) == (kind, text)


def test_a_long_error_is_cut_and_the_log_has_all_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = python(raising(ValueError("y" * 5_000_000)))
    assert len(outcome["error"]) <= LONGEST_LINE
    assert outcome["error"].endswith("more characters)")
    assert "y" * 5_000_000 in capfd.readouterr().err


@given(anything.texts, st.sampled_from([ValueError, TaskSkipped, TaskFailed, SystemExit]))
def test_any_text_of_an_exception_is_an_outcome(text: str, kind: type[BaseException]) -> None:
    outcome = python(raising(kind(text)))
    sent = outcome_in(decode(encode(outcome)[:-1]))
    assert sent.error == outcome["error"]


@given(anything.nearly_json)
def test_any_value_is_an_xcom_as_it_is_or_a_reason(value: Any) -> None:
    outcome = outcome_in(decode(encode(python(lambda: value))[:-1]))
    if outcome.kind is OutcomeKind.SUCCESS:
        assert dict(outcome.xcoms) == ({} if value is None else {"return_value": stored_xcom(value, "it")})
    else:
        assert "must be JSON" in outcome.error and outcome.xcoms == {}


@pytest.mark.parametrize("value", [{object()}, object(), float("nan"), {1: "a"}])
def test_only_json_is_returned(value: object, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = python(lambda: value)
    assert outcome["kind"] == "failed"
    assert "the XCom 'return_value' of work must be JSON" in outcome["error"]
    assert f"({os.path.relpath(__file__)}:" in outcome["error"]
    assert "Traceback" not in capfd.readouterr().err


def test_pushes_of_a_failed_try_are_reported_too() -> None:
    def work(ti: Any) -> None:
        ti.xcom_push("seen", 3)
        raise ValueError("late")

    assert python(work)["xcoms"] == {"seen": 3}


@pytest.mark.parametrize("odd", [object(), {1, 2}, 10**4999, nested(5000)], ids=map(str, itertools.count()))
def test_what_was_put_beside_the_pushes_fails_in_one_line(odd: object) -> None:
    outcome = python(lambda ti: ti.pushed.update(k=odd))
    assert (outcome["kind"], outcome["xcoms"]) == ("failed", {})
    assert outcome["error"].startswith("its XComs cannot be sent: ")


def test_a_long_reason_to_skip_is_whole_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = python(raising(TaskSkipped("z" * 5000)))
    assert (outcome["kind"], len(outcome["error"]) <= LONGEST_LINE) == ("skipped", True)
    assert "z" * 5000 in capfd.readouterr().err


def test_too_many_xcoms_fail_in_one_line() -> None:
    def work(ti: Any) -> None:
        for n in range(MOST_XCOMS + 1):
            ti.xcom_push(f"k{n}", n)

    outcome = python(work)
    assert (outcome["kind"], outcome["xcoms"]) == ("failed", {})
    assert outcome["error"].startswith("it has pushed 20,001 XComs; 20,000 is the limit")


def test_what_counts_is_its_size_as_text_in_utf_8() -> None:
    assert python(lambda: "\u20ac" * 5_000_000)["kind"] == "success"


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
    monkeypatch.setattr("tailrace.authoring.operators.shipped._LONGEST_LINE", 150_001)

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


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"a": 1, 1: 2}, "TypeError: xcom_push: key must be text, not 1"),
        ({"return_value": 1}, "multiple_outputs: 'return_value' is the whole dict, and no key in it"),
        ([1], "multiple_outputs needs a dict, and work returned list"),
    ],
)
def test_outputs_that_would_take_one_anothers_place_are_refused(value: object, error: str) -> None:
    outcome = python(lambda: value, multiple_outputs=True)
    assert (outcome["kind"] != "success", outcome["error"]) == (True, error)


@pytest.mark.parametrize(
    ("command", "last"),
    [(r"printf 'caf\xe9'", "caf\udce9"), (r"printf 'a\0b\n'", "a\0b"), (r"printf '\xff\xfe'", "\udcff\udcfe")],
)
def test_a_commands_last_line_comes_through_whatever_bytes_are_in_it(command: str, last: str) -> None:
    with dag():
        outcome = run(BashOperator(task_id="shell", bash_command=command))
    assert outcome["xcoms"] == {"return_value": last}
    assert os.fsencode(last) in (b"caf\xe9", b"a\0b", b"\xff\xfe")


def test_a_failure_names_the_rule_of_its_retry_policy() -> None:
    policy = ExceptionRetryPolicy([RetryRule(KeyError), RetryRule("builtins.ValueError")])
    fails = python(raising(ValueError("bad")), retry_policy=policy)
    assert (fails["kind"], fails["rule"]) == ("failed", 1)
    assert outcome_in(decode(encode(fails))).rule == 1
    assert python(raising(OSError()), retry_policy=policy)["rule"] == -1
    assert "rule" not in python(raising(TaskFailed("for good")), retry_policy=policy)
    assert "rule" not in python(raising(TaskSkipped()), retry_policy=policy)
    assert "rule" not in python(lambda: None, retry_policy=policy)
    assert "rule" not in python(raising(ValueError()))


def test_a_policy_that_cannot_be_asked_decides_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Odd(type(ValueError)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: object) -> bool:
            raise RuntimeError("no")

    class Error(Exception, metaclass=Odd):
        pass

    with dag():
        task = PythonOperator(
            task_id="work", python_callable=raising(ValueError()), retry_policy=ExceptionRetryPolicy([RetryRule(Error)])
        )
    assert "rule" not in run(task)


def test_an_import_of_airflows_within_a_task_is_met_with_ours() -> None:
    def work() -> None:
        from airflow.exceptions import AirflowSkipException  # type: ignore[import-not-found]

        raise AirflowSkipException

    assert "write `from tailrace.exceptions import TaskSkipped`" in python(work)["error"]


def test_a_task_is_rescheduled_with_what_it_has_pushed() -> None:
    until, ends = datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    def work(ti: Any) -> None:
        ti.xcom_push("seen", ti.reschedules)
        raise TaskRescheduled(until, "asked once", times_out_at=ends)

    message = python(work, retries=0)
    assert (message["kind"], message["xcoms"]) == ("rescheduled", {"seen": 0})
    assert message["error"] == "asked once, goes on at 2026-01-01 12:00:00Z, times out at 2026-01-02 00:00:00Z"
    outcome = outcome_in(decode(encode(message)))
    assert (outcome.kind, outcome.resumes_at, outcome.times_out_at) == (OutcomeKind.RESCHEDULED, until, ends)


def test_what_is_called_as_a_task_begins_is_called_once_a_try() -> None:
    called: list[int] = []
    with dag():
        work = EmptyOperator(task_id="work", on_execute_callback=lambda context: called.append(1))
    for reschedules in (0, 1, 2):
        assert run(work, reschedules=reschedules)["kind"] == "success"
    assert called == [1]
