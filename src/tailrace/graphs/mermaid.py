"""A DAG as a Mermaid flowchart: what GitHub, GitLab and many editors draw in Markdown."""

from collections.abc import Iterator

from tailrace.graphs.nesting import Nested, describe_task
from tailrace.model.plain_text import visible_line
from tailrace.model.spec import DagSpec, TaskSpec

#: Mermaid reads these in a quoted text as something of its own.
_ESCAPED = {ord(each): f"#{ord(each)};" for each in '"#&<>;`\\{}[]|%'}


def mermaid(dag: DagSpec) -> str:
    """The text of the flowchart. Groups are subgraphs, mapped tasks have double edges, labels stand on the arrows."""
    return "\n".join(_lines(dag))


def _lines(dag: DagSpec) -> Iterator[str]:
    nested = Nested(dag)
    ids = {task.task_id: f"t{at}" for at, task in enumerate(dag.tasks)}
    yield "flowchart LR"
    yield from _inside(nested, "", ids, 1)
    labels = {(each.upstream, each.downstream): each.label for each in dag.labels}
    for task in dag.tasks:
        for below in task.downstream:
            label = labels.get((task.task_id, below))
            arrow = f'-- "{_text(label)}" -->' if label else "-->"
            yield f"    {ids[task.task_id]} {arrow} {ids[below]}"


def _inside(nested: Nested, group: str, ids: dict[str, str], depth: int) -> Iterator[str]:
    indent = "    " * depth
    for node in nested.within(group):
        if isinstance(node, TaskSpec):
            about = f"{_text(node.task_id)}<br/><small>{_text(describe_task(node))}</small>"
            opening, closing = ("[[", "]]") if nested.is_mapped(node) else ("[", "]")
            yield f'{indent}{ids[node.task_id]}{opening}"{about}"{closing}'
        elif nested.within(node.group_id):
            ids[node.group_id] = f"g{len(ids)}"
            about = f"{node.group_id}, mapped" if nested.is_mapped(node) else node.group_id
            yield f'{indent}subgraph {ids[node.group_id]}["{_text(about)}"]'
            yield from _inside(nested, node.group_id, ids, depth + 1)
            yield f"{indent}end"


def _text(text: str) -> str:
    return visible_line(text).translate(_ESCAPED)
