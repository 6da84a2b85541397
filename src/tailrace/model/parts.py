"""A part of a DAG: some of its tasks, done by themselves. What a run keeps of the parts that were done in it.

A part **cuts** the edges that cross its border: into it, since what stands above is not waited for; and out of it,
since what stands below is not done after it. Everything else about a run follows from the DAG without the edges that
are cut: what a task waits for, which branch is above it, by which leaves the run is judged.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from tailrace.model.spec import DagSpec, TaskSpec
from tailrace.model.states import FINISHED, OCCUPYING, DagRunState, TaskInstanceState

#: An edge, by the task above and the task below.
Edge = tuple[str, str]

_BAD = frozenset({TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})


class RunPart(Struct, frozen=True, omit_defaults=True):
    """What parts have made of a run: the ``tasks`` that are done in it while it is open (None: all), sorted, and the
    edges that are cut, since one end of each was done without the other.
    """

    tasks: tuple[str, ...] | None = None
    cut: tuple[Edge, ...] = ()

    def holds(self, task_id: str) -> bool:
        """Whether the task is done in the run while it is open."""
        return self.tasks is None or task_id in self.tasks


#: Of a run that is done whole.
WHOLE = RunPart()


class BackfillPart(Struct, frozen=True):
    """The tasks of a backfill that is a part of its DAG, and those of them that nothing in it is below: its leaves."""

    tasks: tuple[str, ...]
    leaves: tuple[str, ...]


def part_of(dag: DagSpec, tasks: Iterable[str]) -> BackfillPart:
    """These tasks as a part, in the DAG's order."""
    chosen = frozenset(tasks)
    held = [task for task in dag.tasks if task.task_id in chosen]
    leaves = tuple(task.task_id for task in held if chosen.isdisjoint(task.downstream))
    return BackfillPart(tuple(task.task_id for task in held), leaves)


def restricted(dag: DagSpec, tasks: Collection[str] | None) -> DagSpec:
    """The DAG with these tasks alone, and the edges between them; the DAG itself for None."""
    if tasks is None:
        return dag
    held = frozenset(tasks)
    return replace(dag, tasks=tuple(_between(task, held) for task in dag.tasks if task.task_id in held))


def _between(task: TaskSpec, held: frozenset[str]) -> TaskSpec:
    return replace(
        task,
        upstream=tuple(each for each in task.upstream if each in held),
        downstream=tuple(each for each in task.downstream if each in held),
    )


def without(dag: DagSpec, cut: tuple[Edge, ...]) -> DagSpec:
    """The DAG without these edges; itself where there are none. Kept with the DAG: asked for at every step."""
    if not cut:
        return dag
    known: dict[tuple[Edge, ...], DagSpec] = dag.__dict__.setdefault("_without", {})
    if cut not in known:
        edges = frozenset(cut)
        tasks = tuple(
            replace(
                task,
                upstream=tuple(each for each in task.upstream if (each, task.task_id) not in edges),
                downstream=tuple(each for each in task.downstream if (task.task_id, each) not in edges),
            )
            for task in dag.tasks
        )
        known[cut] = replace(dag, tasks=tasks)
    return known[cut]


def ignored(dag: DagSpec, part: RunPart, states: Mapping[str, Collection[TaskInstanceState]]) -> tuple[Edge, ...]:
    """The edges of a run that do not count: those that are cut, and those from tasks which are not done in it and have
    no outcome there (their DAG has got them since): nothing would ever come of waiting for them.
    """
    if part.tasks is None:
        return part.cut
    never = {task.task_id for task in dag.tasks if not part.holds(task.task_id) and _never(states.get(task.task_id))}
    more = {(above, each) for each in part.tasks if each in dag.by_id for above in dag.by_id[each].upstream}
    return tuple(sorted({*part.cut, *(edge for edge in more if edge[0] in never)}))


def _never(states: Collection[TaskInstanceState] | None) -> bool:
    return not states or any(state not in FINISHED and state not in OCCUPYING for state in states)


def begun(dag: DagSpec, before: RunPart, part: Collection[str] | None, again: Collection[str]) -> tuple[Edge, ...]:
    """The edges that are cut once these tasks are done ``again`` as a part, or (None) in the whole DAG.

    What is done again waits for what stands above it in the part, whatever was cut before.
    """
    cut = {edge for edge in before.cut if edge[1] not in again}
    if part is not None:
        for task_id in again:
            task = dag.by_id[task_id]
            cut.update((above, task_id) for above in task.upstream if above not in part)
            cut.update((task_id, below) for below in task.downstream if below not in part)
    return tuple(sorted(edge for edge in cut if edge[0] in dag.by_id and edge[1] in dag.by_id))


def state_of_part(
    part: BackfillPart, run_state: DagRunState, states: Mapping[str, Collection[TaskInstanceState]], *, stopped: bool
) -> DagRunState:
    """How a closed run ended as far as a part of it is concerned: judged by the leaves of the part.

    ``states`` are those of its task instances by task; what has no outcome has ended as the run has. ``stopped``: the
    run was ended before its tasks had ended.
    """
    if any(not (found := states.get(task_id)) or not FINISHED.issuperset(found) for task_id in part.tasks):
        return run_state
    if stopped or any(_BAD.intersection(states[task_id]) for task_id in part.leaves):
        return DagRunState.FAILED
    return DagRunState.SUCCESS
