"""Draws a DAG's tasks as a tree of text, each task below what it waits for. Knows no file and no state.

A task group is drawn as one thing among those around it: its tasks stand in it, behind a dotted line, and what comes
after it below.
"""

import sys
from collections.abc import Iterator

from msgspec import Struct

from tailrace.cli.console import plural, supports_unicode
from tailrace.model.plain_text import visible_line
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DEFAULT_POOL, DagSpec, GroupSpec, TaskSpec

Node = TaskSpec | GroupSpec


class _Strokes(Struct, frozen=True):
    """What lines are drawn with."""

    middle: str = "├─ "
    last: str = "└─ "
    through: str = "│  "
    past: str = "   "
    inside: str = "┊ "


_ASCII = _Strokes("|- ", "`- ", "|  ", "   ", ": ")


def task_tree(dag: DagSpec, *, folded: bool = False) -> Iterator[str]:
    """The lines of the tree. A task with several upstream tasks is drawn whole below the first of them only.

    ``folded``: a group is drawn without what is in it.
    """
    strokes = _Strokes() if supports_unicode(sys.stdout) else _ASCII
    drawing = _Drawing(dag)
    drawn: set[str] = set()
    # Without recursion: a chain may be longer than Python's stack. With each node, what stands before its own line,
    # before the lines below it, and on the way to it.
    pending = [(node, "", "", "") for node in reversed(drawing.firsts(""))]
    while pending:
        node, lead, below, label = pending.pop()
        name = _name(node)
        way = f"({label}) " if label else ""
        if name in drawn:
            yield f"{lead}{way}{_shown(node)} (drawn above)"
            continue
        drawn.add(name)
        yield f"{lead}{way}{_shown(node)}  {drawing.describe(node)}"
        following = drawing.following(name)
        for at, (after, its_label) in reversed(list(enumerate(following))):
            final = at == len(following) - 1
            stroke, beyond = (strokes.last, strokes.past) if final else (strokes.middle, strokes.through)
            pending.append((after, below + stroke, below + beyond, its_label))
        if isinstance(node, GroupSpec) and not folded:
            lead = below + (strokes.through if following else strokes.past) + strokes.inside
            pending += [(first, lead, lead, "") for first in reversed(drawing.firsts(name))]


class _Drawing:
    """What a DAG looks like where each group is one thing: what is in which, and what follows what in there."""

    def __init__(self, dag: DagSpec) -> None:
        self._dag = dag
        self._nodes: dict[str, Node] = {group.group_id: group for group in dag.groups} | dict(dag.by_id)
        self._inside: dict[str, list[str]] = {}
        self._after: dict[str, dict[str, dict[str, None]]] = {}
        self._led_to: set[str] = set()
        self._order = {task.task_id: at for at, task in enumerate(dag.tasks)}
        labels = {(each.upstream, each.downstream): each.label for each in dag.labels}
        for name in (*dag.by_id, *(group.group_id for group in dag.groups)):
            self._inside.setdefault(dag.group_of.get(name, ""), []).append(name)
        around = {name: (*reversed(dag.groups_around(name)), name) for name in dag.by_id} if dag.groups else {}
        for task in dag.tasks:
            for below in task.downstream:
                up, down = _parting(around.get(task.task_id, (task.task_id,)), around.get(below, (below,)))
                found = self._after.setdefault(up, {}).setdefault(down, {})
                if label := labels.get((task.task_id, below)):
                    found[label] = None
                self._led_to.add(down)

    def firsts(self, group: str) -> list[Node]:
        """What in a group follows nothing else in it; of groups that follow one another in a circle, one."""
        inside = sorted(self._inside.get(group, ()), key=self._place)
        found = [name for name in inside if name not in self._led_to]
        reached = self._reached_from(found)
        for name in inside:
            if name not in reached:
                found.append(name)
                reached |= self._reached_from([name])
        return [self._nodes[name] for name in found]

    def _reached_from(self, names: list[str]) -> set[str]:
        reached, pending = set(names), list(names)
        while pending:
            new = self._after.get(pending.pop(), {}).keys() - reached
            reached |= new
            pending += new
        return reached

    def following(self, name: str) -> list[tuple[Node, str]]:
        """What follows a task or group among what is beside it, with the labels on the way."""
        return [(self._nodes[after], ", ".join(labels)) for after, labels in sorted(self._after.get(name, {}).items())]

    def describe(self, node: Node) -> str:
        """What it is."""
        if isinstance(node, TaskSpec):
            return describe_task(node)
        count = len(self._dag.members[node.group_id])
        about = f", {visible_line(node.tooltip)}" if node.tooltip else ""
        return (plural(count, "task") if count else "no tasks") + about

    def _place(self, name: str) -> int:
        """Topologically, a group where the first of its tasks is; those without any come last."""
        tasks = self._dag.members.get(name, (name,))
        return min((self._order[task] for task in tasks), default=len(self._order))


def _parting(up: tuple[str, ...], down: tuple[str, ...]) -> tuple[str, str]:
    """Where the ways to two tasks, from the outermost group inward, part."""
    return next((one, other) for one, other in zip(up, down, strict=False) if one != other)


def _name(node: Node) -> str:
    return node.task_id if isinstance(node, TaskSpec) else node.group_id


def _shown(node: Node) -> str:
    return node.task_id if isinstance(node, TaskSpec) else f"[{node.group_id}]"


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
