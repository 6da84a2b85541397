"""Writes the pages of the reference from what the code declares (``make reference``). A test holds them current."""

import inspect
import re
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin

import tailrace
from tailrace.authoring.arguments.dag_arguments import DagArguments
from tailrace.authoring.arguments.deadlines import DeadlineAlert
from tailrace.authoring.arguments.declarations import arguments_of, unsupported_of
from tailrace.authoring.arguments.retry_policy import ExceptionRetryPolicy
from tailrace.authoring.arguments.task_arguments import DefaultArguments, TriggerRuleName
from tailrace.authoring.context.variables import VARIABLES
from tailrace.authoring.dags.dag import DAG, TaskArguments
from tailrace.authoring.dags.group_arguments import GroupArguments
from tailrace.authoring.mistakes.airflow_imports import NAMED, OTHERWISE
from tailrace.authoring.mistakes.dag_errors import MISSING
from tailrace.authoring.operators.operator_arguments import (
    BaseSensorArguments,
    BashOperatorArguments,
    DateTimeSensorArguments,
    ExternalTaskSensorArguments,
    FileSensorArguments,
    HttpSensorArguments,
    PythonOperatorArguments,
    PythonSensorArguments,
    ShortCircuitOperatorArguments,
    SqlSensorArguments,
    TimeDeltaSensorArguments,
)
from tailrace.authoring.relations.groups import Group
from tailrace.authoring.relations.xcom_args import XComArg
from tailrace.authoring.templates.environment import FILTERS
from tailrace.model.rules import OLD_NAMES, TriggerRule
from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState
from tailrace.model.transitions import (
    BACKFILL_TRANSITIONS,
    DAG_RUN_TRANSITIONS,
    TASK_INSTANCE_TRANSITIONS,
    Actor,
    Cause,
    Transition,
)
from tailrace.planning.plan import Verdict
from tailrace.planning.rules import Counts, evaluate

FOLDER = Path(__file__).parent
WRITTEN = "<!-- Written by `make reference` from the declarations in the code. Change them there. -->\n"

NAMES: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "seconds",
    bool: "True or False",
    datetime: "datetime",
    timedelta: "timedelta",
    tzinfo: "tzinfo",
    dict: "dict",
    Mapping: "dict",
    Sequence: "list",
    Collection: "list",
    Iterable: "list",
    Callable: "function",
    PathLike: "path",
    XComArg: "output of a task",
    TriggerRule: "a [trigger rule](trigger-rules.md)",
    DAG: "DAG",
    Group: "TaskGroup",
    DeadlineAlert: "[DeadlineAlert](run-limits.md#deadline)",
    ExceptionRetryPolicy: "[ExceptionRetryPolicy](run-limits.md#retry_policy)",
    DefaultArguments: "dict",
    type(None): "None",
}
VERDICTS = {
    Verdict.RUN: "**runs**",
    Verdict.SKIP: "skipped",
    Verdict.FAIL_UPSTREAM: "upstream_failed",
    Verdict.WAIT: "waits",
}
SITUATIONS = {
    "all succeeded": Counts(success=2),
    "one skipped, others succeeded": Counts(success=1, skipped=1),
    "one failed, others succeeded": Counts(success=1, failed=1),
    "one skipped, one failed": Counts(skipped=1, failed=1),
    "all skipped": Counts(skipped=2),
    "all failed": Counts(failed=2),
    "one succeeded, others not done": Counts(success=1, pending=1),
    "one skipped, others not done": Counts(skipped=1, pending=1),
    "one failed, others not done": Counts(failed=1, pending=1),
}


def pages() -> dict[Path, str]:
    """Each page of the reference, by its file."""
    return {
        FOLDER / "reference.md": reference(),
        FOLDER / "trigger-rules.md": trigger_rules(),
        FOLDER / "states.md": states(),
    }


def reference() -> str:
    """Arguments and template variables."""
    every, bash, python = TaskArguments, BashOperatorArguments, PythonOperatorArguments
    sensor = BaseSensorArguments
    parts = [
        WRITTEN,
        "# Reference\n",
        "All arguments and template variables; [writing DAGs](authoring.md) says how they go together. An argument\n"
        "without a default must be given.\n",
        "## Arguments of a DAG\n",
        '`DAG("id", …)` and `@dag("id", …)`.\n',
        arguments_table(DagArguments),
        "## Arguments of every task\n",
        "Of every operator, of `@task` and its kinds, and of `default_args`.\n",
        arguments_table(every),
        "## BashOperator, `@task.bash`\n",
        "`bash_command` is what the function returns.\n",
        arguments_table(bash, without=every),
        "## PythonOperator, BranchPythonOperator, `@task`, `@task.branch`\n",
        "A decorated function is its own `python_callable`, and gets `op_args` and `op_kwargs` where it is called.\n",
        arguments_table(python, without=every),
        "## ShortCircuitOperator, `@task.short_circuit`\n",
        "Those of PythonOperator, and:\n",
        arguments_table(ShortCircuitOperatorArguments, without=python),
        "## Every sensor, `@task.sensor`\n",
        "See [sensors](sensors.md).\n",
        arguments_table(sensor, without=every),
        "## PythonSensor\n",
        "Those of every sensor, and:\n",
        arguments_table(PythonSensorArguments, without=sensor),
        "## FileSensor\n",
        "Those of every sensor, and:\n",
        arguments_table(FileSensorArguments, without=sensor),
        "## DateTimeSensor, TimeDeltaSensor\n",
        "Those of every sensor, and:\n",
        arguments_table(DateTimeSensorArguments, without=sensor),
        arguments_table(TimeDeltaSensorArguments, without=sensor),
        "## ExternalTaskSensor\n",
        "Those of every sensor, and:\n",
        arguments_table(ExternalTaskSensorArguments, without=sensor),
        "## SqlSensor\n",
        "Those of every sensor, and:\n",
        arguments_table(SqlSensorArguments, without=sensor),
        "## HttpSensor\n",
        "Those of every sensor, and:\n",
        arguments_table(HttpSensorArguments, without=sensor),
        "## TaskGroup, `@task_group`\n",
        '`TaskGroup("id", …)`; of `@task_group(…)` also `group_id`, by default the function\'s name. See\n'
        "[task groups](groups.md).\n",
        arguments_table(GroupArguments),
        "## default_args\n",
        "Any argument of an operator, your own operators' included; of the DAG's own:\n",
        arguments_table(DefaultArguments, without=ShortCircuitOperatorArguments, only=("start_date", "end_date")),
        "## Template variables\n",
        table(["variable", "what it is"], ([f"`{name}`", what] for name, what in VARIABLES.items())),
        f"Filters besides Jinja's: {', '.join(f'`{name}`' for name in FILTERS)}, as the variables of these names.\n",
        "## Names of Airflow's\n",
        "What a DAG file imports from Airflow, wherever that has it, and what to write. The same names here: "
        f"{', '.join(f'`{name}`' for name in same_names())}.\n",
        table(["name", "write"], ([f"`{name}`", f"`tailrace.{ours}`"] for name, ours in sorted(NAMED.items()))),
        table(["name", "instead"], ([f"`{name}`", text] for name, text in sorted(OTHERWISE.items()))),
        "## Arguments of Airflow's that are not there\n",
        "Given another value than those that ask for nothing, they are a mistake, or kept, and without effect.\n",
        "### Of tasks\n",
        unsupported_table(every),
        "### Of a DAG\n",
        unsupported_table(DagArguments),
        "### Of a task group\n",
        unsupported_table(GroupArguments),
    ]
    return "\n".join(parts)


def same_names() -> list[str]:
    """What is imported from ``tailrace`` and is Airflow's by the same name."""
    return [name for name in tailrace.__all__ if name not in ("DefaultArguments", "TaskArguments", "__version__")]


def trigger_rules() -> str:
    """The rules, and what each makes of the states above a task, as the planner evaluates them."""
    old = ", ".join(f"`{name}` is `{rule}`" for name, rule in OLD_NAMES.items())
    return "\n".join(
        [
            WRITTEN,
            "# Trigger rules\n",
            "When a task runs, given the states of the tasks directly above it. One with none above it runs at once.\n",
            table(["rule", "the task runs once"], ([f"`{rule}`", rule.when] for rule in TriggerRule)),
            f"The default is `{TriggerRule.ALL_SUCCESS}`. Names of old: {old}.\n",
            "## What becomes of the task\n",
            "A task that is `removed` counts as done, and as nothing else. While a branch or short circuit above it\n"
            "is undecided a task waits, whatever its rule.\n",
            table(
                ["rule", *SITUATIONS],
                (
                    [f"`{rule}`", *(VERDICTS[evaluate(rule, counts)] for counts in SITUATIONS.values())]
                    for rule in TriggerRule
                ),
            ),
        ]
    )


def states() -> str:
    """The three state machines, as the transition tables have them."""
    return "\n".join(
        [
            WRITTEN,
            "# States\n",
            "The states of task instances, runs and backfills, and every step between them. The tables in\n"
            "`model/transitions.py` hold the steps: a state is written only if its table has the step, with who\n"
            "makes it and why, and together with a row of history that names both. A *planner* is a job that applies\n"
            "a plan, a *worker* holds the token of a try ([leases](leases.md)), a *person* typed a command.\n",
            "The diagrams leave out what begins in nearly every state (cleared, marked, reprocess); the tables have\n"
            "every step.\n",
            "## Task instance\n",
            "A try begins where it is queued and ends where its outcome is accepted. *stopping* keeps the slot, the\n"
            "token and the lease until nothing of the try runs; then it becomes what the person asked for.\n",
            machine(TaskInstanceState, TASK_INSTANCE_TRANSITIONS, (Cause.CLEARED, Cause.MARKED, Cause.REPROCESS)),
            "## Run\n",
            "A run is judged by its leaves once nothing in it is unfinished, and *deadlocked* once every unfinished\n"
            "task instance is doomed.\n",
            machine(DagRunState, DAG_RUN_TRANSITIONS, (Cause.MARKED,)),
            "## Backfill\n",
            "Pausing is a flag beside the state.\n",
            machine(BackfillState, BACKFILL_TRANSITIONS, ()),
        ]
    )


def machine(kind: type[StrEnum], steps: Sequence[Transition[Any]], left_out: Collection[Cause]) -> str:
    """What each state means, a diagram of the steps, and all of them as a table."""
    meanings = dict(re.findall(r'= "(\w+)"  # (.+)', inspect.getsource(kind)))
    first = next(iter(kind))
    drawn: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        if step.before is not step.after and (step.cause not in left_out or step.after == "stopping"):
            drawn.setdefault((step.before, step.after), []).append(f"{step.cause} ({step.actor})")
    lines = [f"    {before} --> {after} : {', '.join(why)}" for (before, after), why in drawn.items()]
    grouped: dict[tuple[Cause, Actor, str], list[str]] = {}
    for step in steps:
        grouped.setdefault((step.cause, step.actor, step.after), []).append(f"`{step.before}`")
    return "\n".join(
        [
            table(["state", "it means"], ([f"`{state}`", meanings[state]] for state in kind)),
            "```mermaid",
            "stateDiagram-v2",
            f"    [*] --> {first} : {Cause.CREATED}",
            *lines,
            "```\n",
            table(
                ["cause", "made by", "from", "to"],
                (
                    [f"`{cause}`", actor, ", ".join(before), f"`{after}`"]
                    for (cause, actor, after), before in grouped.items()
                ),
            ),
        ]
    )


def arguments_table(declaring: type, *, without: type | None = None, only: Collection[str] = ()) -> str:
    """A row for each argument there is."""
    left_out = () if without is None else arguments_of(without)
    rows = []
    for name, argument in arguments_of(declaring).items():
        if name in left_out or (only and name not in only):
            continue
        default = "" if argument.default is MISSING else f"`{str_of(argument.default)}`"
        meaning = argument.meaning + ("" if argument.in_airflow else " (Airflow has none)")
        if name in unsupported_of(declaring):
            meaning += " (kept, and without effect)"
        rows.append([f"`{name}`", type_of(declaring.__annotations__[name]), default, meaning])
    return table(["argument", "type", "default", "what it says"], rows)


def unsupported_table(declaring: type) -> str:
    """A row for each argument that is not there."""
    rows = []
    for name, unsupported in sorted(unsupported_of(declaring).items()):
        if name not in arguments_of(declaring):
            nothing = ", ".join(f"`{value!r}`" for value in unsupported.nothing)
            rows.append([f"`{name}`", nothing, unsupported.instead or "(without effect)"])
    return table(["argument", "asks for nothing", "else"], rows)


def str_of(value: Any) -> str:
    """A default as it is written."""
    if isinstance(value, timedelta):
        return f"timedelta(minutes={value // timedelta(minutes=1)})"
    return repr(str(value) if isinstance(value, str) else value)


def type_of(annotation: Any) -> str:
    """A type in words; several are joined by "or"."""
    return ", or ".join(dict.fromkeys(_types(annotation)))


def _types(annotation: Any) -> Iterator[str]:
    origin = get_origin(annotation)
    if origin in (Annotated, Required):
        yield from _types(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from _types(each)
    elif origin is Literal:
        if annotation != TriggerRuleName:  # as a TriggerRule is
            yield from (f"`{value!r}`" for value in get_args(annotation))
    else:
        yield NAMES[origin or annotation]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text)
