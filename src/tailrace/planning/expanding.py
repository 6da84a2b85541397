"""How many instances a mapped task gets: decided once, from what stands above it.

A mapped task begins with one instance, a placeholder without an index. Once its dependencies let it run and all that it
is expanded over has ended, it is *expanded*: the placeholder becomes index 0, the others are added. That number stands
from then on, until none of its instances is left that has begun or is to begin: cleared as a whole, it is expanded
anew, and instances that have no place any more are *removed*.

The tasks of a mapped group are expanded together, as soon as all that the group is expanded over has ended, whatever
their rules say: these are asked for each index.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from msgspec import Struct

from tailrace.model.keys import UNMAPPED
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, IDLE, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning import reasons
from tailrace.planning.board import Board
from tailrace.planning.calling import event_of_task
from tailrace.planning.dependencies import previous_dagrun_state
from tailrace.planning.evaluation import Evaluation
from tailrace.planning.expanded import is_apart, lacks_part, shape_of, to_expand
from tailrace.planning.lengths import has_ended, length_of, number_of
from tailrace.planning.messages import Message, Sentence
from tailrace.planning.plan import Decision, Dependency, DependencyStatus, Expansion, LookBack, Verdict
from tailrace.planning.snapshot import TaskInstanceSnapshot

_State = TaskInstanceState


#: What a step of the task leans on besides its run: versions, and what it took from the past.
LeansOn: TypeAlias = Callable[[TaskSpec], tuple[tuple[tuple[int, int], ...], LookBack | None]]


class _Number(Struct, frozen=True):
    """How many instances there are, what becomes of them, why, and from what that follows."""

    count: int
    after: TaskInstanceState
    reason: str
    lengths: tuple[int | None, ...] = ()
    sources: Mapping[int, tuple[TaskInstanceState, int]] = {}
    as_task: str = ""  # not from lengths: as this task of its group was expanded


class _Waits(Struct, frozen=True):
    """Why the number is not known yet, and whether it never will be as things stand."""

    reason: Message
    doomed: bool = False


class Expanding:
    """A task of a run whose number of instances is to be decided, if its dependencies let it run.

    ``expansions`` is what is to be written, once it is known.
    """

    def __init__(
        self, board: Board, task: TaskSpec, versions: tuple[tuple[int, int], ...], looked_back: LookBack | None
    ) -> None:
        self.expansions: tuple[Expansion, ...] = ()
        self._board, self._task = board, task
        self._leans_on = versions, looked_back
        self._status: DependencyStatus | None = None
        self._doomed = False

    def joined(self, found: Evaluation) -> Evaluation:
        """What becomes of one of its instances: none of them is queued before their number stands."""
        if found.decision.verdict is not Verdict.RUN:
            return found
        if self._status is None:
            number = _decided(self._board, self._task, self._board.by_task[self._task.task_id])
            if isinstance(number, _Number):
                self.expansions = (_expansion(self._board, self._task, number, (), *self._leans_on),)
            self._status, self._doomed = _status(number)
        return _waits(found, (*found.decision.statuses, self._status), doomed=self._doomed)


class ExpandingInGroup:
    """A task of a mapped group that is still to be given its instances: it waits, whatever its rule says.

    All such tasks of the group are written, or none.
    """

    def __init__(self, number: _Number | _Waits, expansions: tuple[Expansion, ...]) -> None:
        self.expansions = expansions
        self._status, self._doomed = _status(number)

    def joined(self, found: Evaluation) -> Evaluation:
        """What becomes of one of its instances."""
        return _waits(found, (*found.decision.statuses[:1], self._status), doomed=self._doomed)


class Numbers:
    """Of one run: which of its tasks are to be expanded in this step, or wait to be."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._of_groups: dict[str, Mapping[str, ExpandingInGroup]] = {}

    def of(self, task: TaskSpec, leans_on: LeansOn) -> Expanding | ExpandingInGroup | None:
        """What is to be decided of the task, or None: it has its instances."""
        instances = self._board.by_task.get(task.task_id, ())
        if task.mapped_group:
            if task.mapped_group not in self._of_groups:
                self._of_groups[task.mapped_group] = _group(self._board, task.mapped_group, leans_on)
            return self._of_groups[task.mapped_group].get(task.task_id)
        may_be = task.mapped_over is not None or (instances and instances[-1].map_index != UNMAPPED)
        if not may_be or not to_expand(task, instances):
            return None
        return Expanding(self._board, task, *leans_on(task))


def _group(board: Board, group_id: str, leans_on: LeansOn) -> Mapping[str, ExpandingInGroup]:
    """The tasks of a mapped group that are still to be given their instances: all, or what has joined it since."""
    tasks = board.dag.mapped_groups[group_id]
    by_task = {task.task_id: board.by_task.get(task.task_id, []) for task in tasks}
    here = [task for task in tasks if board.part.holds(task.task_id) and by_task[task.task_id]]
    taking_part = [task for task in here if not is_apart(by_task[task.task_id])]
    shape = shape_of(tasks, by_task)
    beside: tuple[str, ...] = ()
    if shape is not None:
        taking_part = [task for task in taking_part if lacks_part(by_task[task.task_id], shape)]
        into = f"into {shape.count:,}" if shape.count else f"into none, which are {shape.after}"
        reason = f"task group {group_id} was expanded {into}; clear it as a whole to expand it anew"
        number: _Number | _Waits = _Number(shape.count, shape.after, reason, as_task=shape.task_id)
    elif not any(ti.state in IDLE for task in taking_part for ti in by_task[task.task_id]):
        return {}
    else:
        number = _decided(board, tasks[0], [ti for each in taking_part for ti in by_task[each.task_id]])
        beside = tuple(by_task)
    if isinstance(number, _Number) and number.after is _State.SKIPPED:
        number = _when_past_lets(board, taking_part) or number
    found: dict[str, ExpandingInGroup] = {}
    for task in taking_part:
        others = tuple(each for each in beside if each != task.task_id)
        written = () if isinstance(number, _Waits) else (_expansion(board, task, number, others, *leans_on(task)),)
        found[task.task_id] = ExpandingInGroup(number, written)
    return found


def _when_past_lets(board: Board, tasks: Iterable[TaskSpec]) -> _Waits | None:
    """Skipped at once, a date would overtake the one before it."""
    pasts = (previous_dagrun_state(board, task) for task in tasks)
    return next((_Waits(past.status.reason) for past in pasts if past.undecided), None)


def _waits(found: Evaluation, statuses: tuple[DependencyStatus, ...], *, doomed: bool) -> Evaluation:
    decision = found.decision
    return Evaluation(Decision(decision.key, decision.state, Verdict.WAIT, statuses, doomed), found.cause)


def _status(number: _Number | _Waits) -> tuple[DependencyStatus, bool]:
    if isinstance(number, _Waits):
        return DependencyStatus(Dependency.MAPPED, False, number.reason), number.doomed
    reason = reasons.ExpandsNow(number.count) if number.count else Sentence(f"{number.reason}.")
    return DependencyStatus(Dependency.MAPPED, False, reason), False


def _decided(board: Board, task: TaskSpec, instances: Iterable[TaskInstanceSnapshot]) -> _Number | _Waits:
    """From what it is expanded over; ``instances`` is what is expanded by that."""
    stopping = sorted({each.map_index for each in instances if each.state is _State.STOPPING})
    if stopping:
        return _Waits(reasons.InstancesStopping(tuple(stopping)))
    sources = dict.fromkeys(ref.task_id for ref in task.length_sources)
    unfinished = [each for each in board.unfinished_of(sources) if board.part.holds(each.task_id)]
    if unfinished:
        names = tuple(dict.fromkeys(each.task_id for each in unfinished))
        return _Waits(reasons.SourcesUnfinished(names), any(each.id in board.doomed for each in unfinished))
    lengths = tuple(length_of(board, each) for each in task.mapped_over or ())
    if None in lengths and not any(isinstance(each, TaskInstanceState) for each in lengths):
        return _Waits(reasons.SourcesUnfinished(tuple(sources)))  # one ended in this very step: the next one counts
    count, after, reason = number_of(task, lengths, board.max_map_length)
    known = tuple(each if isinstance(each, int) else None for each in lengths)
    absent = [each for each in sources if not board.part.holds(each) and not has_ended(board, each)]
    if absent:
        reason = f"it cannot be expanded: {', '.join(absent)} was left out, and has no outcome in this run"
    left = {
        each.id: (board.state(each), each.try_number)
        for each in _of(board, sources)
        if board.part.holds(each.task_id) or board.state(each) in FINISHED  # else it was left out
    }
    return _Number(count, after, reason, known, left)


def _expansion(
    board: Board,
    task: TaskSpec,
    number: _Number,
    beside: tuple[str, ...],
    versions: tuple[tuple[int, int], ...],
    looked_back: LookBack | None,
) -> Expansion:
    return Expansion(
        run=board.run.id,
        run_id=board.run.run_id,
        task_id=task.task_id,
        version=board.run.version,
        count=number.count,
        after=number.after,
        reason=number.reason,
        lengths=number.lengths,
        instances={each.id: each.state for each in _of(board, (task.task_id, *beside))},
        sources=number.sources,
        versions=versions,
        looked_back=looked_back,
        event=event_of_task(task, _State.NONE, number.after, Cause.EXPANDED),
        beside=beside,
        as_task=number.as_task,
        most=board.max_map_length,
    )


def _of(board: Board, task_ids: Iterable[str]) -> Iterator[TaskInstanceSnapshot]:
    """The instances of these tasks."""
    return (each for task_id in task_ids for each in board.by_task.get(task_id, ()))
