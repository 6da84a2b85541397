"""How a backfill, of a whole DAG or of a part of it, joins what a run has done and is to do. Decides nothing else.

Whoever wants a task instance of an open run first says which of the edges above it count: a later backfill that would
have it wait for a task which that one left out is refused. What ended before is left as it is, and so is what was cut
around it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from tailrace.model.keys import RunType, task_to_clear
from tailrace.model.parts import WHOLE, BackfillPart, Edge, RunPart, begun, state_of_part
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, FINISHED, DagRunState, TaskInstanceState
from tailrace.planning.run_stops import STOPPED
from tailrace.planning.snapshot import RunSnapshot

Part = frozenset[str] | None


class Say(Struct, frozen=True):
    """Who else has a say in what is done in a run: nobody where it is ``free``, since it is closed, or waits for a
    backfill that has ended; no backfill where only ``others`` are, the schedule or a person.
    """

    free: bool = True
    others: bool = False


def say_of(run: RunSnapshot, continues: int | None = None) -> Say:
    """Who has it, beside the backfill that is continued."""
    wanted = any(id != continues for id in run.wanted_by)
    waits = run.state is DagRunState.QUEUED and run.run_type is RunType.BACKFILL and not run.live
    return Say(run.state in CLOSED or (waits and not wanted), wanted)


def joined(
    dag: DagSpec, part: Part, run: RunSnapshot, clear: Collection[str], say: Say
) -> tuple[RunPart | None, frozenset[str]]:
    """What is done in a run that exists from now on, and which tasks are done only because of this.

    ``clear`` is what is to be cleared in it.
    """
    if part is None and run.part is None:
        return (WHOLE if run.wanted_in_part else None), frozenset()
    base = run.part or WHOLE
    cleared = {task_to_clear(each) for each in clear}
    scope = [task.task_id for task in dag.tasks if part is None or task.task_id in part]
    busy = frozenset() if say.free else in_work(dag, run)
    states = states_by_task(run)
    again = frozenset(
        task_id
        for task_id in scope
        if task_id not in busy and (task_id in cleared or not FINISHED.issuperset(states.get(task_id, (None,))))
    )
    cut = _begun(dag, base, part, again, busy)
    if not say.others:  # what was to be done without them by nobody's backfill waits for them from now on
        cut = tuple(edge for edge in cut if edge[1] not in busy or not set(scope).issuperset(edge))
    tasks: tuple[str, ...] | None = None
    if part is not None and (say.free or base.tasks is not None):
        held = part if say.free else part.union(base.tasks or ())
        tasks = tuple(sorted(held))
    return RunPart(tasks, cut), again  # though it is whole now: how it ended for backfills of parts goes on to be told


def _begun(dag: DagSpec, base: RunPart, part: Part, again: Collection[str], busy: Collection[str]) -> tuple[Edge, ...]:
    """The edges that are cut once these are done again; what is ``busy`` below them goes on to wait for them."""
    return tuple(edge for edge in begun(dag, base, part, again) if edge in base.cut or edge[1] not in busy)


def cleared(dag: DagSpec, run: RunSnapshot, tasks: Iterable[str], part: Part = None) -> RunPart | None:
    """What is done in a run once a person has cleared these tasks of it, as a ``part`` or not.

    Not as a part, a closed run goes on with all that it has; an edge that is cut counts again where both its ends are
    cleared.
    """
    touched, base = frozenset(tasks), run.part or WHOLE
    if run.part is None and part is None:
        return None
    closed = run.state in CLOSED
    held: frozenset[str] | None = None
    if part is not None and closed:
        held = part
    elif base.tasks is not None:
        there = states_by_task(run) if closed else ()
        held = touched.union(base.tasks, there, part or ())
    if held is not None and held.issuperset(dag.by_id):
        held = None
    if part is None:
        cut = tuple(edge for edge in base.cut if not touched.issuperset(edge))
    else:
        busy = frozenset() if closed else in_work(dag, run) - touched
        cut = _begun(dag, base, part, touched, busy)
    return RunPart(None if held is None else tuple(sorted(held)), cut)


def in_work(dag: DagSpec, run: RunSnapshot) -> frozenset[str]:
    """The tasks that an open run has still to do, or is doing, without anybody's new wish."""
    base, states = run.part or WHOLE, states_by_task(run)
    cleared = {task_to_clear(each) for each in run.to_clear}
    return frozenset(
        task.task_id
        for task in dag.tasks
        if base.holds(task.task_id)
        and (task.task_id in cleared or not FINISHED.issuperset(states.get(task.task_id, (None,))))
    )


def waits_differently(dag: DagSpec, part: Part, run: RunSnapshot, again: Collection[str]) -> bool:
    """Whether something that the open run has still to do would wait for a task which was left out for it.

    What has succeeded and is not done ``again`` is no obstacle, left out or not.
    """
    if run.part is None:
        return False
    busy, states = in_work(dag, run), states_by_task(run)
    well = {task_id for task_id, found in states.items() if set(found) == {TaskInstanceState.SUCCESS}}.difference(again)
    return any(
        below in busy and above not in well and (part is None or (above in part and below in part))
        for above, below in run.part.cut
    )


def awaits_more(dag: DagSpec, part: Part, run: RunSnapshot, after: RunPart | None) -> bool:
    """Whether a task of the part waits, in an open run, for one that the part leaves out."""
    if part is None or run.state in CLOSED:
        return False
    cut = frozenset(after.cut) if after is not None else frozenset()
    busy = in_work(dag, run)
    return any(
        above not in part and (above, task_id) not in cut
        for task_id in part & busy
        for above in dag.by_id[task_id].upstream
    )


def not_succeeded(dag: DagSpec, part: Part, run: RunSnapshot | None, again: Iterable[str]) -> Iterator[str]:
    """The tasks directly above what is done that the part leaves out, and that have not succeeded in the run."""
    if part is None:
        return
    states = {} if run is None else states_by_task(run)
    for above in sorted({above for task_id in again for above in dag.by_id[task_id].upstream} - part):
        found = [each for each in states.get(above, ()) if each is not TaskInstanceState.REMOVED]
        if not found or any(each is not TaskInstanceState.SUCCESS for each in found):
            yield above


def left_as(part: BackfillPart, run: RunSnapshot) -> DagRunState:
    """How the part of a closed run has ended; what stops in it ends as it was stopped to."""
    states: dict[str, list[TaskInstanceState]] = {}
    for ti in run.task_instances:
        states.setdefault(ti.task_id, []).append(ti.stopping_to or ti.state)
    return state_of_part(part, run.state, states, stopped=was_stopped(part, run))


def was_stopped(part: BackfillPart, run: RunSnapshot) -> bool:
    """Whether something of the part was ended because its run was."""
    return any(ti.cause in STOPPED and ti.task_id in part.tasks for ti in run.task_instances)


def states_by_task(run: RunSnapshot) -> Mapping[str, list[TaskInstanceState]]:
    """The states of the run's task instances, by task."""
    found: dict[str, list[TaskInstanceState]] = {}
    for ti in run.task_instances:
        found.setdefault(ti.task_id, []).append(ti.state)
    return found
