"""A world as text: its DAG with a line for each task, its pools, what is typed and what a person does."""

from datetime import timedelta

from msgspec.structs import asdict

from tailrace.model.spec import DagSpec, RetryPolicySpec, TaskSpec, Together, XComRef
from tailrace.simulator.scenario import Command, Scenario

_UNSAID = TaskSpec("")
_SHOWN_FIRST = ("task_id", "operator", "upstream", "downstream")


def lines_of(scenario: Scenario) -> list[str]:
    """The world, line by line."""
    lines = [_of_dag(scenario.dag)]
    lines += [f"  {_of_task(task)}" for task in scenario.dag.tasks]
    lines += [f"  group {group.group_id}: {', '.join(group.tasks)}" for group in scenario.dag.groups if group.tasks]
    used = {task.pool for task in scenario.dag.tasks}
    pools = [f"{name} of {slots}" for name, slots in (scenario.pools + scenario.narrowed) if name in used]
    lines += [f"pools: {', then '.join(pools)}"] if pools else []
    lines += [_of_command(command) for command in scenario.commands]
    return [*lines, *(f"a person {act}" for act in scenario.acts)]


def _of_dag(dag: DagSpec) -> str:
    said = [f"max_active_runs={dag.max_active_runs}", f"max_active_tasks={dag.max_active_tasks}"]
    said += ["fail_fast"] if dag.fail_fast else []
    said += [] if dag.dagrun_timeout is None else [f"dagrun_timeout={_shown(dag.dagrun_timeout)}"]
    return f"{dag.dag_id}: {', '.join(said)}"


def _of_task(task: TaskSpec) -> str:
    """Where it stands, and everything that is not as it is where nothing is said."""
    parts = [f"{task.task_id} ({task.operator})"]
    parts += [f"after {', '.join(task.upstream)}"] if task.upstream else []
    for name, value in asdict(task).items():
        if name not in _SHOWN_FIRST and value != getattr(_UNSAID, name):
            parts.append(name if value is True else f"{name}={_shown(value)}")
    return "; ".join(parts)


def _of_command(command: Command) -> str:
    if command.scheduler:
        return "a scheduler"
    last = command.first + command.days - 1
    days = f"day {last}" if command.days == 1 else f"days {command.first} to {last}"
    options = [f", --reprocess {command.reprocess}"] if command.reprocess != "missing" else []
    options += [f", --max-active-runs {command.max_active_runs}"] if command.max_active_runs is not None else []
    options += [", --detach"] if command.detached else []
    return f"a backfill of {days}{''.join(options)}"


def _shown(value: object) -> str:
    match value:
        case Together():
            return f"{value.how} of {_shown(value.of)}"
        case XComRef():
            return value.task_id if value.key == "return_value" else f"{value.task_id}[{value.key!r}]"
        case tuple():
            return f"({', '.join(map(_shown, value))})"
        case timedelta():
            return f"{value.total_seconds():g} s"
        case RetryPolicySpec():
            rules = [f"{' or '.join(rule.exceptions)}: {rule.action}" for rule in value.rules]
            return f"({', '.join(rules)}, else {value.default})"
        case _:
            return str(value)
