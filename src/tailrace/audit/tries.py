"""Checks of one task-instance row: is the step legal, was it justified, and is it the try's own?"""

from collections.abc import Iterator

from tailrace.audit.dependencies import by_branch, by_rule, states_above
from tailrace.audit.expansions import check_expanded, check_expansion
from tailrace.audit.past import HELD, check_past
from tailrace.audit.records import HistoryRecord, Violation
from tailrace.audit.replay import Replay, groups_of, name_of, place_of
from tailrace.audit.rules import FAIL, RUN, SKIP, WAIT
from tailrace.audit.stops import check_ended
from tailrace.audit.structure import Structure
from tailrace.model.states import CLAIMED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Actor, Cause, task_instance_may

#: The third lost try fails the task instance.
MOST_LOST = 3

#: A skip may be decided whatever the previous run has decided, not before it has.
_OVERTAKING = {WAIT: "skipped before it had decided"}

#: By what a planner lets something be done in a run.
_OF_PART = frozenset(
    {
        *(Cause.CREATED, Cause.REPROCESS, Cause.DEPENDENCIES_MET, Cause.EXPANDED),
        *(Cause.TRIGGER_RULE, Cause.BRANCH, Cause.REMOVED_FROM_DAG),
    }
)

_ENDS_OF_STOPPING = (
    TaskInstanceState.NONE,
    TaskInstanceState.SUCCESS,
    TaskInstanceState.FAILED,
    TaskInstanceState.SKIPPED,
)


def check_task_instance(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Everything wrong with one step, looked at in the world before it."""
    yield from _chain(replay, row)
    yield from _try(replay, row)
    yield from _stopping(replay, row)
    yield from check_ended(replay, row)
    stray = row.before == TaskInstanceState.STOPPING  # its run may be over: only its slot is given back
    if (row.actor == Actor.PLANNER and not stray) or row.cause == Cause.CLAIMED:
        state = replay.run(row).state
        if state is not DagRunState.RUNNING:
            yield _found("active run", row, f"{row.before} → {row.after} while its run was {state}")
    structure = replay.structure(row)
    if structure is None or row.task_id not in structure.tasks:
        return
    yield from _budget(replay, row)
    if row.actor == Actor.PLANNER and row.cause in _OF_PART and not structure.part.holds(row.task_id):
        yield _found("part", row, f"{row.before} → {row.after} for {row.cause}, and its run does other tasks alone")
    if row.cause == Cause.DEPENDENCIES_MET:
        yield from _start(replay, row, structure)
        yield from check_expanded(replay, row, structure)
    elif row.cause == Cause.EXPANDED:
        yield from check_expansion(replay, row, structure)
        wrong = _OVERTAKING if row.after == TaskInstanceState.SKIPPED else {}
        yield from check_past(replay, row, structure, wrong)
    elif row.cause == Cause.TRIGGER_RULE:
        yield from _by_rule(replay, row, structure)
    elif row.cause == Cause.BRANCH:
        yield from _by_branch(replay, row, structure)


def check_limits(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Every limit that a newly queued task instance counts against, looked at in the world after it."""
    if row.after != TaskInstanceState.QUEUED:
        return
    yield from _pool(replay, row)
    structure = replay.structure(row)
    task = None if structure is None else structure.tasks.get(row.task_id or "")
    if structure is None or task is None:
        return
    limits = (
        ("max_active_tasks", structure.dag.max_active_tasks),
        ("max_active_tis_per_dag", task.max_active_tis_per_dag),
        ("max_active_tis_per_dagrun", task.max_active_tis_per_dagrun),
    )
    for (name, limit), group in zip(limits, groups_of(row), strict=True):
        if limit is not None and replay.active[group] > limit:
            yield _found(name, row, f"{replay.active[group]} active, the limit is {limit}")


def _pool(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """The pool that it was queued into was there and had room, as large as it was then."""
    held = replay.instance(row).held
    if held is None:
        replay.untold["task instances queued by a structure that is not known"] += 1
        return
    name, _ = held
    if name not in replay.pools:
        replay.untold[f"task instances queued into pool {name} before its size was recorded"] += 1
        return
    slots, taken = replay.pools[name], replay.pool_slots[name]
    if slots is None:
        yield _found("pool", row, f"queued into pool {name}, which had been deleted")
    elif slots != -1 and taken > slots:
        yield _found("pool", row, f"{taken} of {slots} slots of pool {name} taken")


def check_refused(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """A result that was refused was not the holder's."""
    instance = replay.run(row).instances.get(place_of(row))
    if instance is None or (row.try_number, row.token) != (instance.try_number, instance.token):
        return
    if instance.state in CLAIMED:
        yield _found("refused", row, f"the result of try {row.try_number} was refused although it held the token")
    elif instance.reported:
        yield _found(
            "refused", row, f"the result of try {row.try_number} was refused: another had been accepted for it"
        )


def _chain(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    was = replay.instance(row).state
    if was != row.before:
        yield _found("chain", row, f"it was {was}, the row says {row.before} → {row.after}")
    if row.before is None:
        by_somebody = row.actor in (Actor.PLANNER, Actor.PERSON)
        expanded = (row.actor, row.cause) == (Actor.PLANNER, Cause.EXPANDED)
        if row.after != TaskInstanceState.NONE or not (expanded or (row.cause == Cause.CREATED and by_somebody)):
            yield _found("transition", row, f"created {row.after} by {row.actor} for {row.cause}")
        return
    step = (TaskInstanceState(row.before), TaskInstanceState(row.after), Actor(row.actor), Cause(row.cause))
    if not task_instance_may(*step):
        yield _found("transition", row, f"{row.before} → {row.after} by {row.actor} for {row.cause}")


def _stopping(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Whoever stops a try says where it ends, and there it ends, whatever its process still did."""
    if row.after == TaskInstanceState.STOPPING:
        ends = None if row.evidence is None else row.evidence.stopping_to
        if ends not in _ENDS_OF_STOPPING:
            yield _found("stopping", row, f"stopped on the way to {ends}")
    elif row.before == TaskInstanceState.STOPPING:
        wanted = replay.instance(row).stopping_to
        if row.after != wanted:
            yield _found("stopping", row, f"whoever stopped it wanted it to end {wanted}, it ended {row.after}")


def _try(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """Numbers grow by one, unless a try goes on; each is claimed once each time that it is queued, tokens only grow,
    and whoever ends a try, or its stay in a worker, holds it.
    """
    instance = replay.instance(row)
    waits = TaskInstanceState.UP_FOR_RESCHEDULE
    if row.cause == Cause.RESUMED or row.after == waits:
        if row.try_number != instance.try_number:
            text = f"try {row.try_number} went on, or was to, after try {instance.try_number}"
            yield _found("try number", row, text)
    elif row.after == TaskInstanceState.QUEUED:
        if row.try_number != instance.try_number + 1:
            yield _found("try number", row, f"try {row.try_number} was queued after try {instance.try_number}")
    elif row.cause == Cause.CLAIMED:
        if row.before != TaskInstanceState.QUEUED or instance.state is not TaskInstanceState.QUEUED:
            yield _found("claim", row, f"try {row.try_number} was claimed while it was {instance.state}")
        if row.try_number != instance.try_number:
            yield _found("claim", row, f"try {row.try_number} was claimed, try {instance.try_number} was queued")
        if row.token is None or row.token <= instance.token:
            yield _found("token", row, f"token {row.token} does not grow beyond {instance.token}")
    if row.cause != Cause.CLAIMED and instance.state in CLAIMED and row.actor != Actor.PERSON:
        held = (instance.try_number, instance.token)
        if (row.try_number, row.token) != held:
            text = f"try {row.try_number} with token {row.token} ended, try {held[0]} with token {held[1]} was running"
            yield _found("outcome", row, text)


def _budget(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    instance = replay.instance(row)
    retries = replay.retries(row)
    if row.cause == Cause.RETRY and instance.retried >= retries:
        yield _found("retries", row, f"retried {instance.retried + 1} times, the task has {retries} retries")
    if row.cause != Cause.LOST or row.before != TaskInstanceState.RUNNING:
        return
    used_up = instance.lost + 1 >= MOST_LOST
    if used_up != (row.after == TaskInstanceState.FAILED):
        yield _found("lost tries", row, f"{row.after} after {instance.lost + 1} lost tries, {MOST_LOST} fail it")


def _start(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    place, run = place_of(row), replay.run(row)
    task = structure.tasks[place[0]]
    gate = by_branch(structure, run, place)
    if gate != RUN:
        word = "a branch above leaves it out" if gate == SKIP else "a branch above had not decided"
        yield _found("start", row, f"queued although {word}")
    rule = by_rule(structure, run, place)
    if rule != RUN:
        states = ", ".join(states_above(structure, run, place))
        yield _found("start", row, f"queued under {task.trigger_rule} over {states}, which gives {rule}")
    yield from check_past(replay, row, structure, dict.fromkeys((WAIT, HELD, FAIL), "queued, and it did not let it"))


def _by_branch(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    if by_branch(structure, replay.run(row), place_of(row)) != SKIP:
        yield _found("branch", row, "skipped by a branch, and no branch above left it out")
    yield from check_past(replay, row, structure, _OVERTAKING)


def _by_rule(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    place, run = place_of(row), replay.run(row)
    task = structure.tasks[place[0]]
    expected = {TaskInstanceState.SKIPPED.value: SKIP, TaskInstanceState.UPSTREAM_FAILED.value: FAIL}.get(row.after)
    verdict = by_rule(structure, run, place)
    if verdict != expected:
        states = ", ".join(states_above(structure, run, place))
        yield _found("trigger rule", row, f"{row.after} under {task.trigger_rule} over {states}, which gives {verdict}")
    elif by_branch(structure, run, place) != RUN:
        yield _found("trigger rule", row, f"{row.after} by its rule before the branches above had decided")
    if row.after == TaskInstanceState.SKIPPED:
        yield from check_past(replay, row, structure, _OVERTAKING)


def _found(check: str, row: HistoryRecord, text: str) -> Violation:
    return Violation(check, name_of(row), text, row.id)
