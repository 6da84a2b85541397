"""Decides what marking does: task instances, or whole runs, get an outcome that a person gives them. Nothing is run.

A running try is asked to stop and ends as marked. A closed run is judged again by its leaves in the same transaction;
one that was deadlocked, and still has something to do, opens again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from tailrace.model.keys import UNMAPPED, TaskInstanceKey
from tailrace.model.parts import WHOLE, without
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.clearing import clear_all
from tailrace.planning.commands import (
    CommandFacts,
    CommandKind,
    CommandPlan,
    NewTaskInstance,
    RunChange,
    TaskInstanceChange,
    new_task_instance,
)
from tailrace.planning.joining import cleared as part_cleared
from tailrace.planning.messages import Message
from tailrace.planning.notices import NothingToMark, StayUpstreamFailed
from tailrace.planning.refusals import DownstreamFailedBeside
from tailrace.planning.reopening import drivers, freed_runs
from tailrace.planning.run_stops import STOPPED
from tailrace.planning.selecting import by_index, instances, key_of, named_tasks, refusals, with_relatives
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot

_BAD = frozenset({TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})
_CLAIMED = frozenset({TaskInstanceState.RUNNING, TaskInstanceState.STOPPING})


class MarkRequest(Struct, frozen=True):
    """The outcome to give these tasks of each run: success, failed or skipped.

    ``task_ids`` may be ids of groups and patterns too.
    ``map_index``: of the tasks that are named, and of those in their mapped groups, only the instance of that index.
    ``downstream_failed``: what is upstream_failed below them is cleared.
    """

    state: TaskInstanceState
    task_ids: tuple[str, ...]
    map_index: int | None = None
    upstream: bool = False
    downstream: bool = False
    downstream_failed: bool = False


def _contradictions(request: MarkRequest) -> Iterator[Message]:
    """What below a mark cannot be cleared because the same command marks it, or leaves it as it is."""
    if request.downstream_failed and request.downstream:
        yield DownstreamFailedBeside("--downstream, which marks it")
    elif request.downstream_failed and request.state is TaskInstanceState.FAILED:
        yield DownstreamFailedBeside("--state failed, below which it stays as it is")


@dataclass(slots=True)
class _Marked:
    """What one run is changed by; lives inside one call."""

    run: RunSnapshot
    steps: list[TaskInstanceChange]
    created: list[NewTaskInstance]
    cleared: list[TaskInstanceChange] = field(default_factory=list)

    def states(self) -> Mapping[str, list[TaskInstanceState]]:
        """Every task's states after the command; what still stops is taken as ended."""
        after: dict[int, TaskInstanceState] = {
            step.id: step.stopping_to or step.after for step in (*self.steps, *self.cleared)
        }
        found: dict[str, list[TaskInstanceState]] = {}
        for ti in self.run.task_instances:
            now = (ti.stopping_to or ti.state) if ti.state is TaskInstanceState.STOPPING else ti.state
            found.setdefault(ti.task_id, []).append(after.get(ti.id, now))
        for new in self.created:
            found.setdefault(new.key.task_id, []).append(new.state)
        return found

    def stopped_tasks(self) -> frozenset[str]:
        """The tasks with an instance that stays skipped because the run was stopped: its work is not done."""
        changed = {step.id for step in (*self.steps, *self.cleared)}
        skipped = TaskInstanceState.SKIPPED
        stays = (ti for ti in self.run.task_instances if ti.state is skipped and ti.id not in changed)
        return frozenset(ti.task_id for ti in stays if ti.cause in STOPPED)


def plan_mark_tasks(facts: CommandFacts, request: MarkRequest) -> CommandPlan:
    """Everything that marking tasks writes. Refused when a run or task is not there."""
    named = named_tasks(facts, request.task_ids)
    refused = (*_contradictions(request), *refusals(facts, named, request.map_index))
    dag = facts.dag
    if refused or dag is None:
        return CommandPlan(CommandKind.MARK, facts.dag_id, refusals=refused)
    chosen = with_relatives(dag, named, upstream=request.upstream, downstream=request.downstream)
    indexed = frozenset() if request.map_index is None else by_index(dag, named, dag.by_id)
    marked: list[tuple[_Marked, RunChange]] = []
    for run in facts.runs:
        steps = [
            step
            for ti in instances(run, chosen, indexed, request.map_index)
            if (step := _step(facts, run, ti, request.state, "marked")) is not None
        ]
        created = _create(facts, dag, run, chosen, request.state)
        cleared = (
            _failed_below(facts, dag, run, chosen, steps, request.map_index, indexed)
            if request.downstream_failed
            else []
        )
        if not steps and not created and not cleared:
            continue
        one = _Marked(run, steps, created, cleared)
        marked.append((one, _with_part(dag, one, _judged_again(dag, one))))
    return _plan(facts, dag, marked, request)


def _failed_below(
    facts: CommandFacts,
    dag: DagSpec,
    run: RunSnapshot,
    chosen: frozenset[str],
    steps: list[TaskInstanceChange],
    map_index: int | None,
    indexed: frozenset[str],
) -> list[TaskInstanceChange]:
    """The steps that clear what is upstream_failed below the tasks that are marked; of ``indexed`` only that index."""
    below = frozenset(lower for task_id in chosen for lower in dag.descendants.get(task_id, ()))
    taken = {step.id for step in steps}
    failed = [
        ti
        for ti in instances(run, below, indexed, map_index)
        if ti.state is TaskInstanceState.UPSTREAM_FAILED and ti.id not in taken
    ]
    return [step for step in clear_all(facts, dag, run, failed) if step.id not in taken]


def plan_mark_runs(facts: CommandFacts, state: DagRunState) -> CommandPlan:
    """Everything that marking whole runs *success* or *failed* writes, as in Airflow.

    Success: what is unfinished, failed or upstream_failed becomes success. Failed: what runs becomes failed, what has
    not begun skipped. The run has its verdict at once.
    """
    refused = tuple(refusals(facts))
    dag = facts.dag
    if refused or dag is None:
        return CommandPlan(CommandKind.MARK, facts.dag_id, refusals=refused)
    marked: list[tuple[_Marked, RunChange]] = []
    for run in facts.runs:
        steps = [step for ti in run.task_instances if (step := _step_of_run(facts, run, ti, state)) is not None]
        rest = TaskInstanceState.SUCCESS if state is DagRunState.SUCCESS else TaskInstanceState.SKIPPED
        begun = run.state in CLOSED and run.task_instances
        held = frozenset(filter((run.part or WHOLE).holds, dag.by_id))
        created = [] if begun else _create(facts, dag, run, held, rest)
        if not steps and not created and run.state is state:
            continue
        one = _Marked(run, steps, created)
        change = RunChange(
            run.id, run.run_id, run.version, run.state, state, Cause.MARKED, f"marked {state}", _evidence(run)
        )
        marked.append((one, change))
    return _plan(facts, dag, marked)


def _plan(
    facts: CommandFacts, dag: DagSpec, marked: list[tuple[_Marked, RunChange]], request: MarkRequest | None = None
) -> CommandPlan:
    touched = {
        one.run.id: frozenset(
            [*(step.key.task_id for step in (*one.steps, *one.cleared)), *(new.key.task_id for new in one.created)]
        )
        for one, _ in marked
    }
    freed = list(freed_runs(facts, dag, touched, Cause.MARKED))
    changed = [(one.run, change) for one, change in marked] + freed
    open_after = [
        replace(run, state=change.after, part=change.part_of(run))
        for run, change in changed
        if change.after not in CLOSED
    ]
    notices: list[Message] = [*_left(facts, dag, marked, request), *drivers(facts, open_after)]
    if not changed:
        notices.append(NothingToMark())
    return CommandPlan(
        CommandKind.MARK,
        facts.dag_id,
        task_instances=tuple(step for one, _ in marked for step in (*one.steps, *one.cleared)),
        created=tuple(new for one, _ in marked for new in one.created),
        runs=tuple(change for _, change in changed),
        structure=facts.structure,
        wanted={run.id: run.wanted_by for run, change in changed if change.after is not change.before},
        deadlocked={found.run.id: found.run.version for found in facts.deadlocked},
        notices=tuple(notices),
    )


def _left(
    facts: CommandFacts, dag: DagSpec, marked: Iterable[tuple[_Marked, RunChange]], request: MarkRequest | None
) -> Iterable[Message]:
    """What a mark leaves as it is although it was decided by what is marked now, and what clears it."""
    if request is None or request.state is TaskInstanceState.FAILED:
        return
    for one, _ in marked:
        below = {lower for step in one.steps for lower in dag.descendants.get(step.key.task_id, ())}
        states = one.states()
        left = sorted(task_id for task_id in below if TaskInstanceState.UPSTREAM_FAILED in states.get(task_id, ()))
        if left:
            run_id, state, task_id = one.run.run_id, str(request.state), request.task_ids[0]
            yield StayUpstreamFailed(facts.dag_id, run_id, task_id, request.map_index, state, tuple(left), len(left))


def _step(
    facts: CommandFacts, run: RunSnapshot, ti: TaskInstanceSnapshot, state: TaskInstanceState, reason: str
) -> TaskInstanceChange | None:
    """The step that gives one task instance this outcome, or None where it has it."""
    stopping = TaskInstanceState.STOPPING
    if ti.state is state or (ti.state is stopping and ti.stopping_to is state):
        return None
    stops = ti.state in _CLAIMED
    return TaskInstanceChange(
        id=ti.id,
        run=run.id,
        key=key_of(facts, run, ti),
        before=ti.state,
        try_number=ti.try_number,
        after=stopping if stops else state,
        cause=Cause.MARKED,
        reason=f"{reason} {state}",
        stopping_to=state if stops else None,
    )


def _step_of_run(
    facts: CommandFacts, run: RunSnapshot, ti: TaskInstanceSnapshot, state: DagRunState
) -> TaskInstanceChange | None:
    reason = f"its run was marked {state}:"
    if state is DagRunState.SUCCESS:
        good = ti.state in FINISHED and ti.state not in _BAD
        return None if good else _step(facts, run, ti, TaskInstanceState.SUCCESS, reason)
    if ti.state in FINISHED:
        return None
    has_begun = ti.state in _CLAIMED or ti.state is TaskInstanceState.UP_FOR_RESCHEDULE
    ends = TaskInstanceState.FAILED if has_begun else TaskInstanceState.SKIPPED
    return _step(facts, run, ti, ends, reason)


def _create(
    facts: CommandFacts, dag: DagSpec, run: RunSnapshot, chosen: frozenset[str], state: TaskInstanceState
) -> list[NewTaskInstance]:
    """The chosen task instances that the run lacks, because it has not begun or its DAG has grown."""
    there = {ti.task_id for ti in run.task_instances}
    return [
        new_task_instance(
            task,
            run.id,
            TaskInstanceKey(facts.dag_id, run.run_id, task.task_id, UNMAPPED),
            state=state,
            reason=f"marked {state}",
        )
        for task in dag.tasks
        if task.task_id in chosen and task.task_id not in there
    ]


def _judged_again(dag: DagSpec, one: _Marked) -> RunChange:
    """What becomes of the run: an open one is judged by its job; a closed one here, by its leaves."""
    run = one.run
    after, reason, evidence, cause = run.state, "marked", None, Cause.MARKED
    if one.cleared and run.state in CLOSED:
        after, reason, cause = DagRunState.QUEUED, "what failed below a mark was cleared", Cause.CLEARED
    elif run.state in CLOSED and run.state is not DagRunState.CANCELLED:
        states = one.states()
        evidence = _evidence(run)
        if any(state not in FINISHED for found in states.values() for state in found):
            if run.state is DagRunState.DEADLOCKED:
                after, reason = DagRunState.QUEUED, "a mark may have lifted what blocked it"
        else:
            stopped = one.stopped_tasks()
            leaves = without(dag, (run.part or WHOLE).cut).leaves
            bad = [each for each in sorted(leaves) if _BAD & set(states.get(each, ())) or each in stopped]
            after = DagRunState.FAILED if bad else DagRunState.SUCCESS
            reason = f"judged again after a mark: {', '.join(bad)} failed" if bad else "judged again after a mark"
    alone = after is DagRunState.QUEUED and not run.wanted_by
    return RunChange(run.id, run.run_id, run.version, run.state, after, cause, reason, evidence, to_schedulers=alone)


def _with_part(dag: DagSpec, one: _Marked, change: RunChange) -> RunChange:
    """What is cleared below a mark is done in the run."""
    if not one.cleared or one.run.part is None:
        return change
    part = part_cleared(dag, one.run, {step.key.task_id for step in one.cleared})
    return replace(change, part=part, sets_part=part != one.run.part)


def _evidence(run: RunSnapshot) -> Mapping[int, TaskInstanceState]:
    return {ti.id: ti.state for ti in run.task_instances}
