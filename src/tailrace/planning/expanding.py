"""How many instances a mapped task has: whether that is decided already, and what the XComs above it make it.

A mapped task begins with one instance, a placeholder without an index. Once its dependencies let it run and all that it
is expanded over has ended, it is *expanded*: the placeholder becomes index 0, the others are added. That number stands
from then on, until none of its instances is left that has begun or is to begin: cleared as a whole, it is expanded
anew, and instances that have no place any more are *removed*.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from math import prod
from typing import TypeAlias

from tailrace.model.keys import UNMAPPED
from tailrace.model.plain_text import on_one_line
from tailrace.model.spec import MOST_INSTANCES, DagSpec, Over, TaskSpec, Together, XComRef
from tailrace.model.states import FINISHED, IDLE, TaskInstanceState
from tailrace.model.tagged_values import Tagged
from tailrace.model.transitions import Cause
from tailrace.planning import reasons
from tailrace.planning.board import Board
from tailrace.planning.calling import event_of_task
from tailrace.planning.evaluation import Evaluation
from tailrace.planning.messages import Message, Sentence
from tailrace.planning.plan import Decision, Dependency, DependencyStatus, Expansion, LookBack, Verdict
from tailrace.planning.snapshot import StoredLength, TaskInstanceSnapshot

_State = TaskInstanceState
#: A length; or the state that decides instead, or what is wrong with it; None: it has not been read yet.
_Length: TypeAlias = int | TaskInstanceState | str | None
_BAD = (_State.FAILED, _State.UPSTREAM_FAILED, _State.REMOVED)


def is_expanded(instances: Iterable[TaskInstanceSnapshot], *, mapped: bool) -> bool:
    """Whether the number of a task's instances stands: one of them has begun, has ended, or is to begin.

    Of a task that is not ``mapped`` (any more): whether it must be left with what it was expanded into.
    """
    return any(_stands(each, mapped=mapped) for each in instances)


def _stands(instance: TaskInstanceSnapshot, *, mapped: bool) -> bool:
    state = instance.state
    if state is _State.REMOVED:
        return False
    if state is _State.STOPPING:
        return instance.stopping_to not in (None, _State.NONE)
    if state in IDLE and mapped != (instance.map_index != UNMAPPED):
        return False  # of another kind than its task is by now
    return state is not _State.NONE or not mapped or instance.cause == Cause.EXPANDED


def reset_for_expansion(
    dag: DagSpec, instances: Iterable[TaskInstanceSnapshot], cleared: Mapping[int, str], whole: Container[str]
) -> Iterator[TaskInstanceSnapshot]:
    """Those that have not begun, and whose task is to be expanded anew once these are ``cleared`` (tasks by row).

    That is so where what it is expanded over was cleared, or the task as a ``whole``, and nothing of it has begun.
    """
    if not dag.mapped:
        return
    by_task: dict[str, list[TaskInstanceSnapshot]] = {}
    for each in instances:
        by_task.setdefault(each.task_id, []).append(each)
    touched = set(cleared.values())
    for task in dag.mapped:
        over = {ref.task_id for ref in task.length_sources}
        if not (touched & over or (task.task_id in touched and task.task_id in whole)):
            continue
        left = [each for each in by_task.get(task.task_id, ()) if each.id not in cleared]
        if not any(_stands(each, mapped=True) and each.state is not _State.NONE for each in left):
            yield from (each for each in left if each.state is _State.NONE and each.cause == Cause.EXPANDED)


def to_expand(task: TaskSpec, instances: Iterable[TaskInstanceSnapshot]) -> bool:
    """Whether it is still to be decided, or to be decided again, how many instances the task has."""
    found = list(instances)
    mapped = task.mapped_over is not None
    if not mapped and all(each.map_index == UNMAPPED for each in found):
        return False
    return not is_expanded(found, mapped=mapped)


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
        decision = found.decision
        if decision.verdict is not Verdict.RUN:
            return found
        if self._status is None:
            self._status = DependencyStatus(Dependency.MAPPED, False, self._decide())
        statuses = (*decision.statuses, self._status)
        waits = Decision(decision.key, decision.state, Verdict.WAIT, statuses, self._doomed)
        return Evaluation(waits, found.cause)

    def _decide(self) -> Message:
        board, task = self._board, self._task
        instances = board.by_task[task.task_id]
        stopping = tuple(each.map_index for each in instances if each.state is _State.STOPPING)
        if stopping:
            return reasons.InstancesStopping(stopping)
        sources = dict.fromkeys(ref.task_id for ref in task.length_sources)
        unfinished = [each for each in board.unfinished_of(tuple(sources)) if board.part.holds(each.task_id)]
        if unfinished:
            self._doomed = any(each.id in board.doomed for each in unfinished)
            return reasons.SourcesUnfinished(tuple(dict.fromkeys(each.task_id for each in unfinished)))
        lengths = tuple(_length(board, each) for each in task.mapped_over or ())
        if None in lengths and not any(isinstance(each, TaskInstanceState) for each in lengths):
            return reasons.SourcesUnfinished(tuple(sources))  # one has ended in this very step: the next one counts
        count, after, reason = _count(task, lengths)
        absent = [each for each in sources if not board.part.holds(each) and not _has_ended(board, each)]
        if absent:
            reason = f"it cannot be expanded: {', '.join(absent)} was left out, and has no outcome in this run"
        versions, looked_back = self._leans_on
        decided = Expansion(
            run=board.run.id,
            run_id=board.run.run_id,
            task_id=task.task_id,
            version=board.run.version,
            count=count,
            after=after,
            reason=reason,
            lengths=tuple(each if isinstance(each, int) else None for each in lengths),
            instances={each.id: each.state for each in instances},
            sources={
                each.id: (board.state(each), each.try_number)
                for each in _of(board, sources)
                if board.part.holds(each.task_id) or board.state(each) in FINISHED  # else it was left out
            },
            versions=versions,
            looked_back=looked_back,
            event=event_of_task(task, _State.NONE, after, Cause.EXPANDED),
        )
        self.expansions = (decided,)
        return reasons.ExpandsNow(count) if count else Sentence(f"{reason}.")


def _has_ended(board: Board, task_id: str) -> bool:
    """Whether the task has an outcome in the run."""
    found = board.by_task.get(task_id, ())
    return bool(found) and all(board.state(each) in FINISHED for each in found)


def _of(board: Board, task_ids: Iterable[str]) -> Iterator[TaskInstanceSnapshot]:
    """The instances of these tasks."""
    return (each for task_id in task_ids for each in board.by_task.get(task_id, ()))


def _length(board: Board, over: Over) -> _Length:
    """The length of one thing that a task is expanded over."""
    if isinstance(over, int):
        return over
    if isinstance(over, Together):
        lengths = [_length(board, each) for each in over.of]
        none = [each for each in (_State.UPSTREAM_FAILED, _State.SKIPPED) if each in lengths]
        others = [each for each in lengths if not isinstance(each, int)]
        return (none or others)[0] if others else over.length(each for each in lengths if isinstance(each, int))
    found = board.by_task.get(over.task_id, ())
    states = {board.state(each) for each in found if each.map_index == UNMAPPED}
    if (
        states.intersection(_BAD)
        or not found
        or (not board.part.holds(over.task_id) and not _has_ended(board, over.task_id))
    ):
        return _State.UPSTREAM_FAILED
    if _State.SKIPPED in states:
        return _State.SKIPPED
    stored = board.run.lengths.get(over)
    if stored is None:
        return None
    return f"XCom {over.key!r} of {over.task_id} is {stored.wrong}" if stored.length is None else stored.length


def _count(task: TaskSpec, lengths: tuple[_Length, ...]) -> tuple[int, TaskInstanceState, str]:
    """How many instances, what becomes of each (of the only one that stays, where there are none), and why."""
    if task.mapped_over is None:
        return 0, _State.NONE, "the task is not mapped any more"
    if _State.UPSTREAM_FAILED in lengths:
        return 0, _State.UPSTREAM_FAILED, "what it is expanded over did not succeed"
    if _State.SKIPPED in lengths:
        return 0, _State.SKIPPED, "what it is expanded over was skipped"
    wrong = [each for each in lengths if isinstance(each, str)]
    if wrong:
        return 0, _State.UPSTREAM_FAILED, f"it cannot be expanded: {wrong[0]}, not a list or a dict"
    count = prod(each for each in lengths if isinstance(each, int))
    if count > MOST_INSTANCES:
        return 0, _State.FAILED, f"it would have {count:,} instances; at most {MOST_INSTANCES:,} are allowed"
    if count == 0:
        return 0, _State.SKIPPED, "it is expanded over nothing"
    return count, _State.NONE, f"expanded into {count:,}"


def needed_lengths(tasks: Iterable[TaskSpec], instances: Iterable[TaskInstanceSnapshot]) -> Mapping[XComRef, list[int]]:
    """The XComs whose lengths the next step may need, with the rows of the task instances that may have left them.

    ``tasks`` are mapped. Only what has ended altogether is looked at.
    """
    by_task: dict[str, list[TaskInstanceSnapshot]] = {}
    for each in instances:
        by_task.setdefault(each.task_id, []).append(each)
    needed: dict[XComRef, list[int]] = {}
    for task in tasks:
        own = by_task.get(task.task_id, ())
        if not to_expand(task, own) or not any(each.state in IDLE for each in own):
            continue
        sources = [each for ref in task.length_sources for each in by_task.get(ref.task_id, ())]
        if all(each.state in FINISHED for each in sources):
            needed |= {ref: [each.id for each in by_task.get(ref.task_id, ())] for ref in task.length_sources}
    return needed


def stored_length(value: object) -> StoredLength:
    """How many items this value has, or what it is instead."""
    if isinstance(value, (list, dict, range)):
        return StoredLength(len(value))
    if isinstance(value, Tagged):
        return StoredLength(None, f"a {on_one_line(value.json)[:40]}")
    kinds = {str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return StoredLength(None, "null" if value is None else kinds.get(type(value), "something else"))
