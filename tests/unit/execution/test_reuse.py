"""Which tasks may share a process: where it is not certain that only our own code runs, none does."""

from pathlib import Path
from typing import Any

import pytest

from tailrace import DAG, BashOperator, EmptyOperator, PythonOperator
from tailrace.authoring.dags.dag import BaseOperator
from tailrace.execution.tries.reuse import may_serve_again


class OwnDag(DAG):
    """A DAG of the author's."""


class OwnBash(BashOperator):
    """An operator of the author's."""


class OwnDict(dict[str, str]):
    """A dict of the author's."""


def bash(command: str, **more: Any) -> BaseOperator:
    with DAG("d", **more.pop("dag", {})):
        return BashOperator(task_id="t", bash_command=command, **more)


@pytest.mark.parametrize(
    "command",
    [
        "true",
        "echo {{ ds }} {{ data_interval_start | ts }} {{ macros.ds_add(ds, 1) }} {{ run_id[:3] }} ${x}",
        "echo {% if params is defined %}{{ logical_date.strftime('%Y') }}{% endif %}",
        "echo {{ ti.xcom_pull(task_ids='a', key='b') }} {{ ti.try_token }} {{ dag.dag_id }}",
    ],
)
def test_what_only_reads_shares_a_process(command: str) -> None:
    task = bash(command, env={"A": "{{ ds }}"}, cwd="/tmp")
    assert may_serve_again(task.dag, task)


@pytest.mark.parametrize(
    "command",
    [
        "script.sh",
        "echo {{ task.env.update({'A': '1'}) }}",
        "echo {{ dag.helper() }}",
        "echo {{ dag.doc }} {{ dag.dag_id }}",
        "echo {{ dag }}",
        "echo {{ f() }}",
        "echo {{ macros.random.seed(1) }}",
        "echo {{ ''.__class__.mro()[1].__subclasses__() }}",
        "{% import 'lib.j2' as lib %}echo",
        "{% include 'part.j2' %}echo",
        "{% macro m() %}{% endmacro %}echo",
        "echo {{ broken",
    ],
)
def test_what_may_do_anything_has_one_of_its_own(command: str) -> None:
    task = bash(command)
    assert not may_serve_again(task.dag, task)


def test_an_empty_task_shares_and_a_function_does_not() -> None:
    with DAG("d") as dag:
        assert may_serve_again(dag, EmptyOperator(task_id="empty"))
        assert not may_serve_again(dag, PythonOperator(task_id="python", python_callable=print))


def written(**more: Any) -> BaseOperator:
    return bash("true", **more)


def with_attribute(of_dag: bool) -> BaseOperator:
    task = bash("true")
    setattr(task.dag if of_dag else task, "execute" if not of_dag else "helper", lambda context: None)
    return task


def own_class(dag: type[DAG] = DAG, operator: type[BashOperator] = BashOperator) -> BaseOperator:
    with dag("d"):
        return operator(task_id="t", bash_command="true")


@pytest.mark.parametrize(
    "task",
    [
        written(cwd=Path("/tmp")),
        written(dag={"user_defined_macros": {"f": str}}),
        own_class(dag=OwnDag),
        own_class(operator=OwnBash),
        with_attribute(of_dag=True),
        with_attribute(of_dag=False),
    ],
)
def test_what_the_author_has_made_has_one_of_its_own(task: BaseOperator) -> None:
    assert not may_serve_again(task.dag, task)
