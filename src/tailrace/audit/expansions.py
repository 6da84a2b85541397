"""Checks of mapped tasks: each is expanded once, into as many instances as what it is expanded over had items.

Written from what an expansion means, not from the planner: the lengths that a row names multiply to the number it
has, its sources had ended in the tries it names, nothing of the task had begun, and when one of its instances is
queued, or its run is judged, there are exactly as many as were decided.
"""

from collections.abc import Iterator
from math import prod

from msgspec.structs import replace

from tailrace.audit.dependencies import by_branch, by_rule
from tailrace.audit.records import Expanded, HistoryRecord, Violation
from tailrace.audit.replay import Instance, Replay, Run, name_of, place_of
from tailrace.audit.rules import RUN
from tailrace.audit.structure import Structure
from tailrace.model.keys import UNMAPPED, spans_of
from tailrace.model.spec import TaskSpec
from tailrace.model.states import FINISHED, IDLE, DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause

_NONE, _REMOVED = TaskInstanceState.NONE, TaskInstanceState.REMOVED


def check_expansion(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    """One row of an expansion, looked at in the world before it."""
    expanded = None if row.evidence is None else row.evidence.expanded
    if expanded is None:
        yield _found("evidence", row, "it was expanded, and nothing says from what")
        return
    run, task = replay.run(row), structure.tasks[row.task_id or ""]
    if not run.goes_on(row):
        yield from _may_begin(run, row, task, structure, expanded)
    if expanded.as_task:
        yield from _as_its_group(run, row, structure, expanded)
        return
    yield from _sources(run, row, task, structure, expanded)
    yield from _number(row, task, expanded)


def _may_begin(
    run: Run, row: HistoryRecord, task: TaskSpec, structure: Structure, expanded: Expanded
) -> Iterator[Violation]:
    """Nothing of the task had begun, nor of its group, and its dependencies let it run: those of a group are asked
    afterwards.
    """
    mapped = task.mapped_over is not None
    index_now, was = place_of(row)[1], expanded.was
    for index, instance in run.by_index(task.task_id).items():
        index_then = was if index == index_now and was is not None else index
        stands = _stands_in_group(instance, index_then) if task.mapped_group else _stands(instance, index_then, mapped)
        if stands:
            text = f"expanded although its number stood: index {index_then} was {instance.state} ({instance.cause})"
            yield _found("expansion", row, text)
    if task.mapped_group:
        if not expanded.as_task:
            yield from _group_begins(run, row, task, structure, expanded)
        return
    place = task.task_id, index_now
    gate, rule = by_branch(structure, run, place), by_rule(structure, run, place)
    if (gate, rule) != (RUN, RUN):
        yield _found("expansion", row, f"expanded although its branches say {gate} and its rule says {rule}")


def _group_begins(
    run: Run, row: HistoryRecord, task: TaskSpec, structure: Structure, expanded: Expanded
) -> Iterator[Violation]:
    """Of its group nothing had begun either; what was expanded before it was so just now, and from the same."""
    for other in structure.in_group(task.mapped_group):
        last = run.expansions.get(other)
        just_now = last is not None and last.open and replace(last.expanded, was=None) == replace(expanded, was=None)
        if other == task.task_id or just_now:
            continue
        for index, instance in run.by_index(other).items():
            if _stands_in_group(instance, index):
                text = f"expanded although the number of its group stood: {other} had index {index} {instance.state}"
                yield _found("expansion", row, text)


def _as_its_group(run: Run, row: HistoryRecord, structure: Structure, expanded: Expanded) -> Iterator[Violation]:
    """What has joined a group that was expanded before has its number; where that is none, its end."""
    like, index = expanded.as_task, place_of(row)[1]
    last = run.expansions.get(like)
    if not structure.side_by_side(row.task_id or "", like) or last is None:
        yield _found("expansion", row, f"it names {like}, which is no task of its group that was expanded")
        return
    there = {place for place, each in run.by_index(like).items() if each.state is not _REMOVED}
    count = 1 + max(there, default=UNMAPPED)
    if expanded.count != count:
        yield _found("expansion", row, f"it names {expanded.count} instances, {like} has {count}")
        return
    has_place = 0 <= index < count if count else index == UNMAPPED
    legal = {_NONE if has_place else _REMOVED}
    if has_place and not count:
        legal = {each.state or _NONE for each in run.of_task(like) if each.state is not _REMOVED}
    if row.after not in legal:
        yield _found("expansion", row, f"index {index} of {count} became {row.after}")


def _stands(instance: Instance, index: int, mapped: bool) -> bool:
    if instance.state is TaskInstanceState.STOPPING:
        return True
    if instance.state not in IDLE:
        return instance.state not in (None, _REMOVED)
    if mapped != (index != UNMAPPED):
        return False
    return instance.state is not _NONE or instance.cause == Cause.EXPANDED


def _stands_in_group(instance: Instance, index: int) -> bool:
    """One that was given an outcome before there were indexes says nothing of them."""
    return _stands(instance, index, True) and (index != UNMAPPED or instance.cause == Cause.EXPANDED)


def _sources(
    run: Run, row: HistoryRecord, task: TaskSpec, structure: Structure, expanded: Expanded
) -> Iterator[Violation]:
    """All that it was expanded over had ended, in the tries that the row names; but for what was left out."""
    above = {each.task_id for each in task.length_sources}
    there = {
        each.row_id or 0: each
        for task_id in above
        for each in run.of_task(task_id)
        if structure.part.holds(task_id) or each.state in FINISHED
    }
    for id in sorted(there.keys() | expanded.sources.keys()):
        source, number = there.get(id), expanded.sources.get(id)
        if source is None or source.state not in FINISHED or source.try_number != number:
            was = "not there" if source is None else f"{source.state} in try {source.try_number}"
            yield _found("expansion", row, f"it names try {number} of task instance {id}, which was {was}")


def _number(row: HistoryRecord, task: TaskSpec, expanded: Expanded) -> Iterator[Violation]:
    """The number follows from the lengths, and what becomes of the instance from the number."""
    over = task.mapped_over or ()
    literal = [each if isinstance(each, int) else length for each, length in zip(over, expanded.lengths, strict=False)]
    if len(over) != len(expanded.lengths) or literal != list(expanded.lengths):
        yield _found("expansion", row, f"it names the lengths {expanded.lengths}, the task is mapped over {over}")
        return
    known = [each for each in expanded.lengths if each is not None]
    whole = prod(known) if len(known) == len(over) else 0
    count = whole if task.mapped_over is not None and whole <= expanded.most else 0
    if expanded.count != count:
        yield _found("expansion", row, f"it names {expanded.count} instances, the lengths say {count}")
        return
    index = place_of(row)[1]
    has_place = 0 <= index < count if count else index == UNMAPPED
    legal = _ends(task, known, whole, expanded.most) if has_place and not count else {_NONE if has_place else _REMOVED}
    if row.after not in legal:
        yield _found("expansion", row, f"index {index} of {count} became {row.after}")


def _ends(task: TaskSpec, known: list[int], whole: int, most: int) -> set[TaskInstanceState]:
    """What the one instance ends in where there are none."""
    if task.mapped_over is None:
        return {_NONE}
    if whole > most:
        return {TaskInstanceState.FAILED}
    if len(known) == len(task.mapped_over):
        return {TaskInstanceState.SKIPPED}
    return {TaskInstanceState.SKIPPED, TaskInstanceState.UPSTREAM_FAILED}


def check_expanded(replay: Replay, row: HistoryRecord, structure: Structure) -> Iterator[Violation]:
    """An instance is queued only once its task is expanded, and all of its instances are there."""
    run, (task_id, index) = replay.run(row), place_of(row)
    task, last = structure.tasks[task_id], run.expansions.get(task_id)
    if (task.mapped_over is not None or index != UNMAPPED) and last is None:
        yield _found("expansion", row, "queued, and its task was never expanded")
    elif last is not None:
        mapped = task.mapped_over is not None
        together = structure.in_group(task.mapped_group) or (task_id,)
        if not any(_stands(each, place, mapped) for one in together for place, each in run.by_index(one).items()):
            yield _found("expansion", row, "queued although its task is to be expanded anew")
        yield from _all_there(run, row, task_id)


def check_complete_at_verdict(replay: Replay, row: HistoryRecord) -> Iterator[Violation]:
    """A run that is judged has as many instances of each mapped task as were decided."""
    if row.cause == Cause.JUDGED and row.after != DagRunState.DEADLOCKED:
        run = replay.run(row)
        for task_id in sorted(run.expansions):
            yield from _all_there(run, row, task_id)


def _all_there(run: Run, row: HistoryRecord, task_id: str) -> Iterator[Violation]:
    count = run.expansions[task_id].expanded.count
    there = {index for index, each in run.by_index(task_id).items() if each.state is not _REMOVED}
    wanted = set(range(count)) if count else {UNMAPPED}
    if there and there != wanted:
        text = f"{task_id} was expanded into {count} instances, it has the indexes {spans_of(there)}"
        yield _found("expansion", row, text)


def _found(check: str, row: HistoryRecord, text: str) -> Violation:
    return Violation(check, name_of(row), text, row.id)
