"""Canaries of parts of a DAG: tasks that are left out are waited for, or are done again.

Each says in a line what it leaves out, as those of ``broken_writes`` do.
"""

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from tailrace.model.parts import Edge, RunPart, ignored
from tailrace.model.spec import DagSpec
from tailrace.model.states import TaskInstanceState
from tailrace.planning import board, creation
from tailrace.planning.backfills import Reprocess
from tailrace.planning.snapshot import RunSnapshot
from tailrace.simulator.broken_writes import Replaced


def _uncut(dag: DagSpec, part: RunPart, states: Mapping[str, Collection[TaskInstanceState]]) -> tuple[Edge, ...]:
    return ignored(dag, replace(part, cut=()), states)


waits_for_left_out = Replaced(board, "ignored", _uncut)
"""Edges from tasks that are left out count, where those have an outcome."""

_to_do = creation._to_do


def _of_all(
    dag: DagSpec, reprocess: Reprocess, run: RunSnapshot, scope: Collection[str] | None
) -> tuple[tuple[str, ...], int]:
    return _to_do(dag, reprocess, run, None)


resets_left_out = Replaced(creation, "_to_do", _of_all)
"""What is done again does not look at the part."""
