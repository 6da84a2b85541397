"""A random DAG as an author writes it: a shape, and over it one feature after another, each drawn by itself.

A feature is a function that is given its own random numbers and the DAG so far; a new one changes no other's draws.
Names are in topological order: what a task needs was written before it, and a group holds a stretch of them.
"""

import random
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeAlias

from msgspec.structs import replace

from tailrace import ExceptionRetryPolicy, RetryAction, RetryRule, TriggerRule
from tailrace.model.callbacks import OF_DAGS, OF_TASKS
from tailrace.model.spec import Over, Together, XComRef
from tailrace.simulator.scenario import FIRST_DATE
from tailrace.simulator.written_dags import Kind, WrittenDag, WrittenGroup, WrittenTask, edges_of

Feature: TypeAlias = Callable[[random.Random, WrittenDag], WrittenDag]

#: How many tasks a DAG has; most bugs need few.
_SIZES = (2, 3, 3, 4, 4, 4, 5, 5, 6, 6, 7, 8, 10, 12)
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
_DECIDING = (Kind.BRANCH, Kind.SHORT_CIRCUIT)


def drawn_dag(seed: int) -> WrittenDag:
    """The DAG of a seed."""
    dag = _shape(random.Random(f"shape {seed}"), seed)
    for feature in FEATURES:
        dag = feature(random.Random(f"{feature.__name__} {seed}"), dag)
    return dag


def _shape(draw: random.Random, seed: int) -> WrittenDag:
    """Tasks and the order between them; and what is said of the DAG as a whole."""
    names = [f"t{number}" for number in range(draw.choice(_SIZES))]
    odds = draw.choice((0.2, 0.4, 0.6))
    relations = tuple(
        (above, below)
        for at, below in enumerate(names)
        for distance, above in enumerate(reversed(names[:at]))
        if draw.random() < odds / (1 + distance / 3)
    )
    arguments: dict[str, Any] = {
        "schedule": "0 0 * * *",
        "start_date": FIRST_DATE,
        "max_active_runs": draw.choice((1, 2, 16)),
        "max_active_tasks": draw.choice((1, 2, 4, 16)),
    }
    return WrittenDag(f"dag_{seed}", tuple(map(WrittenTask, names)), relations=relations, arguments=arguments)


# --- features ----------------------------------------------------------------------------------------------


def in_groups(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Stretches of tasks are in groups, some of these in groups again; tasks and groups are related to groups."""
    names = [task.name for task in dag.tasks]
    if len(names) < 3 or draw.random() < 0.4:
        return dag
    group_of: dict[str, str] = {}
    groups: list[WrittenGroup] = []
    start = 0
    while start < len(names):
        stretch = names[start : start + draw.choice((1, 2, 3, 4))]
        start += len(stretch)
        if draw.random() < 0.4:
            continue
        outer = WrittenGroup(f"g{len(groups)}", prefixes=draw.random() < 0.8)
        groups.append(outer)
        group_of |= dict.fromkeys(stretch, outer.name)
        if len(stretch) > 2 and draw.random() < 0.5:
            inner = WrittenGroup(f"g{len(groups)}", parent=outer.name, prefixes=draw.random() < 0.8)
            groups.append(inner)
            group_of |= dict.fromkeys(stretch[draw.choice((0, 1)) : draw.choice((2, 3))], inner.name)
    found = replace(
        dag,
        groups=tuple(groups),
        tasks=tuple(replace(task, group=group_of.get(task.name, "")) for task in dag.tasks),
    )
    relations = ((_or_its_group(draw, found, a, b), _or_its_group(draw, found, b, a)) for a, b in dag.relations)
    return replace(found, relations=tuple(dict.fromkeys(relations)))


def _or_its_group(draw: random.Random, dag: WrittenDag, name: str, other: str) -> str:
    """A task, or a group around it that does not hold the other one."""
    group = {task.name: task.group for task in dag.tasks}
    outside = [each for each in dag.around(group[name]) if each and each not in dag.around(group[other])]
    return draw.choice(outside) if outside and draw.random() < 0.4 else name


def deciding(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some of the tasks that have any below them branch, or are short circuits that reach far or not."""
    above = {up for up, _ in edges_of(dag)}

    def kind(task: WrittenTask) -> WrittenTask:
        if task.name not in above or draw.random() > 0.22:
            return task
        chosen = draw.choice(_DECIDING)
        far = {"ignore_downstream_trigger_rules": draw.random() < 0.5} if chosen is Kind.SHORT_CIRCUIT else {}
        return replace(task, kind=chosen, arguments={**task.arguments, **far})

    return _each(dag, kind)


def sensing(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are sensors, of either mode; some of them are skipped where they would fail for good."""

    def sensor(task: WrittenTask) -> WrittenTask:
        if task.kind is not Kind.FUNCTION or draw.random() > 0.2:
            return task
        arguments = {
            "mode": draw.choice(("poke", "reschedule", "reschedule")),
            "soft_fail": draw.random() < 0.4,
            "timeout": timedelta(minutes=10),
            "poke_interval": 5,
        }
        return replace(task, kind=Kind.SENSOR, arguments={**task.arguments, **arguments})

    return _each(dag, sensor)


def mapped(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Many of the tasks that decide nothing are expanded: over lists, outputs of any task before them, or several."""
    before: list[WrittenTask] = []
    odds = draw.choice((0.0, 0.3, 0.3, 0.6))
    related = set(dag.relations)
    tasks: list[WrittenTask] = []
    for task in dag.tasks:
        made = task
        if task.kind not in _DECIDING and draw.random() < odds:
            near = [up.name for up in before if (up.name, task.name) in related] * 3
            over = _over(draw, [*near, *(up.name for up in before)])
            by_kwargs = len(over) == 1 and draw.random() < 0.2
            made = replace(task, over=over, by_kwargs=by_kwargs)
        tasks.append(made)
        before.append(made)
    several = {ref.task_id for task in tasks for ref in _refs(task.over or ()) if ref.key != "return_value"}
    return replace(
        dag,
        tasks=tuple(
            replace(task, arguments={**task.arguments, "multiple_outputs": True}) if task.name in several else task
            for task in tasks
        ),
    )


def _refs(over: Iterable[Over]) -> Iterable[XComRef]:
    for each in over:
        if isinstance(each, XComRef):
            yield each
        elif isinstance(each, Together):
            yield from _refs(each.of)


def _over(draw: random.Random, names: list[str]) -> tuple[Over, ...]:
    over: list[Over] = []
    for _ in range(draw.choice((1, 1, 2))):
        literal = not names or draw.random() < 0.25
        over.append(draw.choice((0, 1, 2, 2, 3)) if literal else _output(draw, names))
    if names and draw.random() < 0.2:
        parts = (_output(draw, names), *over, draw.choice((1, 2)))
        return (Together(draw.choice(("shortest", "longest", "sum")), parts),)
    return tuple(over)


def _output(draw: random.Random, names: list[str]) -> XComRef:
    return XComRef(draw.choice(names), draw.choice(("return_value", "return_value", "k")))


def given_outputs(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are called with what others return."""
    names = [task.name for task in dag.tasks]

    def given(task: WrittenTask) -> WrittenTask:
        before = names[: names.index(task.name)]
        if not before or draw.random() > 0.15:
            return task
        return replace(task, takes=(draw.choice(before),))

    return _each(dag, given)


def empty(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some of the tasks that nobody is given anything of, and that are given nothing, do nothing."""
    used = {name for task in dag.tasks for name in task.outputs}

    def nothing(task: WrittenTask) -> WrittenTask:
        plain = task.kind is Kind.FUNCTION and not task.outputs and task.over is None and task.name not in used
        return replace(task, kind=Kind.EMPTY) if plain and draw.random() < 0.3 else task

    return _each(dag, nothing)


def rules(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Half of the tasks have a trigger rule of their own; of those that are expanded over outputs more, and such as let
    them run whatever became of these.
    """

    def rule(task: WrittenTask) -> dict[str, Any]:
        kinds = list(TriggerRule) if task.over is None or draw.random() < 0.3 else _RUNNING_ANYHOW
        return {"trigger_rule": draw.choice(kinds)} if draw.random() < (0.5 if task.over is None else 0.7) else {}

    return _with(dag, rule)


def retries(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks are tried again, soon or later."""

    def again(task: WrittenTask) -> dict[str, Any]:
        return {
            "retries": draw.choice((0, 0, 1, 2)),
            "retry_delay": timedelta(seconds=draw.choice((0, 1, 8))),
            "retry_exponential_backoff": draw.random() < 0.3,
        }

    return _with(dag, again)


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

    return _with(dag, policy)


def the_past(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tasks look at their previous run; in most DAGs none does."""
    odds = draw.choice((0.0, 0.0, 0.2, 0.4))

    def looks_back(task: WrittenTask) -> dict[str, Any]:
        drawn = draw.random() / odds if odds else 1.0
        return {"depends_on_past": True, "wait_for_downstream": drawn < 0.3} if drawn < 1.0 else {}

    return _with(dag, looks_back)


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

    return _with(dag, limit)


def narrow_pool(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """In a few DAGs a task needs more slots than its pool has."""
    if draw.random() > 0.06:
        return dag
    chosen = draw.choice(dag.tasks).name
    return _with(dag, lambda task: {"pool": "narrow", "pool_slots": 2} if task.name == chosen else {})


def timeouts(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """Some tries may not take long."""
    return _with(dag, lambda task: {"execution_timeout": timedelta(minutes=1)} if draw.random() < 0.2 else {})


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

    with_calls = _with(dag, lambda task: called(OF_TASKS))
    return replace(with_calls, arguments={**dag.arguments, **called(OF_DAGS)})


def stopped(draw: random.Random, dag: WrittenDag) -> WrittenDag:
    """In a share of the DAGs a run fails fast, or may not take long."""
    found: dict[str, Any] = {"fail_fast": True} if draw.random() < 0.08 else {}
    found |= {"dagrun_timeout": draw.choice((0.5, 4, 40))} if draw.random() < 0.06 else {}
    return replace(dag, arguments={**dag.arguments, **found})


def _notify(context: Any) -> None:
    """What is called back."""


def _each(dag: WrittenDag, change: Callable[[WrittenTask], WrittenTask]) -> WrittenDag:
    return replace(dag, tasks=tuple(map(change, dag.tasks)))


def _with(dag: WrittenDag, arguments: Callable[[WrittenTask], dict[str, Any]]) -> WrittenDag:
    """The DAG with more arguments of its tasks."""
    return _each(dag, lambda task: replace(task, arguments={**task.arguments, **arguments(task)}))


#: In the order in which they are laid over the shape: later ones look at what earlier ones made.
FEATURES: tuple[Feature, ...] = (
    in_groups,
    deciding,
    sensing,
    mapped,
    given_outputs,
    empty,
    rules,
    retries,
    policies,
    the_past,
    limits,
    narrow_pool,
    timeouts,
    default_args,
    callbacks,
    stopped,
)
