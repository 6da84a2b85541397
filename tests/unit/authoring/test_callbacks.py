"""Callbacks as they are written: what they may be, where, and what a DAG that has none is."""

import functools
from typing import Any

import pytest

from tailrace import DAG, BashOperator, EmptyOperator
from tailrace.authoring.arguments.callbacks import name_of
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.execution.tries.reuse import may_serve_again
from tailrace.model.spec import DagSpec
from tailrace.notifiers import Notifier, ShellCommand, SlackWebhook, Webhook


def told(context: Any) -> None:
    """A callback."""


class Told(Notifier):
    def notify(self, context: Any) -> None:
        """One of an author's own."""


def compiled(dag: DAG) -> DagSpec:
    spec = compile_dag(dag, "/d.py", "0")
    assert spec is not None, dag.mistakes
    return spec


def test_callbacks_are_taken_from_everywhere() -> None:
    with DAG(
        "d", default_args={"on_failure_callback": told}, on_success_callback=[told], on_backfill_end=Told()
    ) as dag:
        EmptyOperator(task_id="a")
        EmptyOperator(task_id="b", on_failure_callback=None, on_retry_callback=[told, Told()], on_execute_callback=told)
        BashOperator.partial(task_id="c", on_skipped_callback=told).expand(bash_command=["true", "false"])
    spec = compiled(dag)
    assert {task.task_id: task.calls for task in spec.tasks} == {
        "a": ("on_failure_callback",),
        "b": ("on_retry_callback",),
        "c": ("on_failure_callback", "on_skipped_callback"),
    }
    assert spec.calls == ("on_backfill_end", "on_success_callback")
    assert spec.calls_back


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("told", "must be a function, a notifier, or a list of them, not 'told'"),
        ([told, 3], "must be a function, a notifier, or a list of them, not 3"),
        ({"a": told}, "must be a function, a notifier, or a list of them, not {'a': "),
        (lambda: None, "must take one argument, the context; <lambda> does not"),
        ([lambda a, b: None], "must take one argument, the context"),
    ],
)
def test_what_cannot_be_called_is_a_mistake_with_its_line(given: Any, said: str) -> None:
    with DAG("d") as dag:
        EmptyOperator(task_id="a", on_failure_callback=given)
    [mistake] = dag.mistakes
    assert f"task a: on_failure_callback {said}" in str(mistake)


def test_callbacks_have_names() -> None:
    def inner(context: Any) -> None:
        """A function in a function."""

    named = [name_of(each) for each in (told, inner, functools.partial(told), Told(), Told().notify)]
    assert named == ["told", "inner", "told", "Told", "Told.notify"]


def test_a_bash_task_keeps_the_process_it_shares_but_for_what_is_called_in_it() -> None:
    with DAG("d", on_failure_callback=told) as dag:
        apart = dict.fromkeys(("on_failure_callback", "on_retry_callback", "on_success_callback"), told)
        shared = BashOperator(task_id="a", bash_command="true", **apart)
        own = BashOperator(task_id="b", bash_command="true", on_execute_callback=told)
    assert may_serve_again(dag, shared)
    assert not may_serve_again(dag, own)


@pytest.mark.parametrize("make", [lambda: ShellCommand(""), lambda: Webhook(" "), lambda: SlackWebhook(3)])  # type: ignore[arg-type,return-value]
def test_a_notifier_that_says_nothing_is_a_mistake_where_it_is_written(make: Any) -> None:
    with pytest.raises(TypeError, match="must be text that is not empty"):
        make()
