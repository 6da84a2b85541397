"""The differential oracle: a small sequential evaluator. For given task results it knows the one final state of each
task instance and run; every history, however it went, must end there.
"""

from dataclasses import dataclass, field
from datetime import datetime

from tailrace.audit.rules import FAIL, RUN, SKIP, outcome
from tailrace.audit.structure import Structure
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.simulator.scenario import Scenario

_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)


@dataclass(slots=True)
class Expected:
    """The final states, by logical date (and task id)."""

    runs: dict[datetime, DagRunState] = field(default_factory=dict)
    task_instances: dict[datetime, dict[str, TaskInstanceState]] = field(default_factory=dict)


def expected(scenario: Scenario) -> Expected:
    """Work the dates off one after another, each task once, in topological order."""
    found = Expected()
    structure = Structure(scenario.dag)
    past: dict[str, TaskInstanceState] | None = None
    for date in scenario.logical_dates():
        states: dict[str, TaskInstanceState] = {}
        followed: dict[str, tuple[str, ...] | None] = {}
        for task in scenario.dag.tasks:
            states[task.task_id] = _state(scenario, structure, task, date, states, followed, past)
        found.task_instances[date] = states
        found.runs[date] = _run_state(scenario, states)
        past = states
    return found


def _state(
    scenario: Scenario,
    structure: Structure,
    task: TaskSpec,
    date: datetime,
    states: dict[str, TaskInstanceState],
    followed: dict[str, tuple[str, ...] | None],
    past: dict[str, TaskInstanceState] | None,
) -> TaskInstanceState:
    waiting = False
    for gate in structure.gates[task.task_id]:
        if states[gate] not in FINISHED:
            waiting = True
        elif states[gate] is TaskInstanceState.SUCCESS and structure.excluded(task.task_id, followed[gate]):
            return TaskInstanceState.SKIPPED
    if waiting:
        return TaskInstanceState.NONE
    verdict = outcome(task.trigger_rule, [states[each] for each in task.upstream])
    if verdict == SKIP:
        return TaskInstanceState.SKIPPED
    if verdict == FAIL:
        return TaskInstanceState.UPSTREAM_FAILED
    if verdict != RUN or _shut_out(scenario, task, past):
        return TaskInstanceState.NONE
    return _tried(scenario, task, date, followed)


def _shut_out(scenario: Scenario, task: TaskSpec, past: dict[str, TaskInstanceState] | None) -> bool:
    slots = dict(scenario.pools).get(task.pool)
    if slots is not None and task.pool_slots > slots:
        return True
    if past is None or not (task.depends_on_past or task.wait_for_downstream):
        return False
    needed = (task.task_id, *(task.downstream if task.wait_for_downstream else ()))
    return any(past[each] not in (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED) for each in needed)


def _tried(
    scenario: Scenario, task: TaskSpec, date: datetime, followed: dict[str, tuple[str, ...] | None]
) -> TaskInstanceState:
    for attempt in range(1, task.retries + 2):
        kind, ways = scenario.ending(task.task_id, date, attempt)
        if kind is OutcomeKind.SUCCESS:
            followed[task.task_id] = ways
            return TaskInstanceState.SUCCESS
        if kind is OutcomeKind.SKIPPED:
            return TaskInstanceState.SKIPPED
        if kind is OutcomeKind.FAILED_FOR_GOOD:
            break
    return TaskInstanceState.FAILED


def _run_state(scenario: Scenario, states: dict[str, TaskInstanceState]) -> DagRunState:
    if any(state not in FINISHED for state in states.values()):
        return DagRunState.DEADLOCKED
    failed = any(states[leaf] in _BAD for leaf in scenario.dag.leaves)
    return DagRunState.FAILED if failed else DagRunState.SUCCESS
