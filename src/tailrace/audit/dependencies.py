"""Whether a task instance could run, had to be skipped, or never can, as a run stood at one moment.

A second opinion: written from what the rules mean, not from the planner.
"""

from collections.abc import Container, Iterable

from tailrace.audit.past import looks_back, past_lets
from tailrace.audit.replay import Instance, Place, Replay, Run, RunKey
from tailrace.audit.rules import FAIL, RUN, SKIP, WAIT, outcome
from tailrace.audit.structure import Structure
from tailrace.model.keys import UNMAPPED
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, IDLE, TaskInstanceState


def seen(structure: Structure, run: Run, place: Place, other: str) -> list[Instance]:
    """The instances of another task that this one looks at: in a mapped group that of its own index, where there is."""
    task_id, index = place
    if structure.side_by_side(task_id, other) and (other, index) in run.instances:
        return [run.instances[other, index]]
    return run.of_task(other)


def states_above(structure: Structure, run: Run, place: Place) -> list[TaskInstanceState]:
    """The states of what the task instance is directly below; one that is not there has none."""
    found: list[TaskInstanceState] = []
    for other in structure.tasks[place[0]].upstream:
        there = [each.state or TaskInstanceState.NONE for each in seen(structure, run, place, other)]
        found += there or [TaskInstanceState.NONE]
    return found


def by_branch(structure: Structure, run: Run, place: Place) -> str:
    """SKIP if a gate above leaves the task instance out, WAIT while a gate above is open, else RUN.

    A gate with several instances leaves out what all of them do that decided anything.
    """
    open_gates = False
    for gate in structure.gates[place[0]]:
        instances = seen(structure, run, place, gate)
        if not instances or any(each.state not in FINISHED for each in instances):
            open_gates = True
            continue
        said = [each for each in instances if each.state not in (TaskInstanceState.SKIPPED, TaskInstanceState.REMOVED)]
        out = [each.state is TaskInstanceState.SUCCESS and structure.excluded(place[0], each.followed) for each in said]
        if out and all(out):
            return SKIP
    return WAIT if open_gates else RUN


def by_rule(structure: Structure, run: Run, place: Place) -> str:
    """What the trigger rule makes of the states above."""
    return outcome(structure.tasks[place[0]].trigger_rule, states_above(structure, run, place))


def pool_is_small(replay: Replay, key: RunKey, task: TaskSpec) -> bool:
    """Whether the task's pool is not there, or can never hold it. One of 0 slots was frozen by a person, who waits.

    So it may have been where history has not told of the pool yet.
    """
    slots = replay.pools.get(replay.pool_of_run(key) or task.pool)
    return slots is None or (slots not in (-1, 0) and task.pool_slots > slots)


def doomed(
    replay: Replay,
    structure: Structure,
    key: RunKey,
    unknown: Container[str] = frozenset(),
    stuck: Container[Place] = frozenset(),
) -> dict[str, bool]:
    """For each unfinished task of the run, whether it can never run as things stand: a least fixpoint.

    Of the ``unknown`` tasks the previous run is gone: it may have held them back for ever. ``stuck`` tries wait for
    runs that wait for them.
    """
    run = replay.runs[key]
    found: dict[str, bool] = {}
    at: dict[Place, bool] = {}
    for task_id, task in structure.tasks.items():
        there = run.by_index(task_id) or {UNMAPPED: Instance()}
        open_ones = {index: each.state for index, each in there.items() if each.state not in FINISHED}
        if not open_ones or not structure.part.holds(task_id):
            continue
        for indexes in [[index] for index in open_ones] if task.mapped_group else [list(open_ones)]:
            states = [open_ones[index] or TaskInstanceState.NONE for index in indexes]
            fresh = [state for state in states if state is not TaskInstanceState.UP_FOR_RESCHEDULE]
            idle = all(state in IDLE for state in fresh)
            place = task_id, indexes[0]
            never = not fresh or (idle and _can_never(replay, structure, key, place, (found, at), unknown))
            if len(fresh) < len(states):  # what has begun looks at its pool and at what it waits for alone
                waiting = [place for place in _rescheduled(run, task_id) if place[1] in indexes]
                never = never and (pool_is_small(replay, key, task) or all(place in stuck for place in waiting))
            at.update(((task_id, index), idle and never) for index in indexes)
        found[task_id] = all(at[task_id, index] for index in open_ones)
    return found


def _rescheduled(run: Run, task_id: str) -> list[Place]:
    waits = TaskInstanceState.UP_FOR_RESCHEDULE
    return [(task_id, index) for index, each in run.by_index(task_id).items() if each.state is waits]


def _waits_to_be_expanded(task: TaskSpec, found: dict[str, bool]) -> bool:
    """Whether how many instances it has will never be known, because what says so can never end."""
    over = {each.task_id for each in task.length_sources}
    return any(found.get(above, False) for above in over)


def _can_never(
    replay: Replay,
    structure: Structure,
    key: RunKey,
    place: Place,
    doomed_so_far: tuple[dict[str, bool], dict[Place, bool]],
    unknown: Container[str],
) -> bool:
    run, task, (found, at) = replay.runs[key], structure.tasks[place[0]], doomed_so_far

    def all_never(above: Iterable[str]) -> bool:
        same = {other for other in above if structure.side_by_side(task.task_id, other)}
        known = [at[other, place[1]] for other in same if (other, place[1]) in at]
        return all([*known, *(found[other] for other in above if other in found and other not in same)])

    if task.mapped_group and place[1] == UNMAPPED:  # its rule is asked once there are indexes
        return _waits_to_be_expanded(task, found)
    gate = by_branch(structure, run, place)
    if gate == SKIP:
        return False
    if gate == WAIT:
        return all_never(structure.gates[task.task_id])
    rule = by_rule(structure, run, place)
    if rule == WAIT:
        return all_never(task.upstream)
    if rule != RUN:
        return False
    untold = looks_back(task) and not replay.tells_past
    if not task.mapped_group and _waits_to_be_expanded(task, found):
        return True
    held_back = task.task_id in unknown
    return held_back or untold or past_lets(replay, structure, key, task) == FAIL or pool_is_small(replay, key, task)
