"""One run as a planning step sees it while deciding: the snapshot's states, plus what this step has already decided.

Working memory of ``planner``; made and dropped inside one call of ``plan``. Nothing outside sees it change.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tailrace.model.parts import WHOLE, Edge, ignored, without
from tailrace.model.spec import MOST_INSTANCES, DagSpec, TaskSpec
from tailrace.model.states import FINISHED, OCCUPYING, TaskInstanceState
from tailrace.planning.awaiting import NO_WAITS, Waits
from tailrace.planning.plan import Decision
from tailrace.planning.rules import Counts, count
from tailrace.planning.snapshot import PoolSnapshot, PreviousRun, RunSnapshot, TaskInstanceSnapshot


class Board:
    """A run's task instances by task id, with the state each has after what this step decided.

    ``dag`` is without the edges that are ``ignored``, since tasks are left out of the part that is done in the run.
    """

    __slots__ = (
        "_by_index",
        "_state",
        "alike",
        "by_task",
        "dag",
        "doomed",
        "ignored",
        "max_map_length",
        "part",
        "pool_sizes",
        "previous",
        "run",
        "waits",
    )

    def __init__(
        self,
        run: RunSnapshot,
        dag: DagSpec,
        previous: Mapping[str, PreviousRun],
        pools: Mapping[str, PoolSnapshot],
        waits: Mapping[int, Waits] = NO_WAITS,
        max_map_length: int = MOST_INSTANCES,
    ) -> None:
        self.run = run
        self.part = run.part or WHOLE
        self.max_map_length = max_map_length
        self.previous = previous  # by task id, for the tasks that look at one
        self.by_task: dict[str, list[TaskInstanceSnapshot]] = {}
        self.waits = waits  # by row, of the tries that have named in other runs what they wait for
        self.doomed: dict[int, Decision] = {}
        self.pool_sizes: dict[str, int | None] = {}  # of every pool its tasks use; None: there is no such pool
        for name in {run.options.pool} if run.options.pool else {task.pool for task in dag.tasks}:
            pool = pools.get(name)
            self.pool_sizes[name] = None if pool is None else pool.slots
        self._state: dict[int, TaskInstanceState] = {}
        self.alike: dict[
            str, Any
        ] = {}  # by mapped task, what has been decided of those of its instances that are alike
        self._by_index: dict[tuple[str, int], TaskInstanceSnapshot] | None = None  # once it is asked for
        for ti in run.task_instances:
            self.by_task.setdefault(ti.task_id, []).append(ti)
            self._state[ti.id] = ti.state
        self.ignored: tuple[Edge, ...] = ()
        if run.part is not None:
            states = {task_id: [ti.state for ti in found] for task_id, found in self.by_task.items()}
            self.ignored = ignored(dag, self.part, states)
        self.dag = without(dag, self.ignored)

    def state(self, ti: TaskInstanceSnapshot) -> TaskInstanceState:
        """The state after what this step decided."""
        return self._state[ti.id]

    def decide(self, ti: TaskInstanceSnapshot, state: TaskInstanceState) -> None:
        """Take ``state`` into account for whatever is decided after."""
        self._state[ti.id] = state

    @property
    def evidence(self) -> Mapping[int, TaskInstanceState]:
        """Every task instance's state, by row."""
        return dict(self._state)

    def missing_tasks(self) -> tuple[str, ...]:
        """Tasks that are done in this run and have no instance in it."""
        holds = self.part.holds
        return tuple(
            task.task_id for task in self.dag.tasks if task.task_id not in self.by_task and holds(task.task_id)
        )

    def seen_by(self, task: TaskSpec, map_index: int, other: str) -> Sequence[TaskInstanceSnapshot]:
        """The instances of another task that one of ``task`` looks at: all, or in a mapped group that of its index.

        All of them too where there is none of that index: the other task has become one of the group since then.
        """
        found = self.by_task.get(other, ())
        if not task.mapped_group or not self.dag.are_in_one_mapped_group(task.task_id, other):
            return found
        if self._by_index is None:
            self._by_index = {(ti.task_id, ti.map_index): ti for ti in self.run.task_instances}
        own = self._by_index.get((other, map_index))
        return found if own is None else (own,)

    def upstream_counts(self, task: TaskSpec, map_index: int) -> Counts:
        """What became of the direct upstreams of one of the task's instances; one without an instance is pending."""
        return count(self.upstream_states(task, map_index))

    def upstream_states(self, task: TaskSpec, map_index: int) -> Iterator[TaskInstanceState]:
        """The states of all direct upstream task instances of one of the task's instances."""
        for upstream in task.upstream:
            instances = self.seen_by(task, map_index, upstream)
            if not instances:
                yield TaskInstanceState.NONE
            for ti in instances:
                yield self._state[ti.id]

    def unfinished_of(self, task_ids: Iterable[str]) -> Iterator[TaskInstanceSnapshot]:
        """The unfinished instances of these tasks."""
        for task_id in task_ids:
            yield from self.unfinished_among(self.by_task.get(task_id, ()))

    def unfinished_among(self, instances: Iterable[TaskInstanceSnapshot]) -> Iterator[TaskInstanceSnapshot]:
        """Those of these instances that are unfinished."""
        return (ti for ti in instances if self._state[ti.id] not in FINISHED)

    def unfinished(self) -> Iterator[TaskInstanceSnapshot]:
        """Every unfinished task instance that is done in the run, or under way, in the run's own order."""
        return (
            ti
            for ti in self.run.task_instances
            if self._state[ti.id] not in FINISHED and (self.part.holds(ti.task_id) or self._state[ti.id] in OCCUPYING)
        )

    def left_out(self) -> tuple[TaskInstanceSnapshot, ...]:
        """What has no outcome and is not done in the run."""
        return tuple(
            ti
            for ti in self.run.task_instances
            if self._state[ti.id] not in FINISHED and not self.part.holds(ti.task_id)
        )
