"""The differential oracle: a small sequential evaluator. For given task results it knows the one final state of each
task instance and run; every history, however it went, must end there.

What it is given beside the results: which previous run each task looked at, where commands came in between, and which
tasks were lost so often that they failed. Neither follows from the results; both stand in the history.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import prod

from tailrace.audit.parts import Part
from tailrace.audit.rules import FAIL, RUN, SKIP, outcome
from tailrace.audit.structure import Structure
from tailrace.effects.tries import Json
from tailrace.model.keys import UNMAPPED, index_suffix
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import MOST_INSTANCES, Over, RetryAction, TaskSpec, Together
from tailrace.model.states import FINISHED, DagRunState, TaskInstanceState
from tailrace.simulator.scenario import Scenario

_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)
_FINE = (TaskInstanceState.SUCCESS, TaskInstanceState.SKIPPED)

#: A task id and a map index.
Place = tuple[str, int]
#: By logical date and task id: the date of the run that the task looked at; None where there was none.
LookedAt = Mapping[tuple[datetime, str], datetime | None]


@dataclass(slots=True)
class Run:
    """The final states of a run's task instances; of those that succeeded what they followed, and what they left."""

    states: dict[Place, TaskInstanceState] = field(default_factory=dict)
    followed: dict[Place, tuple[str, ...] | None] = field(default_factory=dict)
    left: dict[Place, Mapping[str, Json]] = field(default_factory=dict)

    def of(self, task_id: str) -> list[TaskInstanceState]:
        """The states of the task's instances."""
        return [state for (name, _), state in self.states.items() if name == task_id]


@dataclass(slots=True)
class Expected:
    """The final states, by logical date (and task instance)."""

    runs: dict[datetime, DagRunState] = field(default_factory=dict)
    task_instances: dict[datetime, dict[Place, TaskInstanceState]] = field(default_factory=dict)


def expected(
    scenario: Scenario,
    looked_at: LookedAt,
    lost: frozenset[tuple[datetime, str, int]] = frozenset(),
) -> Expected:
    """Work the dates off one after another, each task once, in topological order.

    Where nothing is said of what a task looked at, it is the date before.
    """
    found, runs = Expected(), dict[datetime, Run]()
    structure = _structure(scenario)
    done = [task for task in structure.tasks.values() if _does(scenario, task.task_id)]
    ignoring = scenario.dates_of(scenario.commands[0])[0] if scenario.ignore_first_depends_on_past else None
    before: datetime | None = None
    for date in scenario.logical_dates():
        run = Run()
        for task in done:
            previous = None if date == ignoring else looked_at.get((date, task.task_id), before)
            past = None if previous is None else runs[previous]
            for place, state in _places(scenario, structure, task, run, past):
                run.states[place] = state or TaskInstanceState.FAILED
                if state is None and (date, *place) not in lost:
                    try_out(scenario, task, date, run, place)
        runs[date], before = run, date
        found.task_instances[date] = run.states
        found.runs[date] = run_state(structure, run)
    return found


def _does(scenario: Scenario, task_id: str) -> bool:
    """Whether the task is done at all."""
    return any(part is None or task_id in part for part in scenario.parts)


def _structure(scenario: Scenario) -> Structure:
    """The DAG as far as it counts: between tasks of different parts nothing is waited for."""
    dag = scenario.dag
    between = {(above, task.task_id) for task in dag.tasks for above in task.upstream}
    cut = set(between)
    for part in scenario.parts:
        cut -= {edge for edge in between if part is None or (edge[0] in part and edge[1] in part)}
    return Structure(dag, Part(None, frozenset(cut)))


def _places(
    scenario: Scenario, structure: Structure, task: TaskSpec, run: Run, past: Run | None
) -> Iterator[tuple[Place, TaskInstanceState | None]]:
    """The task's instances, each with its state where it is never tried; None for one that is.

    A task's rule comes before its number of instances; that of one in a mapped group is asked of each of them.
    """
    state: TaskInstanceState | None = None
    indexes: Sequence[int] = [UNMAPPED]
    if task.mapped_group:
        state, indexes = _expanded(task, run)
        for index in indexes:
            place = task.task_id, index
            yield place, state or undisturbed(scenario, structure, task, run, past, place)
        return
    state = undisturbed(scenario, structure, task, run, past)
    if state is None and task.mapped_over is not None:
        state, indexes = _expanded(task, run)
    yield from (((task.task_id, index), state) for index in indexes)


def _seen(structure: Structure, run: Run, place: Place, other: str) -> list[Place]:
    """The instances of another task that one looks at: in a mapped group that of its own index."""
    if structure.side_by_side(place[0], other) and (other, place[1]) in run.states:
        return [(other, place[1])]
    return [each for each in run.states if each[0] == other]


def undisturbed(
    scenario: Scenario, structure: Structure, task: TaskSpec, run: Run, past: Run | None, place: Place | None = None
) -> TaskInstanceState | None:
    """The state of a task instance that is never tried, or None for one that is; without an index by default."""
    place = place or (task.task_id, UNMAPPED)
    waiting = False
    for gate in structure.gates[task.task_id]:
        seen = _seen(structure, run, place, gate)
        if any(run.states[each] not in FINISHED for each in seen):
            waiting = True
            continue
        decided = [each for each in seen if run.states[each] is not TaskInstanceState.SKIPPED]
        out = [
            run.states[each] is TaskInstanceState.SUCCESS and structure.excluded(task.task_id, run.followed[each])
            for each in decided
        ]
        if out and all(out):
            return TaskInstanceState.SKIPPED
    if waiting:
        return TaskInstanceState.NONE
    above = (each for other in task.upstream for each in _seen(structure, run, place, other))
    verdict = outcome(task.trigger_rule, [run.states[each] for each in above])
    if verdict == SKIP:
        return TaskInstanceState.SKIPPED
    if verdict == FAIL:
        return TaskInstanceState.UPSTREAM_FAILED
    if verdict != RUN or _shut_out(scenario, task, past):
        return TaskInstanceState.NONE
    return None


def _shut_out(scenario: Scenario, task: TaskSpec, past: Run | None) -> bool:
    slots = dict((*scenario.pools, *scenario.narrowed)).get(task.pool)
    if slots is not None and 0 < slots < task.pool_slots:
        return True
    if past is None or not (task.depends_on_past or task.wait_for_downstream):
        return False
    needed = (task.task_id, *(task.downstream if task.wait_for_downstream else ()))
    return any(state not in _FINE for each in needed for state in past.of(each))


def _expanded(task: TaskSpec, run: Run) -> tuple[TaskInstanceState | None, Sequence[int]]:
    """The map indexes of a mapped task that may run (None: they are tried), or what it ends in without any."""
    lengths = [_length(run, each) for each in task.mapped_over or ()]
    for state in (TaskInstanceState.NONE, TaskInstanceState.UPSTREAM_FAILED, TaskInstanceState.SKIPPED):
        if state in lengths:
            return state, [UNMAPPED]
    if None in lengths:
        return TaskInstanceState.UPSTREAM_FAILED, [UNMAPPED]
    count = prod(each for each in lengths if isinstance(each, int))
    if count > MOST_INSTANCES:
        return TaskInstanceState.FAILED, [UNMAPPED]
    return (None, range(count)) if count else (TaskInstanceState.SKIPPED, [UNMAPPED])


def _length(run: Run, over: Over) -> int | TaskInstanceState | None:
    """How many items there are to be expanded over; the state that says there are none; None for what has no items."""
    if isinstance(over, int):
        return over
    if isinstance(over, Together):
        lengths = [_length(run, each) for each in over.of]
        for worst in (TaskInstanceState.NONE, TaskInstanceState.UPSTREAM_FAILED, TaskInstanceState.SKIPPED, None):
            if worst in lengths:
                return worst
        known = [each for each in lengths if isinstance(each, int)]
        return {"shortest": min(known), "longest": max(known), "sum": sum(known)}[over.how]
    states = run.of(over.task_id)
    if any(state not in FINISHED for state in states):
        return TaskInstanceState.NONE
    if (over.task_id, UNMAPPED) not in run.states:
        return sum(over.key in left for (name, _), left in run.left.items() if name == over.task_id)
    if states[0] is not TaskInstanceState.SUCCESS:
        skipped = states[0] is TaskInstanceState.SKIPPED
        return TaskInstanceState.SKIPPED if skipped else TaskInstanceState.UPSTREAM_FAILED
    value = run.left[over.task_id, UNMAPPED].get(over.key)
    return len(value) if isinstance(value, list | dict) else None


def try_out(scenario: Scenario, task: TaskSpec, date: datetime, run: Run, place: Place) -> None:
    """Try a task instance as often as its retries allow."""
    if scenario.mark_success:
        run.states[place], run.followed[place], run.left[place] = TaskInstanceState.SUCCESS, None, {}
        return
    name = place[0] + index_suffix(place[1])
    for attempt in range(1, 2 if scenario.disable_retry else task.retries + 2):
        kind, ways, rule = scenario.ending(name, date, attempt)
        if kind is OutcomeKind.SUCCESS:
            run.states[place], run.followed[place] = TaskInstanceState.SUCCESS, ways
            run.left[place] = scenario.leaves(name, date, attempt)
        if kind is OutcomeKind.SKIPPED:
            run.states[place] = TaskInstanceState.SKIPPED
        if kind is not OutcomeKind.FAILED or _is_final(task, rule):
            break


def _is_final(task: TaskSpec, rule: int | None) -> bool:
    """Whether the task's retry policy ends it with this failure; ``rule`` is the number of that which fits, or -1."""
    policy = task.retry_policy
    if policy is None or rule is None:
        return False
    return (policy.default if rule < 0 else policy.rules[rule].action) is RetryAction.FAIL


def run_state(structure: Structure, run: Run) -> DagRunState:
    if any(state not in FINISHED for state in run.states.values()):
        return DagRunState.DEADLOCKED
    failed = any(state in _BAD for leaf in structure.leaves for state in run.of(leaf))
    return DagRunState.FAILED if failed else DagRunState.SUCCESS
