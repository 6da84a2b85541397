"""Every argument of a DAG and of each operator, given anything at all: what it must be, or one mistake; never both."""

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import (
    DAG,
    BashOperator,
    DateTimeSensor,
    ExternalTaskSensor,
    FileSensor,
    HttpSensor,
    PythonOperator,
    PythonSensor,
    ShortCircuitOperator,
    SqlSensor,
    TimeDeltaSensor,
    task,
)
from tailrace.authoring.arguments.dag_arguments import DAG_ARGUMENTS
from tailrace.authoring.arguments.task_arguments import TASK_ARGUMENTS
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.dags.dag import BaseOperator, names_of
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.metastore.writes.specs import spec_from, spec_text
from tailrace.model.callbacks import ON_EXECUTE, CallbackName
from tailrace.model.rules import TriggerRule
from tests.unit.authoring.conftest import Load, said


class Unwritable:
    """Even its text cannot be had."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


#: What people give by mistake: the text of a value, a number for a flag, a set for a list, a class, nothing.
ODD = [
    *(
        "",
        "False",
        "true",
        "0",
        "1",
        "a b",
        "\0",
        "\udc80",
        "\ud800",
        "x" * 9,
        b"bytes",
        0,
        1,
        -1,
        3.0,
        math.nan,
        math.inf,
    ),
    *(2**70, True, False, None, [], ["a"], [1], (), {}, {"a": "b"}, {1: 2}, {"a": 1}, set(), {1}, range(3), object()),
    *(Unwritable(), Unwritable, print, datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC), date(2024, 1, 1)),
    *(timedelta(0), timedelta(1), timedelta(-1), timedelta.max, Path("/tmp"), UTC, iter([]), NotImplemented, ...),
]
anything = st.one_of(
    st.sampled_from(ODD),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.lists(st.integers() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.text(max_size=3) | st.integers(), st.integers() | st.text(max_size=3), max_size=2),
)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def is_span(value: Any) -> bool:
    return isinstance(value, timedelta) and value >= timedelta(0)


def is_one_of_none(check: Any) -> Any:
    return lambda value: value is None or check(value)


def is_flag(value: Any) -> bool:
    return type(value) is bool


#: What each attribute is, whatever was given.
KINDS: Mapping[str, Any] = {
    "retries": is_whole,
    "retry_delay": is_span,
    "retry_exponential_backoff": is_flag,
    "max_retry_delay": is_one_of_none(is_span),
    "execution_timeout": is_one_of_none(lambda value: is_span(value) and value > timedelta(0)),
    "depends_on_past": is_flag,
    "wait_for_downstream": is_flag,
    "trigger_rule": lambda value: isinstance(value, TriggerRule),
    "pool": lambda value: is_text(value) and value,
    "pool_slots": lambda value: is_whole(value) and value,
    "priority_weight": is_whole,
    "weight_rule": is_text,
    "max_active_tis_per_dag": is_one_of_none(is_whole),
    "max_active_tis_per_dagrun": is_one_of_none(is_whole),
    "do_xcom_push": is_flag,
    "email": lambda value: type(value) is tuple and all(map(is_text, value)),
    "email_on_failure": is_flag,
    "email_on_retry": is_flag,
    **dict.fromkeys([ON_EXECUTE, *CallbackName], lambda value: type(value) is tuple and all(map(callable, value))),
    "owner": is_text,
    "doc_md": is_text,
    "bash_command": lambda value: is_text(value) and "\0" not in value,
    "env": is_one_of_none(lambda value: all(is_text(each) for pair in value.items() for each in pair)),
    "append_env": is_flag,
    "cwd": is_one_of_none(lambda value: is_text(value) or isinstance(value, Path)),
    "skip_on_exit_code": lambda value: all(type(code) is int and 0 <= code <= 255 for code in value),
    "op_args": lambda value: type(value) is list,
    "op_kwargs": lambda value: all(map(is_text, value)),
    "templates_dict": lambda value: all(map(is_text, value)),
    "multiple_outputs": is_flag,
    "catchup": is_flag,
    "max_active_runs": lambda value: is_whole(value) and value,
    "max_active_tasks": lambda value: is_whole(value) and value,
    "description": is_text,
    "tags": lambda value: all(map(is_text, value)),
    "user_defined_macros": lambda value: all(map(is_text, value)),
    "template_searchpath": lambda value: all(map(is_text, value)),
    "default_args": lambda value: all(map(is_text, value)),
    "start_date": is_one_of_none(lambda value: isinstance(value, datetime) and value.utcoffset() is not None),
    "end_date": is_one_of_none(lambda value: isinstance(value, datetime) and value.utcoffset() is not None),
    "timezone": is_text,
}
OPERATORS: tuple[tuple[type[BaseOperator], dict[str, Any]], ...] = (
    (BashOperator, {"bash_command": "echo needed"}),
    (PythonOperator, {"python_callable": lambda *args, **kwargs: None}),
    (ShortCircuitOperator, {"python_callable": lambda *args, **kwargs: None}),
    (PythonSensor, {"python_callable": lambda *args, **kwargs: None}),
    (FileSensor, {"filepath": "f"}),
    (DateTimeSensor, {"target_time": "t"}),
    (TimeDeltaSensor, {"delta": 7.25}),
    (ExternalTaskSensor, {"external_dag_id": "other"}),
    (SqlSensor, {"conn_id": "c", "sql": "SELECT 7"}),
    (HttpSensor, {"endpoint": "https://example.org"}),
)
OF_TASKS = [(*each, name) for each in OPERATORS for name in sorted(names_of(each[0]))]
OF_DAGS = sorted({"dag_id", *DAG_ARGUMENTS})


Place = tuple[type[BaseOperator], dict[str, Any], str]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(OF_TASKS), anything)
def test_a_task_takes_what_it_means_or_reports_one_mistake(place: Place, value: Any) -> None:
    assert_taken_or_said(place, value)


@pytest.mark.parametrize("place", OF_TASKS)
def test_a_task_takes_no_odd_value_silently(place: Place) -> None:
    for value in ODD:
        assert_taken_or_said(place, value)


def assert_taken_or_said(place: Place, value: Any) -> None:
    operator, needed, name = place
    with DAG("d") as dag:
        given = operator(**{"task_id": "t", **needed, name: value})
    assert isinstance(given.task_id, str)
    assert len(dag.mistakes) <= 1
    assert all("\n" not in mistake.message and len(mistake.message) < 400 for mistake in dag.mistakes)
    for attribute, is_right in KINDS.items():
        if attribute in names_of(operator):
            assert is_right(getattr(given, attribute)), (attribute, getattr(given, attribute))
    unread = ("task_id", "python_callable", "ignore_downstream_trigger_rules", "doc_md", "owner")
    if not dag.mistakes and name not in unread:
        untouched = operator(**{"task_id": "u", "dag": dag, **needed})
        default = repr(getattr(untouched, name))
        assert repr(getattr(given, name)) != default or means_the_default(name, value), "taken, and dropped"


def means_the_default(name: str, value: Any) -> bool:
    """Whether this value is another way to say what happens anyway."""
    return value is None or not value or (name in TASK_ARGUMENTS and value == TASK_ARGUMENTS[name].default)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(OF_DAGS), anything)
def test_a_dag_takes_what_it_means_or_reports_its_mistakes(name: str, value: Any) -> None:
    assert_compiled_or_said(name, value)


@pytest.mark.parametrize("name", OF_DAGS)
def test_a_dag_takes_no_odd_value_silently(name: str) -> None:
    for value in ODD:
        assert_compiled_or_said(name, value)


def assert_compiled_or_said(name: str, value: Any) -> None:
    dag = DAG(**{"dag_id": "d", name: value})
    assert all("\n" not in mistake.message and len(mistake.message) < 400 for mistake in dag.mistakes)
    for attribute, is_right in KINDS.items():
        if attribute in OF_DAGS:
            assert is_right(getattr(dag, attribute)), (attribute, getattr(dag, attribute))
    spec = compile_dag(dag, "dag.py", "")
    assert (spec is None) == bool(dag.mistakes)
    if spec is not None:
        assert spec_from(spec_text(spec)) == spec


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("catchup='False', start_date=datetime(2024, 1, 1)", "catchup must be True or False, not 'False'"),
        ("catchup=1", "catchup must be True or False, not 1"),
        ("catchup=True, schedule='@daily'", "catchup=True needs a start_date"),
        ("catchup=True, schedule=timedelta(1)", "catchup=True needs a start_date"),
        ("schedule='@once'", "schedule '@once' needs a start_date"),
        ("schedule='@daily', start_date=datetime(2024, 2, 1), end_date=datetime(2024, 1, 1)", "is before start_date"),
        ("user_defined_macros={'ds': print}", "ds is a variable of every template; take another name"),
        ("template_searchpath=[1]", "template_searchpath must be a folder's path, or several, not [1]"),
    ],
)
def test_what_would_be_something_else_than_it_says_is_a_mistake(load: Load, arguments: str, words: str) -> None:
    loaded = load(f'with DAG("x", {arguments}): EmptyOperator(task_id="a")')
    assert [words in message for message in said(loaded)] == [True], said(loaded)


def test_catchup_without_a_schedule_is_noted(load: Load) -> None:
    loaded = load('with DAG("x", catchup=True): EmptyOperator(task_id="a")')
    assert [note.message for note in loaded.notes] == [
        "catchup (there is no schedule): kept, and without effect in Tailrace"
    ]


def test_an_output_where_it_is_not_known_yet_is_a_mistake() -> None:
    with DAG("d") as dag:
        made = BashOperator(task_id="a", bash_command="true").output
        PythonOperator(task_id="b", python_callable=print, op_args=made)
        PythonOperator(task_id="c", python_callable=print, op_args=[made])
        BashOperator(task_id="e", bash_command=made, cwd=made, env={"A": made})
    assert isinstance(made, XComArg)
    [mistake] = dag.mistakes
    assert "task b: op_args must be a list, not <output of a>" in mistake.message
    assert {each.task_id: each.upstream_task_ids for each in dag.tasks} == {
        "a": set(),
        "b": set(),
        "c": {"a"},
        "e": {"a"},
    }


def test_a_dag_that_is_none_and_an_id_that_is_none_are_mistakes() -> None:
    with DAG("d") as dag:
        BashOperator(task_id="a", bash_command="true", dag="d")  # type: ignore[arg-type]
        task(task_id=["b"])(print)()
    assert [mistake.message for mistake in dag.mistakes] == [
        "task a: dag must be a DAG, not 'd'",
        "task ['b']: task_id must be a name without spaces or slashes, not ['b']",
    ]


# --- calls that could not be made --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("@task\ndef f(a, b): pass\n{0}f(1)", "missing a required argument: 'b'"),
        ("@task\ndef f(nonsense): pass\n{0}f()", "missing a required argument: 'nonsense'"),
        ("@task\ndef f(ds): pass\n{0}f(q=1)", "got an unexpected keyword argument 'q'"),
        ("@task\ndef f(): pass\n{0}f(1)", "too many positional arguments"),
        ("@task\ndef f(a): pass\n{0}f(1, a=2)", "multiple values for argument 'a'"),
        ("@task.bash\ndef f(a): pass\n{0}f()", "missing a required argument: 'a'"),
        ("f = 0\n{0}PythonOperator(task_id='f', python_callable=lambda x: x, op_kwargs={{'y': 1}})", "argument: 'x'"),
        ("@task\ndef f(ds, ti, mine, templates_dict, *rest, **context): pass\n{0}f()", ""),
        ("@task\ndef f(a, /, b, *, ds): pass\n{0}f(1, b=2)", ""),
        ("import functools\ndef add(f):\n  @functools.wraps(f)\n  def g(*a, **k): return f(7, *a, **k)\n  return g\n"
         "@task\n@add\ndef f(added, ds): pass\n{0}f()", ""),
        ("class Own(PythonOperator):\n  def execute(self, context): self.op_args = [1]\n"
         "def f(x): pass\n{0}Own(task_id='f', python_callable=f)", ""),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_made_is_a_mistake(load: Load, body: str, words: str) -> None:
    """newcomer 04."""
    loaded = load(body.format('with DAG("x", user_defined_macros={"mine": 1}): '))
    assert [words in message for message in said(loaded)] == ([True] if words else []), said(loaded)
