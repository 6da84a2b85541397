"""Canaries of what only random DAGs have: groups that are compiled, retry policies, several outputs, and mixes of them.

Each says in a line what it leaves out, as those of ``broken_writes`` do.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tailrace.authoring.compiling import group_relations
from tailrace.execution import worker
from tailrace.metastore.plans import lengths
from tailrace.model.keys import TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import TaskSpec, XComRef
from tailrace.model.states import TaskInstanceState
from tailrace.planning.board import Board
from tailrace.planning.retries import AfterTry, after_try
from tailrace.planning.snapshot import StoredLength
from tailrace.simulator.broken_writes import Replaced

_ends = group_relations._Graph._ends


def _one_of(graph: Any, node: Any, ends: Any) -> Iterable[Any]:
    return sorted(_ends(graph, node, ends), key=lambda each: str(each.node_id))[:1]


one_of_a_group = Replaced(group_relations._Graph, "_ends", _one_of)
"""What is related to a group is related to one of its first, or last, tasks."""


def _without_rule(task: TaskSpec, key: TryKey, kind: OutcomeKind, error: str, **budget: Any) -> AfterTry:
    return after_try(task, key, kind, error, **{**budget, "rule": None})


policy_unread = Replaced(worker, "after_try", _without_rule)
"""A failure is tried again whatever the task's retry policy says of it."""

_length = lengths._length


def _of_any_key(
    ref: XComRef, rows: Iterable[int], unmapped: set[int], found: Mapping[tuple[int, str], str | None]
) -> StoredLength:
    keys = sorted({key for row, key in found if row in rows} | {ref.key})
    return _length(XComRef(ref.task_id, keys[0]), rows, unmapped, found)


length_of_another = Replaced(lengths, "_length", _of_any_key)
"""A task is expanded over as many items as another output of the same task has."""


def _skipped_with_one(board: Board, task_id: str) -> Iterator[TaskInstanceState]:
    for above in board.dag.by_id[task_id].upstream:
        states = {board.state(each) for each in board.by_task.get(above, ())}
        if TaskInstanceState.SKIPPED in states:
            yield TaskInstanceState.SKIPPED
        else:
            yield from states or {TaskInstanceState.NONE}


skipped_with_one = Replaced(Board, "upstream_states", _skipped_with_one)
"""A trigger rule takes the skip of one mapped instance for that of the whole task."""
