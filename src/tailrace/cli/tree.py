"""Draws a DAG's tasks as a tree of text, each task below what it waits for. Knows no file and no state."""

import sys
from collections.abc import Iterator

from tailrace.cli.console import supports_unicode
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DEFAULT_POOL, DagSpec, TaskSpec

_DRAWN = ("├─ ", "└─ ", "│  ", "   ")
_ASCII = ("|- ", "`- ", "|  ", "   ")


def task_tree(dag: DagSpec) -> Iterator[str]:
    """The lines of the tree. A task with several upstream tasks is drawn whole below the first of them only."""
    strokes = _DRAWN if supports_unicode(sys.stdout) else _ASCII
    drawn: set[str] = set()
    for task in dag.tasks:
        if not task.upstream:
            yield from _branch(dag, task, "", "", drawn, strokes)


def _branch(
    dag: DagSpec, task: TaskSpec, lead: str, below: str, drawn: set[str], strokes: tuple[str, ...]
) -> Iterator[str]:
    """One task and everything below it, depth first, without recursion: a chain may be longer than Python's stack."""
    middle, last, through, past = strokes
    pending = [(task, lead, below)]
    while pending:
        task, lead, below = pending.pop()
        if task.task_id in drawn:
            yield f"{lead}{task.task_id} (drawn above)"
            continue
        drawn.add(task.task_id)
        yield f"{lead}{task.task_id}  {describe_task(task)}"
        for at, name in reversed(list(enumerate(task.downstream))):
            final = at == len(task.downstream) - 1
            pending.append((dag.by_id[name], below + (last if final else middle), below + (past if final else through)))


def describe_task(task: TaskSpec) -> str:
    """The operator, and what differs from the defaults."""
    notes = [task.operator]
    if task.trigger_rule is not TriggerRule.ALL_SUCCESS:
        notes.append(str(task.trigger_rule))
    if task.depends_on_past:
        notes.append("depends_on_past")
    if task.wait_for_downstream:
        notes.append("wait_for_downstream")
    if task.retries:
        notes.append(f"retries={task.retries}")
    if task.pool != DEFAULT_POOL or task.pool_slots != 1:
        notes.append(f"pool={task.pool}" + (f"*{task.pool_slots}" if task.pool_slots != 1 else ""))
    return ", ".join(notes)
