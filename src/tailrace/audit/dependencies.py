"""Whether a task instance could run, had to be skipped, or never can, as a run stood at one moment.

A second opinion: written from what the rules mean, not from the planner.
"""

from collections.abc import Container

from tailrace.audit.past import looks_back, past_lets
from tailrace.audit.replay import Place, Replay, Run, RunKey
from tailrace.audit.rules import FAIL, RUN, SKIP, WAIT, outcome
from tailrace.audit.structure import Structure
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, IDLE, TaskInstanceState


def by_branch(structure: Structure, run: Run, task_id: str) -> str:
    """SKIP if a gate above leaves the task out, WAIT while a gate above is open, else RUN."""
    open_gates = False
    for gate in structure.gates[task_id]:
        instances = run.of_task(gate)
        open_gates = open_gates or not instances
        for instance in instances:
            open_gates = open_gates or instance.state not in FINISHED
            succeeded = instance.state is TaskInstanceState.SUCCESS
            if succeeded and structure.excluded(task_id, instance.followed):
                return SKIP
    return WAIT if open_gates else RUN


def by_rule(structure: Structure, run: Run, task_id: str) -> str:
    """What the trigger rule makes of the states above."""
    task = structure.tasks[task_id]
    return outcome(task.trigger_rule, run.upstream(task.upstream))


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
    for task_id in structure.tasks:
        unfinished = [state for state in run.states(task_id) if state not in FINISHED]
        if unfinished and structure.part.holds(task_id):
            fresh = [state for state in unfinished if state is not TaskInstanceState.UP_FOR_RESCHEDULE]
            idle = all(state in IDLE for state in fresh)
            held_back = task_id in unknown
            never = not fresh or (idle and _can_never(replay, structure, key, task_id, found, held_back=held_back))
            if len(fresh) < len(unfinished):  # what has begun looks at its pool and at what it waits for alone
                small = pool_is_small(replay, key, structure.tasks[task_id])
                never = never and (small or all(place in stuck for place in _rescheduled(run, task_id)))
            found[task_id] = idle and never
    return found


def _rescheduled(run: Run, task_id: str) -> list[Place]:
    waits = TaskInstanceState.UP_FOR_RESCHEDULE
    return [(task_id, index) for index, each in run.by_index(task_id).items() if each.state is waits]


def _waits_to_be_expanded(task: TaskSpec, found: dict[str, bool]) -> bool:
    """Whether how many instances it has will never be known, because what says so can never end."""
    over = {each.task_id for each in task.length_sources}
    return any(found.get(above, False) for above in over)


def _can_never(
    replay: Replay, structure: Structure, key: RunKey, task_id: str, found: dict[str, bool], *, held_back: bool
) -> bool:
    run, task = replay.runs[key], structure.tasks[task_id]
    gate = by_branch(structure, run, task_id)
    if gate == SKIP:
        return False
    if gate == WAIT:
        return all(found[above] for above in structure.gates[task_id] if above in found)
    rule = by_rule(structure, run, task_id)
    if rule == WAIT:
        return all(found[above] for above in task.upstream if above in found)
    if rule != RUN:
        return False
    untold = looks_back(task) and not replay.tells_past
    if _waits_to_be_expanded(task, found):
        return True
    return held_back or untold or past_lets(replay, structure, key, task) == FAIL or pool_is_small(replay, key, task)
