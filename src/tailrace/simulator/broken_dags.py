"""Canaries of what only random DAGs have: groups that are compiled, retry policies, several outputs, and mixes of them.

Each says in a line what it leaves out, as those of ``broken_writes`` do.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tailrace.authoring.compiling import group_relations
from tailrace.execution.workers import loop as worker
from tailrace.metastore.plans import lengths
from tailrace.model.keys import TryKey
from tailrace.model.outcomes import OutcomeKind
from tailrace.model.spec import TaskSpec, XComRef
from tailrace.model.states import TaskInstanceState
from tailrace.planning import dependencies, evaluation
from tailrace.planning.board import Board
from tailrace.planning.plan import DependencyStatus, Verdict
from tailrace.planning.retries import AfterTry, after_try
from tailrace.planning.rules import Counts, count, evaluate
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

_trigger_rule = dependencies.trigger_rule


def _skipped_with_one(board: Board, task: TaskSpec, *index: int) -> tuple[DependencyStatus, Verdict, Counts]:
    status, _, _ = _trigger_rule(board, task, *index)
    states: list[TaskInstanceState] = []
    for above in task.upstream:
        of_one = [board.state(each) for each in board.by_task.get(above, ())]
        states += [TaskInstanceState.SKIPPED] if TaskInstanceState.SKIPPED in of_one else of_one
    counts = count(states)
    verdict = evaluate(task.trigger_rule, counts)
    return status._replace(passed=verdict is Verdict.RUN), verdict, counts


skipped_with_one = Replaced(evaluation, "trigger_rule", _skipped_with_one)
"""A trigger rule takes the skip of one mapped instance for that of the whole task."""
