"""Parts of a DAG, as history tells of them: which tasks were done in a run, which edges did not count, how it ended.

A second opinion: written from what a part means, not from the planner. That a row says the same is looked at in
``folding``.
"""

from collections.abc import Iterable, Iterator, Mapping
from json import loads
from typing import Any

from msgspec import Struct

from tailrace.audit.records import HistoryRecord, PartRecord
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, FINISHED, OCCUPYING, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

_STOPS = (Cause.DAGRUN_TIMEOUT, Cause.FAIL_FAST)
_BAD = (TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED)


class Part(Struct, frozen=True):
    """What is done in a run: these tasks (None: all), and which edges, from above to below, do not count in it."""

    tasks: frozenset[str] | None = None
    cut: frozenset[tuple[str, str]] = frozenset()

    def holds(self, task_id: str) -> bool:
        """Whether the task is done in the run."""
        return self.tasks is None or task_id in self.tasks

    def grown(self, dag: DagSpec, states: Mapping[str, Iterable[TaskInstanceState]]) -> "Part":
        """The same where what is left out, and neither has nor will have an outcome there, holds nothing back."""
        if self.tasks is None:
            return self
        over = (*FINISHED, *OCCUPYING)
        idle = {each for each in states if each not in self.tasks and any(state not in over for state in states[each])}
        more = {(above, task.task_id) for task in dag.tasks for above in task.upstream if task.task_id in self.tasks}
        return Part(self.tasks, self.cut.union(edge for edge in more if edge[0] in idle))


WHOLE = Part()


def told_part(row: HistoryRecord, before: Part) -> Part:
    """What is done in a run after this row of it."""
    text = row.cells[-1] if row.cells else None
    if not isinstance(text, str) or '"part"' not in text:
        return before
    sets = _json(text)
    if not isinstance(sets, dict) or "part" not in sets:
        return before
    stored = _json(sets["part"])
    if not isinstance(stored, dict):
        return WHOLE
    tasks, cut = stored.get("tasks"), stored.get("cut", [])
    return Part(None if tasks is None else frozenset(tasks), frozenset((above, below) for above, below in cut))


def _json(text: Any) -> Any:
    try:
        return loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def ended(
    part: PartRecord,
    state: DagRunState | None,
    instances: Iterable[tuple[str, TaskInstanceState | None, str | None, str]],
) -> DagRunState | None:
    """How a run has ended for a backfill of a part. ``instances``: task, state, where one that stops ends, cause."""
    if state not in CLOSED:
        return state
    found: dict[str, list[TaskInstanceState | None]] = {task_id: [] for task_id in part.tasks}
    stopped = False
    for task_id, is_in, stopping_to, cause in instances:
        if task_id in found:
            ends = stopping_to if is_in is TaskInstanceState.STOPPING else is_in
            found[task_id].append(None if ends is None else TaskInstanceState(ends))
            stopped = stopped or cause in _STOPS
    if any(not states or any(each not in FINISHED for each in states) for states in found.values()):
        return state
    bad = stopped or any(each in _BAD for leaf in part.leaves for each in found.get(leaf, ()))
    return DagRunState.FAILED if bad else DagRunState.SUCCESS


def cut_edges(ids: Iterable[str], task_id: str, cut: frozenset[tuple[str, str]], *, above: bool) -> Iterator[str]:
    """Those of these tasks, directly above or below a task, whose edges with it count."""
    return (each for each in ids if ((each, task_id) if above else (task_id, each)) not in cut)
