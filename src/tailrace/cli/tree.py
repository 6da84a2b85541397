"""Draws a DAG's tasks as a tree of text, each task below what it waits for. Knows no file and no state.

A task group is drawn as one thing among those around it: its tasks stand in it, behind a dotted line, and what comes
after it below.
"""

import sys
from collections.abc import Iterator

from msgspec import Struct

from tailrace.cli.console import supports_unicode
from tailrace.graphs.nesting import Nested, Node, name_of
from tailrace.model.spec import DagSpec, GroupSpec, TaskSpec


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
    nested = Nested(dag)
    drawn: set[str] = set()
    # Without recursion: a chain may be longer than Python's stack. With each node, what stands before its own line,
    # before the lines below it, and on the way to it.
    pending = [(node, "", "", "") for node in reversed(nested.firsts(""))]
    while pending:
        node, lead, below, label = pending.pop()
        name = name_of(node)
        way = f"({label}) " if label else ""
        if name in drawn:
            yield f"{lead}{way}{_shown(node)} (drawn above)"
            continue
        drawn.add(name)
        yield f"{lead}{way}{_shown(node)}  {nested.describe(node)}"
        following = nested.following(name)
        for at, (after, its_label) in reversed(list(enumerate(following))):
            final = at == len(following) - 1
            stroke, beyond = (strokes.last, strokes.past) if final else (strokes.middle, strokes.through)
            pending.append((after, below + stroke, below + beyond, its_label))
        if isinstance(node, GroupSpec) and not folded:
            lead = below + (strokes.through if following else strokes.past) + strokes.inside
            pending += [(first, lead, lead, "") for first in reversed(nested.firsts(name))]


def _shown(node: Node) -> str:
    return node.task_id if isinstance(node, TaskSpec) else f"[{node.group_id}]"
