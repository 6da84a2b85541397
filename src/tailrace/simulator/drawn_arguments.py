"""Features of a random DAG that are arguments: of its tasks, by default of those in a group, and of the DAG itself."""

import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tailrace import DeadlineAlert, DeadlineReference, ExceptionRetryPolicy, RetryAction, RetryRule, TriggerRule
from tailrace.model.callbacks import OF_DAGS, OF_TASKS, CallbackName
from tailrace.simulator.scenario import FIRST_DATE
from tailrace.simulator.written_dags import WrittenDag, WrittenTask

_RUNNING_ANYHOW = (
    TriggerRule.ALL_DONE,
    TriggerRule.ALL_DONE,
    TriggerRule.ALWAYS,
    TriggerRule.ONE_SUCCESS,
    TriggerRule.ONE_FAILED,
    TriggerRule.ONE_DONE,
    TriggerRule.NONE_FAILED,
    TriggerRule.NONE_SKIPPED,
)


def rules(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Half of the tasks have a trigger rule of their own; of those that are expanded over outputs more, and such as let
    them run whatever became of these.
    """

    def rule(task: WrittenTask) -> dict[str, Any]:
        kinds = list(TriggerRule) if task.over is None or draw.random() < 0.3 else _RUNNING_ANYHOW
        return {"trigger_rule": draw.choice(kinds)} if draw.random() < (0.5 if task.over is None else 0.7) else {}

    return dag.with_arguments(rule)


def retries(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are tried again, soon or later."""

    def again(task: WrittenTask) -> dict[str, Any]:
        return {
            "retries": draw.choice((0, 0, 1, 2)),
            "retry_delay": timedelta(seconds=draw.choice((0, 1, 8))),
            "retry_exponential_backoff": draw.random() < 0.3,
        }

    return dag.with_arguments(again)


def policies(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are tried again after some failures only."""

    def policy(task: WrittenTask) -> dict[str, Any]:
        if draw.random() > 0.25:
            return {}
        found = [
            RetryRule(each, draw.choice(list(RetryAction)), draw.choice((None, 0, 3)))
            for each in (ValueError, OSError)[: draw.choice((1, 2))]
        ]
        return {"retry_policy": ExceptionRetryPolicy(found, draw.choice(list(RetryAction))), "retries": 2}

    return dag.with_arguments(policy)


def the_past(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks look at their previous run; in most DAGs none does."""
    odds = draw.choice((0.0, 0.0, 0.2, 0.4))

    def looks_back(task: WrittenTask) -> dict[str, Any]:
        drawn = draw.random() / odds if odds else 1.0
        return {"depends_on_past": True, "wait_for_downstream": drawn < 0.3} if drawn < 1.0 else {}

    return dag.with_arguments(looks_back)


def limits(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Pools, weights, and how many instances run at once."""

    def limit(task: WrittenTask) -> dict[str, Any]:
        found: dict[str, Any] = {"priority_weight": draw.choice((1, 1, 5))}
        if draw.random() < 0.25:
            found |= {"pool": "small", "pool_slots": draw.choice((1, 1, 2))}
        elif draw.random() < 0.05:
            found |= {"pool": "endless", "pool_slots": 3}
        found |= {"weight_rule": draw.choice(("absolute", "upstream"))} if draw.random() < 0.2 else {}
        found |= {"max_active_tis_per_dag": 1} if draw.random() < 0.1 else {}
        found |= {"max_active_tis_per_dagrun": draw.choice((1, 2))} if draw.random() < 0.15 else {}
        return found

    return dag.with_arguments(limit)


def narrow_pool(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """In a few DAGs a task needs more slots than its pool has."""
    if draw.random() > 0.06:
        return dag
    chosen = draw.choice(dag.tasks).name
    return dag.with_arguments(lambda task: {"pool": "narrow", "pool_slots": 2} if task.name == chosen else {})


def timeouts(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tries may not take long."""
    return dag.with_arguments(lambda task: {"execution_timeout": timedelta(minutes=1)} if draw.random() < 0.2 else {})


def default_args(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Groups, and the DAG, have arguments for the tasks in them that do not have their own."""

    def some() -> dict[str, Any]:
        found: dict[str, Any] = {}
        found |= {"trigger_rule": draw.choice(list(TriggerRule))} if draw.random() < 0.2 else {}
        found |= {"retries": draw.choice((0, 1))} if draw.random() < 0.3 else {}
        found |= {"execution_timeout": timedelta(minutes=2)} if draw.random() < 0.2 else {}
        return found

    said = {"retries", "retry_delay"} if draw.random() < 0.5 else set()
    tasks = tuple(
        replace(task, arguments={name: value for name, value in task.arguments.items() if name not in said})
        if draw.random() < 0.5
        else task
        for task in dag.tasks
    )
    groups = tuple(replace(group, default_args=some()) for group in dag.groups)
    return replace(dag, tasks=tasks, groups=groups, arguments={**dag.arguments, "default_args": some()})


def callbacks(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """In a share of the DAGs much is called back."""
    if draw.random() > 0.15:
        return dag

    def called(names: Iterable[Any]) -> dict[str, Any]:
        return {str(name): _notify for name in names if draw.random() < 0.5}

    with_calls = dag.with_arguments(lambda task: called(OF_TASKS))
    of_runs = called(name for name in OF_DAGS if name is not CallbackName.ON_LATE)  # that one is its deadline's
    return replace(with_calls, arguments={**dag.arguments, **of_runs})


def deadlines(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """In a share of the DAGs runs are late, and stay what they are."""
    if draw.random() > 0.1:
        return dag
    since = draw.choice((DeadlineReference.DAGRUN_QUEUED_AT, DeadlineReference.FIXED_DATETIME(FIRST_DATE)))
    alert = DeadlineAlert(since, draw.choice((0.2, 4, 40)), draw.choice((None, _notify)))
    return replace(dag, arguments={**dag.arguments, "deadline": alert})


def stopped(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """In a share of the DAGs a run fails fast, or may not take long."""
    found: dict[str, Any] = {"fail_fast": True} if draw.random() < 0.08 else {}
    found |= {"dagrun_timeout": draw.choice((0.5, 4, 40))} if draw.random() < 0.06 else {}
    return replace(dag, arguments={**dag.arguments, **found})


def _notify(context: Any) -> None:
    """What is called back."""
