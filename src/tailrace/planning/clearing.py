"""Decides what clearing does: task instances go back to *none* with a fresh retry budget, closed runs open again.

A running try is not taken away, it is asked to stop: it keeps slot and token until its worker acknowledges. Whatever
number it had, the next try has a new one.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from tailrace.model.parts import WHOLE
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.choosing import Choice
from tailrace.planning.choosing import chosen as chosen_part
from tailrace.planning.commands import (
    CommandFacts,
    CommandKind,
    CommandPlan,
    RunChange,
    TaskInstanceChange,
)
from tailrace.planning.expanded import reset_for_expansion
from tailrace.planning.joining import cleared as part_cleared
from tailrace.planning.joining import not_succeeded
from tailrace.planning.messages import Message
from tailrace.planning.notices import NothingToClear
from tailrace.planning.notices import left_out as notices_of
from tailrace.planning.reopening import drivers, freed_runs
from tailrace.planning.run_stops import STOPPED
from tailrace.planning.selecting import by_index, instances, key_of, named_tasks, refusals, with_relatives
from tailrace.planning.snapshot import RunSnapshot, TaskInstanceSnapshot

_FAILURES = frozenset({TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})
_REASON = "cleared"


class ClearRequest(Struct, frozen=True):
    """What is to be cleared in each run: these tasks (none named: all) with what is below and above them.

    ``task_ids`` may be ids of groups and patterns too.
    ``map_index``: of the tasks that are named, and of those in their mapped groups, only the instance of that index.
    ``only_failed`` leaves out all but what
    failed, is upstream_failed, or was skipped by its rule below a failure or because its run was stopped.
    """

    task_ids: tuple[str, ...] = ()
    map_index: int | None = None
    upstream: bool = False
    downstream: bool = True
    only_failed: bool = False
    choice: Choice | None = None  # these tasks alone, as a part: those left out are not waited for


def plan_clear(facts: CommandFacts, request: ClearRequest) -> CommandPlan:
    """Everything that clearing writes. Refused when a run or task is not there; raises Refused for no part."""
    request = replace(request, task_ids=named_tasks(facts, request.task_ids))
    refused = tuple(refusals(facts, request.task_ids, request.map_index))
    dag = facts.dag
    if refused or dag is None:
        return CommandPlan(CommandKind.CLEAR, facts.dag_id, refusals=refused)
    part = None if request.choice is None else chosen_part(dag, request.choice)
    chosen = None if part is None else frozenset(part)
    if request.task_ids:
        chosen = with_relatives(dag, request.task_ids, upstream=request.upstream, downstream=request.downstream)
    one = by_index(dag, request.task_ids, chosen or ()) if request.map_index is not None else frozenset()
    changes: list[TaskInstanceChange] = []
    left_out: list[Iterable[str]] = []
    touched: dict[int, frozenset[str]] = {}
    named: list[tuple[RunSnapshot, RunChange]] = []
    for run in facts.runs:
        selected = list(instances(run, chosen, one, request.map_index))
        if request.only_failed:
            selected = _failed(dag, selected)
        steps = [step for ti in selected if (step := _step(facts, dag, run, ti)) is not None]
        steps += _reset_for_expansion(facts, dag, run, one, steps)
        whole = chosen is None and not request.only_failed
        change = _run_change(run, selected, bool(steps), whole=whole)
        if change is None:
            continue
        change = _with_part(dag, run, change, selected, part, whole=whole)
        changes += steps
        touched[run.id] = frozenset(ti.task_id for ti in selected)
        named.append((run, change))
        left_out.append(not_succeeded(dag, chosen, run, touched[run.id]) if part is not None else ())
    named += freed_runs(facts, dag, touched, Cause.CLEARED)
    return _plan(facts, tuple(changes), named, tuple(notices_of(left_out)))


def _plan(
    facts: CommandFacts,
    changes: tuple[TaskInstanceChange, ...],
    named: list[tuple[RunSnapshot, RunChange]],
    left_out: tuple[Message, ...],
) -> CommandPlan:
    open_after = [replace(run, state=change.after, part=change.part_of(run)) for run, change in named]
    notices: tuple[Message, ...] = (*left_out, *drivers(facts, open_after)) if named else (NothingToClear(),)
    return CommandPlan(
        CommandKind.CLEAR,
        facts.dag_id,
        task_instances=changes,
        runs=tuple(change for _, change in named),
        structure=facts.structure,
        wanted={run.id: run.wanted_by for run, change in named if change.after is not change.before},
        deadlocked={found.run.id: found.run.version for found in facts.deadlocked},
        notices=notices,
    )


def _failed(dag: DagSpec, selected: list[TaskInstanceSnapshot]) -> list[TaskInstanceSnapshot]:
    failed = {ti.task_id for ti in selected if ti.state in _FAILURES}
    below = {task_id for failure in failed for task_id in dag.descendants.get(failure, ())}

    def caused(ti: TaskInstanceSnapshot) -> bool:
        if ti.state is not TaskInstanceState.SKIPPED:
            return False
        return ti.cause in STOPPED or (ti.cause is Cause.TRIGGER_RULE and ti.task_id in below)

    return [ti for ti in selected if ti.state in _FAILURES or caused(ti)]


def _reset_for_expansion(
    facts: CommandFacts, dag: DagSpec, run: RunSnapshot, one: frozenset[str], steps: list[TaskInstanceChange]
) -> list[TaskInstanceChange]:
    """What has not begun of mapped tasks that are expanded anew by this; of those in ``one`` one index is cleared."""
    cleared = {step.id: step.key.task_id for step in steps}
    whole = frozenset(cleared.values()) - one
    return [_back(facts, dag, run, ti) for ti in reset_for_expansion(dag, run.task_instances, cleared, whole)]


def clear_all(
    facts: CommandFacts, dag: DagSpec, run: RunSnapshot, wanted: list[TaskInstanceSnapshot]
) -> list[TaskInstanceChange]:
    """The steps that clear these task instances, and reset what they expand."""
    steps = [step for ti in wanted if (step := _step(facts, dag, run, ti)) is not None]
    cleared = {step.id: step.key.task_id for step in steps}
    reset = reset_for_expansion(dag, run.task_instances, cleared, frozenset(cleared.values()))
    return steps + [_back(facts, dag, run, ti) for ti in reset]


def _step(facts: CommandFacts, dag: DagSpec, run: RunSnapshot, ti: TaskInstanceSnapshot) -> TaskInstanceChange | None:
    """The step of one task instance, or None where there is nothing to take back."""
    none, stopping = TaskInstanceState.NONE, TaskInstanceState.STOPPING
    if ti.state is none or (ti.state is stopping and ti.stopping_to is none):
        return None
    return _back(facts, dag, run, ti)


def _back(facts: CommandFacts, dag: DagSpec, run: RunSnapshot, ti: TaskInstanceSnapshot) -> TaskInstanceChange:
    none, stopping = TaskInstanceState.NONE, TaskInstanceState.STOPPING
    stops = ti.state in (TaskInstanceState.RUNNING, stopping)
    task = dag.by_id.get(ti.task_id)
    return TaskInstanceChange(
        id=ti.id,
        run=run.id,
        key=key_of(facts, run, ti),
        before=ti.state,
        try_number=ti.try_number,
        after=stopping if stops else none,
        cause=Cause.CLEARED,
        reason=_REASON,
        stopping_to=none if stops else None,
        max_tries=ti.try_number + (task.retries if task is not None else 0) + 1,
        fresh=True,
    )


def _with_part(
    dag: DagSpec,
    run: RunSnapshot,
    change: RunChange,
    selected: list[TaskInstanceSnapshot],
    tasks: tuple[str, ...] | None,
    *,
    whole: bool,
) -> RunChange:
    """What is done in the run from now on: cleared as a whole, all of it."""
    opens = run.state in CLOSED
    touched = {ti.task_id for ti in selected if opens or ti.state is not TaskInstanceState.NONE}
    if whole:
        part = WHOLE if run.wanted_in_part or run.part is not None else None
    else:
        part = part_cleared(dag, run, touched, None if tasks is None else frozenset(tasks))
    return replace(change, part=part, sets_part=part != run.part)


def _run_change(
    run: RunSnapshot, selected: list[TaskInstanceSnapshot], steps: bool, *, whole: bool
) -> RunChange | None:
    """A closed run opens again if anything of it is to run; an open one only shows others that it changed."""
    if run.state not in CLOSED:
        if not steps:
            return None
        return RunChange(run.id, run.run_id, run.version, run.state, run.state, Cause.CLEARED, _REASON)
    unfinished = any(ti.state not in FINISHED for ti in selected) or (whole and run.state is DagRunState.CANCELLED)
    if not steps and not unfinished:
        return None
    return RunChange(
        run.id,
        run.run_id,
        run.version,
        run.state,
        DagRunState.QUEUED,
        Cause.CLEARED,
        _REASON,
        to_schedulers=not run.wanted_by,
    )
