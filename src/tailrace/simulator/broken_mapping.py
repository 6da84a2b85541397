"""Canaries of mapped tasks: an expansion that looks at nothing again, one that forgets an index, one for ever; and of
mapped groups: one whose indexes are mixed up, one that is expanded by halves.

Each says in a line what it leaves out, as those of ``broken_writes`` do.
"""

from collections.abc import Iterable, Mapping, Sequence

from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans import expanding
from tailrace.metastore.plans.locking import LockedRun, Workspace
from tailrace.metastore.writes.records import Author, History
from tailrace.metastore.writes.task_instances import insert_task_instances
from tailrace.model.keys import UNMAPPED
from tailrace.model.spec import TaskSpec
from tailrace.planning import expanding as deciding
from tailrace.planning.board import Board
from tailrace.planning.commands import NewTaskInstance
from tailrace.planning.expanding import ExpandingInGroup, LeansOn
from tailrace.planning.plan import Expansion
from tailrace.planning.snapshot import TaskInstanceSnapshot
from tailrace.simulator.broken_writes import Replaced


def _no_doubt(work: Workspace, part: Expansion, run: LockedRun) -> str | None:
    states = {columns["state"] for columns in expanding._of_task(work, part)}
    if run.state == "running" and states <= {"none", "removed"}:  # else the transition table refuses it
        return None
    return "it cannot be expanded"


expanded_twice = Replaced(expanding, "_find_conflict", _no_doubt)
"""A mapped task is expanded whoever has expanded it before, and whatever has become of what it is expanded over."""


def _but_the_last(tx: Transaction, author: Author, new: Sequence[NewTaskInstance], history: History) -> None:
    insert_task_instances(tx, author, new[:-1], history)


forgotten_index = Replaced(expanding, "insert_task_instances", _but_the_last)
"""Of the instances that a mapped task is given the last one is forgotten."""


def _only_at_first(task: TaskSpec, instances: Iterable[TaskInstanceSnapshot]) -> bool:
    return task.mapped_over is not None and any(each.map_index == UNMAPPED for each in instances)


expanded_for_ever = Replaced(deciding, "to_expand", _only_at_first)
"""A mapped task keeps its first number of instances, though it was cleared and what it is expanded over has changed."""


def _all_of_it(board: Board, task: TaskSpec, map_index: int, other: str) -> Sequence[TaskInstanceSnapshot]:
    return board.by_task.get(other, ())


any_index = Replaced(Board, "seen_by", _all_of_it)
"""A task of a mapped group looks at all indexes of the tasks above it, not at its own alone."""


def _of_itself_alone(board: Board, group_id: str, leans_on: LeansOn) -> Mapping[str, ExpandingInGroup]:
    found = deciding_group(board, group_id, leans_on)
    return dict(list(found.items())[:1])


deciding_group = deciding._group
half_a_group = Replaced(deciding, "_group", _of_itself_alone)
"""Of a mapped group one task is expanded; the others go on without an index."""
