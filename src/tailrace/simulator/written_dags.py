"""DAGs as an author writes them, and what they must come to: so that a world's DAG is compiled as a user's is.

What relations of groups, outputs and defaults come to is worked out here a second time, the simple way.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import reduce
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

import tailrace
from tailrace.authoring.compiling.dag_specs import compile_dag
from tailrace.authoring.relations.partial import Expandable
from tailrace.model.spec import BranchKind, DagSpec, Over, TaskSpec, Together, XComRef, xcoms_of

#: Of the arguments that are kept as they are written, those that the compiled task is looked at for.
_KEPT = (
    "trigger_rule",
    "retries",
    "retry_delay",
    "depends_on_past",
    "wait_for_downstream",
    "pool",
    "pool_slots",
    "execution_timeout",
    "max_active_tis_per_dag",
    "max_active_tis_per_dagrun",
)


class Kind(StrEnum):
    """What a task is written as."""

    FUNCTION = "task"
    EMPTY = "EmptyOperator"
    BRANCH = "task.branch"
    SHORT_CIRCUIT = "task.short_circuit"
    SENSOR = "task.sensor"


#: What decides between tasks is not mapped.
DECIDING = (Kind.BRANCH, Kind.SHORT_CIRCUIT)


class WrittenGroup(Struct, frozen=True):
    """A task group, in another one or (empty) in none. ``prefixes``: whether ids in it begin with its own.

    ``over``: what it is expanded over, as of a task; None for one that is not.
    """

    name: str
    parent: str = ""
    prefixes: bool = True
    default_args: Mapping[str, Any] = {}
    over: tuple[Over, ...] | None = None
    by_kwargs: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The tasks whose outputs it is expanded over."""
        return tuple(dict.fromkeys(ref.task_id for ref in xcoms_of(self.over or ())))


class WrittenTask(Struct, frozen=True):
    """A task: where it stands, its arguments, which outputs its call is given, and what it is expanded over.

    ``by_kwargs``: it is expanded over a list of dicts. ``item``: its call is given an item of the mapped group around
    it. Tasks and groups are called by their names here, not their ids.
    """

    name: str
    kind: Kind = Kind.FUNCTION
    group: str = ""
    arguments: Mapping[str, Any] = {}
    takes: tuple[str, ...] = ()
    over: tuple[Over, ...] | None = None
    by_kwargs: bool = False
    item: bool = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The tasks whose outputs it is given, in one way or another."""
        return (*self.takes, *(ref.task_id for ref in xcoms_of(self.over or ())))


class WrittenDag(Struct, frozen=True):
    """A DAG: each task and each group stands behind all that it needs, each group behind the one that it is in."""

    dag_id: str
    tasks: tuple[WrittenTask, ...]
    groups: tuple[WrittenGroup, ...] = ()
    relations: tuple[tuple[str, str], ...] = ()
    arguments: Mapping[str, Any] = {}

    def each(self, change: "Callable[[WrittenTask], WrittenTask]") -> "WrittenDag":
        """The DAG with its tasks changed."""
        return replace(self, tasks=tuple(map(change, self.tasks)))

    def with_arguments(self, arguments: "Callable[[WrittenTask], Mapping[str, Any]]") -> "WrittenDag":
        """The DAG with more arguments of its tasks."""
        return self.each(lambda task: replace(task, arguments={**task.arguments, **arguments(task)}))

    def around(self, group: str) -> tuple[str, ...]:
        """The group and all that it is in, the innermost first; the last is that of the DAG, which has no name."""
        parents = {each.name: each.parent for each in self.groups}
        found = [group]
        while found[-1]:
            found.append(parents[found[-1]])
        return tuple(found)

    def mapped_group_of(self, group: str) -> WrittenGroup | None:
        """The mapped group that what is in this group is in, if any."""
        groups = {each.name: each for each in self.groups}
        return next((groups[each] for each in self.around(group)[:-1] if groups[each].over is not None), None)

    def id_of(self, name: str) -> str:
        """The id in the DAG of a task or group."""
        within = {each.name: each.group for each in self.tasks} | {each.name: each.parent for each in self.groups}
        prefixing = {each.name for each in self.groups if each.prefixes}
        group = within[name]
        return f"{self.id_of(group)}.{name}" if group in prefixing else name


def compiled(written: WrittenDag) -> DagSpec:
    """The DAG as the product compiles it. Raises ValueError with the mistakes that it finds."""
    with tailrace.DAG.gathered([]):
        dag = _Author(written).dag
    Expandable.collect()
    spec = compile_dag(dag, "simulated.py", "simulated")
    if spec is None:
        raise ValueError("; ".join(map(str, dag.mistakes)))
    return spec


class _Author:
    """What the author's file does: tasks and groups as they come, and then the relations between them."""

    def __init__(self, written: WrittenDag) -> None:
        self._written = written
        self._made: dict[str, Any] = {}
        self._outputs: dict[str, Any] = {}
        self._items: dict[str, Mapping[str, Any]] = {}  # of mapped groups
        with tailrace.DAG(written.dag_id, **written.arguments) as self.dag:
            self._write("")
            for at, (above, below) in enumerate(written.relations):
                _relate(self._made[above], self._made[below], at % 3)

    def _write(self, within: str) -> None:
        """What is directly in a group: its tasks, and its groups with all that is in them."""
        groups = {group.name: group for group in self._written.groups}
        for task in self._written.tasks:
            around = self._written.around(task.group)
            if task.group == within:
                self._outputs[task.name] = self._task(task)
                self._made[task.name] = self._outputs[task.name].operator
            elif within in around and (inner := around[around.index(within) - 1]) not in self._made:
                self._made[inner] = self._group(groups[inner])

    def _group(self, group: WrittenGroup) -> Any:
        default_args = cast(Any, group.default_args)
        if group.over is None:
            with tailrace.TaskGroup(group.name, prefix_group_id=group.prefixes, default_args=default_args) as made:
                self._write(group.name)
            return made

        def fill(over_0: Any = None, over_1: Any = None) -> None:
            self._items[group.name] = {"over_0": over_0, "over_1": over_1}
            self._write(group.name)

        function = tailrace.task_group(group.name, prefix_group_id=group.prefixes, default_args=default_args)(fill)
        return self._expanded(function, group.over, by_kwargs=group.by_kwargs)

    def _task(self, task: WrittenTask) -> Any:
        """The output of the task, as it is written."""
        if task.kind is Kind.EMPTY:
            return tailrace.EmptyOperator(task_id=task.name, **task.arguments).output
        decorate = reduce(getattr, task.kind.split(".")[1:], tailrace.task)
        function = decorate(task_id=task.name, **task.arguments)(_work)
        given = {f"given_{name}": self._outputs[name] for name in task.takes}
        mapped_group = self._written.mapped_group_of(task.group)
        if task.item and mapped_group is not None:
            given["item"] = self._items[mapped_group.name]["over_0"]["part"]
        if task.over is None:
            return function(**given)
        return self._expanded(function.partial(**given), task.over, by_kwargs=task.by_kwargs)

    def _expanded(self, made: Any, over: tuple[Over, ...], *, by_kwargs: bool) -> Any:
        """A task, or a group, that is expanded."""
        if by_kwargs:
            (only,) = over
            return made.expand_kwargs([{"over_0": None}] * only if isinstance(only, int) else self._over(only))
        return made.expand(**{f"over_{at}": self._over(each) for at, each in enumerate(over)})

    def _over(self, over: Over) -> Any:
        """What something is expanded over, as it is written."""
        if isinstance(over, int):
            return [None] * over if over % 2 else {str(number): None for number in range(over)}
        if isinstance(over, XComRef):
            output = self._outputs[over.task_id]
            return output if over.key == "return_value" else output[over.key]
        first, *others = (self._over(each) for each in over.of)
        first = first.map(str)
        if over.how == "sum":
            return first.concat(*others)
        return first.zip(*others, **({"fillvalue": None} if over.how == "longest" else {}))


def _relate(above: Any, below: Any, way: int) -> None:
    """One of the ways in which an author says it."""
    if way == 0:
        above >> below
    elif way == 1:
        [below] << above
    else:
        above >> tailrace.Label("then") >> [below]


def _work(**named: Any) -> None:
    """What the tasks are said to do: in a simulated world it is written elsewhere how they end."""


# --- what it must come to ----------------------------------------------------------------------------------


def differences(written: WrittenDag, spec: DagSpec) -> Iterator[str]:
    """Where the compiled DAG is not what was written."""
    ids = {written.id_of(task.name): task for task in written.tasks}
    if ids.keys() != spec.by_id.keys():
        yield f"compiled: tasks {sorted(spec.by_id)} instead of {sorted(ids)}"
        return
    edges = {(written.id_of(above), written.id_of(below)) for above, below in edges_of(written)}
    for task_id, task in ids.items():
        found = spec.by_id[task_id]
        for name, expected in _expected(written, task, task_id, edges).items():
            if getattr(found, name) != expected:
                yield f"compiled: {name} of {task_id} is {getattr(found, name)!r} instead of {expected!r}"
    for name in ("max_active_runs", "max_active_tasks", "fail_fast"):
        if getattr(spec, name) != written.arguments.get(name, getattr(DagSpec("", ()), name)):
            yield f"compiled: {name} is {getattr(spec, name)}"
    members = {written.id_of(group.name): _members(written, group.name) for group in written.groups}
    for group_id, tasks in members.items():
        found_in = set(spec.members.get(group_id, ()))
        if found_in != {written.id_of(name) for name in tasks}:
            yield f"compiled: group {group_id} has {sorted(found_in)}"


def _expected(written: WrittenDag, task: WrittenTask, task_id: str, edges: set[tuple[str, str]]) -> dict[str, Any]:
    """By field of the compiled task."""
    defaults = dict(written.arguments.get("default_args", {}))
    groups = {group.name: group for group in written.groups}
    for name in written.around(task.group)[-2::-1]:
        defaults |= groups[name].default_args
    given = {**defaults, **task.arguments}
    unsaid = TaskSpec("")
    expected = {name: given.get(name, getattr(unsaid, name)) for name in _KEPT}
    expected["upstream"] = tuple(sorted(above for above, below in edges if below == task_id))
    expected["downstream"] = tuple(sorted(below for above, below in edges if above == task_id))
    expected["decides"] = BranchKind.NOTHING
    if task.kind is Kind.BRANCH:
        expected["decides"] = BranchKind.BRANCH
    elif task.kind is Kind.SHORT_CIRCUIT:
        far = given.get("ignore_downstream_trigger_rules", True)
        expected["decides"] = BranchKind.SHORT_CIRCUIT if far else BranchKind.SHORT_CIRCUIT_DIRECT
    group = written.mapped_group_of(task.group)
    over = task.over if group is None else group.over
    expected["mapped_group"] = "" if group is None else written.id_of(group.name)
    expected["mapped_over"] = None if over is None else tuple(_by_id(written, each) for each in over)
    expected["calls"] = tuple(sorted(name for name in given if name.startswith("on_")))
    weighed = _weighed(edges, task_id, given.get("weight_rule", "downstream"))
    weights = {written.id_of(each.name): each.arguments.get("priority_weight", 1) for each in written.tasks}
    return expected | {"priority_weight": sum(weights[each] for each in weighed)}


def _weighed(edges: set[tuple[str, str]], task_id: str, rule: str) -> set[str]:
    """The tasks whose weights make up that of a task: its own, and those of all before or behind it."""
    ways = {"absolute": set[tuple[str, str]](), "downstream": edges, "upstream": {(down, up) for up, down in edges}}
    found, size = {task_id}, 0
    while size < len(found):
        size = len(found)
        found |= {down for up, down in ways[rule] if up in found}
    return found


def _by_id(written: WrittenDag, over: Over) -> Over:
    if isinstance(over, XComRef):
        return XComRef(written.id_of(over.task_id), over.key)
    if isinstance(over, Together):
        return Together(over.how, tuple(_by_id(written, each) for each in over.of))
    return over


def edges_of(written: WrittenDag) -> set[tuple[str, str]]:
    """All pairs of tasks of which the second comes directly after the first, by their names.

    Relations of groups are worked out from the innermost group outwards: what a group's first and last tasks are
    depends on what stands within it alone.
    """
    tasks = {task.name: task.group for task in written.tasks}
    within = tasks | {group.name: group.name for group in written.groups}
    edges = {(up, down) for up, down in written.relations if up in tasks and down in tasks}
    edges |= {(up, task.name) for task in written.tasks for up in task.sources}
    relations = list(written.relations)
    for group in written.groups:
        relations += [(up, group.name) for up in group.sources]
    for task in written.tasks:
        group_of = written.mapped_group_of(task.group) if task.item else None
        edges |= {(up, task.name) for up in (() if group_of is None else group_of.sources)}
    of_groups: list[tuple[int, str, str]] = []
    for up, down in relations:
        if up not in tasks or down not in tasks:
            around = written.around(within[down])
            depth = max(len(written.around(each)) for each in written.around(within[up]) if each in around)
            of_groups.append((depth, up, down))
    for depth in sorted({each[0] for each in of_groups}, reverse=True):
        edges |= {
            (last, first)
            for _, up, down in (each for each in of_groups if each[0] == depth)
            for last in _ends(written, edges, up, last=True)
            for first in _ends(written, edges, down, last=False)
        }
    return edges


def _ends(written: WrittenDag, edges: set[tuple[str, str]], name: str, *, last: bool) -> set[str]:
    """The last or the first tasks of a group; of a task, itself."""
    members = _members(written, name) or {name}
    inner = {(up, down) for up, down in edges if up in members and down in members}
    return members - {up if last else down for up, down in inner}


def _members(written: WrittenDag, name: str) -> set[str]:
    return {task.name for task in written.tasks if name in written.around(task.group)}
