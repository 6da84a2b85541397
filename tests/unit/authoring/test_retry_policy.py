"""A task's retry policy: what may be written, what is stored, which rule fits an exception; and Airflow's names."""

import runpy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace import DAG, EmptyOperator, ExceptionRetryPolicy, RetryAction, RetryRule
from tailrace.authoring.arguments.retry_policy import read_retry_policy
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.mistakes.airflow_names import beside
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import RetryPolicySpec, RetryRuleSpec, TaskSpec
from tailrace.planning.retries import AfterTry, after_try


class Own(ValueError):
    """One of the author's."""


def with_policy(policy: Any) -> DAG:
    with DAG("d") as dag:
        EmptyOperator(task_id="t", retries=3, retry_policy=policy)
    return dag


def test_it_is_stored_as_it_is_and_a_task_without_one_says_nothing_of_it() -> None:
    rules = [
        RetryRule([ConnectionError, "requests.exceptions.HTTPError"], retry_delay=timedelta(minutes=5), reason="busy"),
        RetryRule(Own, RetryAction.FAIL, match_subclasses=False),
    ]
    spec = compile_dag(with_policy(ExceptionRetryPolicy(rules, RetryAction.FAIL)), "d.py", "")
    assert spec is not None
    names = ("ConnectionError", "requests.exceptions.HTTPError")
    assert spec.tasks[0].retry_policy == RetryPolicySpec(
        (
            RetryRuleSpec(names, RetryAction.RETRY, timedelta(minutes=5), "busy"),
            RetryRuleSpec(("Own",), RetryAction.FAIL, match_subclasses=False),
        ),
        RetryAction.FAIL,
    )
    assert spec_from(spec_text(spec)) == spec
    without = compile_dag(with_policy(None), "d.py", "")
    assert without is not None and "retry_policy" not in spec_text(without)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (5, "retry_policy must be an ExceptionRetryPolicy(rules=[…]), not 5"),
        (ExceptionRetryPolicy, "retry_policy must be an ExceptionRetryPolicy"),
        (ExceptionRetryPolicy("ab"), "must have a list of rules, not 'ab'"),  # type: ignore[arg-type]
        (ExceptionRetryPolicy([ValueError]), "must have RetryRules as rules"),  # type: ignore[list-item]
        (ExceptionRetryPolicy([RetryRule(5)]), "rule 1: exception must be an exception, or several, not 5"),  # type: ignore[arg-type]
        (ExceptionRetryPolicy([RetryRule([])]), "rule 1: exception must be an exception, or several, not []"),
        (ExceptionRetryPolicy([RetryRule(str)]), "rule 1: exception must be an exception's class"),  # type: ignore[arg-type]
        (ExceptionRetryPolicy([RetryRule("ValueError")]), "import path, such as 'requests.exceptions.HTTPError'"),
        (ExceptionRetryPolicy([RetryRule(OSError), RetryRule(OSError, "no")]), "rule 2: must be RetryAction.RETRY"),  # type: ignore[arg-type]
        (ExceptionRetryPolicy([RetryRule(OSError, retry_delay=-1)]), "rule 1: retry_delay must be a timedelta"),
        (ExceptionRetryPolicy([RetryRule(OSError, reason=5)]), "rule 1: reason must be text"),  # type: ignore[arg-type]
        (ExceptionRetryPolicy([RetryRule(OSError)], default=None), "default: must be RetryAction"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_with_one_is_a_mistake(policy: Any, words: str) -> None:
    [mistake] = with_policy(policy).mistakes
    assert words in mistake.message


@pytest.mark.parametrize(
    ("exception", "raised", "fits"),
    [
        (ValueError, ValueError(), True),
        (ValueError, Own(), True),
        (ValueError, KeyError(), False),
        ([KeyError, ValueError], Own(), True),
        ("builtins.ValueError", Own(), True),
        (f"{__name__}.Own", Own(), True),
        ("json.JSONDecodeError", __import__("json").JSONDecodeError("no", "", 0), True),  # where it is not defined
        ("json.decoder.JSONDecodeError", __import__("json").JSONDecodeError("no", "", 0), True),
        ("no.such.Error", ValueError(), False),
        ("json.no_such", ValueError(), False),
        ("json.dumps", ValueError(), False),
    ],
)
def test_which_exceptions_a_rule_fits(exception: Any, raised: BaseException, fits: bool) -> None:
    told: list[str] = []
    assert RetryRule(exception).fits(raised, told.append) is fits
    assert bool(told) is (isinstance(exception, str) and "no" in exception)


def test_only_the_class_itself_where_subclasses_do_not_fit() -> None:
    rule = RetryRule("builtins.ValueError", match_subclasses=False)
    assert rule.fits(ValueError(), print)
    assert not rule.fits(Own(), print)


def after(policy: ExceptionRetryPolicy, raised: BaseException, number: int = 1) -> AfterTry:
    read = read_retry_policy(policy)
    assert read is not None
    task = TaskSpec("t", retries=2, retry_policy=read.spec)
    key, rule = TryKey(TaskInstanceKey("d", "r", "t"), number), read.rule_for(raised, print)
    budget = {"max_tries": 3, "lost_tries": 0}
    return after_try(task, key, OutcomeKind.FAILED, "Own: no", disable_retry=False, rule=rule, **budget)


POLICY = ExceptionRetryPolicy(
    [
        RetryRule(Own, RetryAction.FAIL),
        RetryRule(ValueError, RetryAction.FAIL, reason="the data is wrong"),
        RetryRule(ConnectionError, retry_delay=7, reason="it is busy"),
        RetryRule(KeyError, RetryAction.DEFAULT),
    ]
)


@pytest.mark.parametrize(
    ("raised", "state", "reason", "delay"),
    [
        (Own(), "failed", "Own: no; no retry: its retry_policy has a rule for Own", None),
        (ValueError(), "failed", "Own: no; no retry: the data is wrong", None),
        (ConnectionError(), "up_for_retry", "Own: no; retry: it is busy", timedelta(seconds=7)),
        (KeyError(), "up_for_retry", "Own: no", timedelta(minutes=5)),
        (OSError(), "up_for_retry", "Own: no", timedelta(minutes=5)),
    ],
)
def test_the_first_rule_that_fits_decides(
    raised: BaseException, state: str, reason: str, delay: timedelta | None
) -> None:
    found = after(POLICY, raised)
    assert (found.state, found.reason, found.retry_delay) == (state, reason, delay)


def test_a_rule_repeats_nothing_beyond_the_retries_and_a_default_may_end_all_others() -> None:
    assert after(POLICY, ConnectionError(), 3).state == "failed"
    strict = ExceptionRetryPolicy([RetryRule(ConnectionError)], default=RetryAction.FAIL)
    assert after(strict, Own()).reason == "Own: no; no retry: no rule of its retry_policy fits"
    assert after(strict, ConnectionError()).state == "up_for_retry"


@given(st.integers(-1, 5), st.sampled_from(list(RetryAction)), st.integers(1, 4))
def test_a_policy_never_tries_more_often_than_without(rule: int, default: RetryAction, number: int) -> None:
    policy = read_retry_policy(ExceptionRetryPolicy(POLICY.rules, default))
    assert policy is not None
    key = TryKey(TaskInstanceKey("d", "r", "t"), number)
    budget = {"max_tries": 3, "lost_tries": 0, "disable_retry": False}
    task = TaskSpec("t", retries=2, retry_policy=policy.spec)
    with_one = after_try(task, key, OutcomeKind.FAILED, "e", rule=rule, **budget)
    without = after_try(TaskSpec("t", retries=2), key, OutcomeKind.FAILED, "e", **budget)
    assert not (with_one.state == "up_for_retry" and without.state == "failed")


# --- names of Airflow's ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("from airflow.exceptions import AirflowSkipException", "write `from tailrace.exceptions import TaskSkipped`"),
        ("from airflow.exceptions import AirflowException", "raise any exception: each of them fails the try"),
        ("from airflow.exceptions import AirflowTaskTimeout", "is ended by SIGTERM"),
        ("from tailrace.exceptions import AirflowFailException", "it is tailrace.exceptions.TaskFailed here"),
        ("raise AirflowSkipException('none today')", "`from tailrace.exceptions import TaskSkipped`"),
        ("raise AirflowException", "raise any exception"),
        ("raise nobody_knows_this", ""),
    ],
)
def test_a_name_of_airflows_that_a_task_uses_is_met_with_ours(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "work.py").write_text(line)
    with pytest.raises((ImportError, NameError)) as raised:
        runpy.run_path(str(tmp_path / "work.py"))
    said = beside(raised.value)
    assert words in said
    assert said.startswith("; ") is bool(words)


@given(st.text(max_size=30))
def test_any_other_exception_is_left_as_it_is(text: str) -> None:
    class Odd(ImportError):
        name = text  # type: ignore[assignment]

    for raised in (ValueError(text), Odd(text), NameError(text), ModuleNotFoundError(text, name=text or None)):
        if not text.startswith("airflow"):
            assert beside(raised) == ""
