"""What a DAG's structure says about its tasks, worked out a second time: who may exclude whom, who is below whom."""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from tailrace.audit.parts import WHOLE, Part, cut_edges
from tailrace.model.spec import BranchKind, DagSpec, TaskSpec


class Structure:
    """A DAG as the checks need it; of a run in which a ``part`` of it is done, without the edges that are cut."""

    def __init__(self, dag: DagSpec, part: Part = WHOLE) -> None:
        self.dag, self.part = dag, part
        self.tasks: dict[str, TaskSpec] = {task.task_id: _uncut(task, part) for task in dag.tasks}
        self._below = {task_id: frozenset(_walk(self.tasks, task_id)) for task_id in self.tasks}
        self.gates: dict[str, tuple[str, ...]] = {
            task_id: tuple(other.task_id for other in self.tasks.values() if self._decides_over(other, task_id))
            for task_id in self.tasks
        }
        self.leaves = tuple(task_id for task_id in self.tasks if not self._below[task_id])

    def excluded(self, task_id: str, followed: Sequence[str] | None) -> bool:
        """Whether a gate above the task that followed these leaves it out; None means that it left out nothing.

        What lies below a followed task too is not left out: another way of the same branch leads there.
        """
        if followed is None:
            return False
        return all(task_id != way and task_id not in self._below.get(way, ()) for way in followed)

    def side_by_side(self, task_id: str, other: str) -> bool:
        """Whether both are in one mapped group."""
        group = self.tasks[task_id].mapped_group
        return bool(group) and other in self.tasks and self.tasks[other].mapped_group == group

    def in_group(self, mapped_group: str) -> tuple[str, ...]:
        """The tasks of a mapped group."""
        return tuple(each for each, task in self.tasks.items() if mapped_group and task.mapped_group == mapped_group)

    def _decides_over(self, gate: TaskSpec, task_id: str) -> bool:
        match gate.decides:
            case BranchKind.NOTHING:
                return False
            case BranchKind.SHORT_CIRCUIT:
                return task_id in self._below[gate.task_id]
            case BranchKind.BRANCH | BranchKind.SHORT_CIRCUIT_DIRECT:
                return task_id in gate.downstream


def _uncut(task: TaskSpec, part: Part) -> TaskSpec:
    if not part.cut:
        return task
    return replace(
        task,
        upstream=tuple(cut_edges(task.upstream, task.task_id, part.cut, above=True)),
        downstream=tuple(cut_edges(task.downstream, task.task_id, part.cut, above=False)),
    )


def _walk(tasks: dict[str, TaskSpec], task_id: str) -> Iterator[str]:
    seen: set[str] = set()
    front = list(tasks[task_id].downstream)
    while front:
        reached = front.pop()
        if reached in tasks and reached not in seen:
            seen.add(reached)
            yield reached
            front.extend(tasks[reached].downstream)
