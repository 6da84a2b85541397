"""The differential oracle: a small sequential evaluator. For given task results it knows the one final state of each
task instance and run; every history, however it went, must end there.

What it is given beside the results: which previous run each task looked at, where commands came in between, and which
tasks were lost so often that they failed. Neither follows from the results; both stand in the history.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tailrace.audit.rules import FAIL, RUN, SKIP, outcome
from tailrace.audit.structure import Structure
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.simulator.scenario import Scenario

_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)
_FINE = (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)

States = dict[str, TaskInstanceState]
#: By logical date and task id: the date of the run that the task looked at; None where there was none.
LookedAt = Mapping[tuple[datetime, str], datetime | None]


@dataclass(slots=True)
class Expected:
    """The final states, by logical date (and task id)."""

    runs: dict[datetime, DagRunState] = field(default_factory=dict)
    task_instances: dict[datetime, States] = field(default_factory=dict)


def expected(
    scenario: Scenario,
    looked_at: LookedAt,
    lost: frozenset[tuple[datetime, str]] = frozenset(),
) -> Expected:
    """Work the dates off one after another, each task once, in topological order.

    Where nothing is said of what a task looked at, it is the date before.
    """
    found = Expected()
    structure = Structure(scenario.dag)
    ignoring = scenario.dates_of(scenario.commands[0])[0] if scenario.ignore_first_depends_on_past else None
    before: datetime | None = None
    for date in scenario.logical_dates():
        states: States = {}
        followed: dict[str, tuple[str, ...] | None] = {}
        for task in scenario.dag.tasks:
            previous = None if date == ignoring else looked_at.get((date, task.task_id), before)
            past = None if previous is None else found.task_instances[previous]
            state = _undisturbed(scenario, structure, task, states, followed, past)
            if state is None:
                state = TaskInstanceState.FAILED
                if (date, task.task_id) not in lost:
                    state, followed[task.task_id] = _tried(scenario, task, date)
            states[task.task_id] = state
        found.task_instances[date], before = states, date
        found.runs[date] = _run_state(structure, states)
    return found


def _undisturbed(
    scenario: Scenario,
    structure: Structure,
    task: TaskSpec,
    states: States,
    followed: Mapping[str, tuple[str, ...] | None],
    past: States | None,
) -> TaskInstanceState | None:
    """The state of a task that is never tried, or None for one that is."""
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
    return None


def _shut_out(scenario: Scenario, task: TaskSpec, past: States | None) -> bool:
    slots = dict(scenario.pools).get(task.pool)
    if slots is not None and slots != 0 and task.pool_slots > slots:
        return True
    if past is None or not (task.depends_on_past or task.wait_for_downstream):
        return False
    needed = (task.task_id, *(task.downstream if task.wait_for_downstream else ()))
    return any(past[each] not in _FINE for each in needed)


def _tried(scenario: Scenario, task: TaskSpec, date: datetime) -> tuple[TaskInstanceState, tuple[str, ...] | None]:
    if scenario.mark_success:
        return TaskInstanceState.SUCCESS, None
    for attempt in range(1, 2 if scenario.disable_retry else task.retries + 2):
        kind, ways = scenario.ending(task.task_id, date, attempt)
        if kind is OutcomeKind.SUCCESS:
            return TaskInstanceState.SUCCESS, ways
        if kind is OutcomeKind.SKIPPED:
            return TaskInstanceState.SKIPPED, None
        if kind is OutcomeKind.FAILED_FOR_GOOD:
            break
    return TaskInstanceState.FAILED, None


def _run_state(structure: Structure, states: States) -> DagRunState:
    if any(state not in FINISHED for state in states.values()):
        return DagRunState.DEADLOCKED
    failed = any(states[leaf] in _BAD for leaf in structure.leaves)
    return DagRunState.FAILED if failed else DagRunState.SUCCESS
