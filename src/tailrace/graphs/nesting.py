"""What a DAG looks like where each task group is one thing among those beside it, and what each thing is, in words.

Knows no file and no state.
"""

from tailrace.model.plain_text import visible_line
from tailrace.model.rules import TriggerRule
from tailrace.model.spec import DEFAULT_POOL, DagSpec, GroupSpec, TaskSpec

Node = TaskSpec | GroupSpec


class Nested:
    """Which tasks and groups are in which group ("": in none), and what follows what in there."""

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

    def within(self, group: str) -> list[Node]:
        """All that is in a group itself, in order."""
        return [self._nodes[name] for name in sorted(self._inside.get(group, ()), key=self._place)]

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
        about = ", mapped" if self.is_mapped(node) else ""
        about += f", {visible_line(node.tooltip)}" if node.tooltip else ""
        return ("1 task" if count == 1 else f"{count:,} tasks" if count else "no tasks") + about

    def is_mapped(self, node: Node) -> bool:
        """Whether a task has several instances for itself, or a group several indexes; not what is in such a group."""
        if isinstance(node, TaskSpec):
            return node.mapped_over is not None and not node.mapped_group
        return node.group_id in self._dag.mapped_groups

    def _place(self, name: str) -> int:
        """Topologically, a group where the first of its tasks is; those without any come last."""
        tasks = self._dag.members.get(name, (name,))
        return min((self._order[task] for task in tasks), default=len(self._order))


def _parting(up: tuple[str, ...], down: tuple[str, ...]) -> tuple[str, str]:
    """Where the ways to two tasks, from the outermost group inward, part."""
    return next((one, other) for one, other in zip(up, down, strict=False) if one != other)


def name_of(node: Node) -> str:
    """The id of a task or group."""
    return node.task_id if isinstance(node, TaskSpec) else node.group_id


def describe_task(task: TaskSpec) -> str:
    """The operator, and what differs from the defaults."""
    notes = [task.operator]
    if task.mapped_over is not None and not task.mapped_group:
        notes.append("mapped")
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
