"""How many items there are in what a task is expanded over, and how many instances that makes."""

from math import prod
from typing import TypeAlias

from tailrace.model.keys import UNMAPPED
from tailrace.model.plain_text import on_one_line
from tailrace.model.spec import Over, TaskSpec, Together
from tailrace.model.states import FINISHED, TaskInstanceState
from tailrace.model.tagged_values import Tagged
from tailrace.planning.board import Board
from tailrace.planning.snapshot import StoredLength

_State = TaskInstanceState
#: A length; or the state that decides instead, or what is wrong with it; None: it has not been read yet.
Length: TypeAlias = int | TaskInstanceState | str | None
_BAD = (_State.FAILED, _State.UPSTREAM_FAILED, _State.REMOVED)


def length_of(board: Board, over: Over) -> Length:
    """The length of one thing that a task is expanded over."""
    if isinstance(over, int):
        return over
    if isinstance(over, Together):
        lengths = [length_of(board, each) for each in over.of]
        none = [each for each in (_State.UPSTREAM_FAILED, _State.SKIPPED) if each in lengths]
        others = [each for each in lengths if not isinstance(each, int)]
        return (none or others)[0] if others else over.length(each for each in lengths if isinstance(each, int))
    found = board.by_task.get(over.task_id, ())
    states = {board.state(each) for each in found if each.map_index == UNMAPPED}
    left_out = not board.part.holds(over.task_id) and not has_ended(board, over.task_id)
    if states.intersection(_BAD) or not found or left_out:
        return _State.UPSTREAM_FAILED
    if _State.SKIPPED in states:
        return _State.SKIPPED
    stored = board.run.lengths.get(over)
    if stored is None:
        return None
    return f"XCom {over.key!r} of {over.task_id} is {stored.wrong}" if stored.length is None else stored.length


def has_ended(board: Board, task_id: str) -> bool:
    """Whether the task has an outcome in the run."""
    found = board.by_task.get(task_id, ())
    return bool(found) and all(board.state(each) in FINISHED for each in found)


def number_of(task: TaskSpec, lengths: tuple[Length, ...], most: int) -> tuple[int, TaskInstanceState, str]:
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
    if count > most:
        return 0, _State.FAILED, f"it would have {count:,} instances; at most {most:,} are allowed (max_map_length)"
    if count == 0:
        return 0, _State.SKIPPED, "it is expanded over nothing"
    return count, _State.NONE, f"expanded into {count:,}"


def stored_length(value: object) -> StoredLength:
    """How many items this value has, or what it is instead."""
    if isinstance(value, (list, dict, range)):
        return StoredLength(len(value))
    if isinstance(value, Tagged):
        return StoredLength(None, f"a {on_one_line(value.json)[:40]}")
    kinds = {str: "a string", bool: "true or false", int: "a number", float: "a number"}
    return StoredLength(None, "null" if value is None else kinds.get(type(value), "something else"))
