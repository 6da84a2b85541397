"""What authoring compiles a DAG into: frozen, JSON-able, free of user code. Planning and metastore know only this."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from tailrace.model.callbacks import EVERYWHERE
from tailrace.model.rules import TriggerRule

DEFAULT_POOL = "default_pool"
DEFAULT_POOL_SLOTS = 128

#: A mapped task that would have more instances fails, unless the setting ``max_map_length`` says otherwise.
MOST_INSTANCES = 1024


class ScheduleKind(StrEnum):
    """How a schedule's text is to be read."""

    NONE = "none"  # never by itself
    ONCE = "once"  # one run, at the start date
    CRON = "cron"  # five-field cron expression in the DAG's time zone
    INTERVAL = "interval"  # a fixed number of seconds, counted from the start date


class Schedule(Struct, frozen=True):
    """A schedule: ``expression`` is the cron text, or the seconds of an interval, or empty."""

    kind: ScheduleKind
    expression: str = ""
    timezone: str = "UTC"


class BranchKind(StrEnum):
    """Whether a task's outcome decides which of its downstream tasks are excluded."""

    NOTHING = "nothing"
    BRANCH = "branch"  # excludes the direct downstream tasks it does not follow
    SHORT_CIRCUIT = "short_circuit"  # may exclude everything below it, whatever their trigger rules
    SHORT_CIRCUIT_DIRECT = "short_circuit_direct"  # may exclude its direct downstream tasks only


class XComRef(Struct, frozen=True, order=True):
    """What a task of the run leaves for others under this key."""

    task_id: str
    key: str = "return_value"


class Together(NamedTuple):
    """Several lists and dicts that a task is expanded over as one, by the length of that one.

    ``how``: "shortest" or "longest" where their items stand side by side, "sum" where they follow one another.
    """

    how: Literal["shortest", "longest", "sum"]
    of: tuple["Over", ...]

    def length(self, lengths: Iterable[int]) -> int:
        """How many items there are, from the lengths of its parts."""
        combine: dict[str, Callable[..., int]] = {"shortest": min, "longest": max, "sum": sum}
        return combine[self.how](lengths)


#: What a task is expanded over: an XCom, a list that is written in the DAG file (its length), or several as one.
Over: TypeAlias = "XComRef | int | Together"


def xcoms_of(over: Iterable[Over]) -> Iterator[XComRef]:
    """Every XCom in what a task is expanded over."""
    for each in over:
        if isinstance(each, XComRef):
            yield each
        elif isinstance(each, Together):
            yield from xcoms_of(each.of)


class RetryAction(StrEnum):
    """What becomes of a try that has failed."""

    RETRY = "retry"  # it is tried again, while its retries last
    FAIL = "fail"  # it has failed for good
    DEFAULT = "default"  # as without a policy


class RetryRuleSpec(Struct, frozen=True):
    """What becomes of a try that raised one of these exceptions, by their names.

    ``retry_delay``: how long the next try waits, instead of as the task says.
    """

    exceptions: tuple[str, ...]
    action: RetryAction = RetryAction.RETRY
    retry_delay: timedelta | None = None
    reason: str = ""
    match_subclasses: bool = True


class RetryPolicySpec(Struct, frozen=True):
    """The first rule that fits the exception decides; ``default``: what becomes of a try that none fits."""

    rules: tuple[RetryRuleSpec, ...] = ()
    default: RetryAction = RetryAction.DEFAULT

    def action_for(self, number: int) -> tuple[RetryAction, timedelta | None, str]:
        """What the rule of this number says, how long to wait and why; of any other number, what ``default`` says."""
        if not 0 <= number < len(self.rules):
            return self.default, None, "no rule of its retry_policy fits"
        rule = self.rules[number]
        return (
            rule.action,
            rule.retry_delay,
            rule.reason or f"its retry_policy has a rule for {' or '.join(rule.exceptions)}",
        )


class DeadlineReference(StrEnum):
    """What a deadline counts from."""

    QUEUED_AT = "queued_at"  # the run was created
    LOGICAL_DATE = "logical_date"
    FIXED = "fixed"  # a moment, the same for all runs


class DeadlineSpec(Struct, frozen=True):
    """By when a run is to have ended: so long after the moment that ``reference`` names."""

    reference: DeadlineReference
    interval: timedelta
    moment: datetime | None = None  # for a fixed one


class ParamSpec(Struct, frozen=True):
    """A value that a run may be given by name: JSON texts of its default and of its schema.

    Without a default each run must be given one; with an empty schema it may be anything. ``task_id``: whose own it is;
    empty for one of the DAG.
    """

    name: str
    default: str | None = None
    schema: str = ""
    task_id: str = ""


class TaskSpec(Struct, frozen=True):
    """One task. Durations are timedeltas; ``upstream`` and ``downstream`` are sorted task ids.

    A task is *mapped* where ``mapped_over`` says what it is expanded over: it has an instance for each combination of
    the items of these lists and dicts. A list written in the DAG file stands there by its length, one that is known
    only as the run goes on by the XCom of a direct upstream task.
    """

    task_id: str
    operator: str = "EmptyOperator"
    upstream: tuple[str, ...] = ()
    downstream: tuple[str, ...] = ()
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    retries: int = 0
    retry_delay: timedelta = timedelta(minutes=5)
    retry_exponential_backoff: bool = False
    max_retry_delay: timedelta | None = None
    execution_timeout: timedelta | None = None
    depends_on_past: bool = False
    wait_for_downstream: bool = False
    pool: str = DEFAULT_POOL
    pool_slots: int = 1
    priority_weight: int = 1  # already summed up by the weight rule (own, downstream or upstream)
    max_active_tis_per_dag: int | None = None
    max_active_tis_per_dagrun: int | None = None
    decides: BranchKind = BranchKind.NOTHING
    mapped_over: tuple[Over, ...] | None = None  # None: not mapped
    mapped_group: str = ""  # the mapped task group that it is in
    retry_policy: RetryPolicySpec | None = None
    calls: tuple[str, ...] = ()  # the callbacks that it has, by their arguments, sorted

    @property
    def length_sources(self) -> tuple[XComRef, ...]:
        """The XComs whose lengths say how many instances the task has."""
        return tuple(xcoms_of(self.mapped_over or ()))

    @property
    def looks_back_at(self) -> tuple[str, ...]:
        """The tasks whose task instances in the previous run it waits for; empty for a task that looks at no past."""
        if self.wait_for_downstream:
            return (self.task_id, *self.downstream)
        return (self.task_id,) if self.depends_on_past else ()


class GroupSpec(Struct, frozen=True, order=True):
    """A task group: the tasks directly in it, sorted, and the group that it is in; empty for one in no other."""

    group_id: str
    tasks: tuple[str, ...] = ()
    parent: str = ""
    tooltip: str = ""


class EdgeLabel(Struct, frozen=True, order=True):
    """What is written on the way from one task to another that is directly below it."""

    upstream: str
    downstream: str
    label: str


class DagSpec(Struct, frozen=True, dict=True):  # a dict, for the cached properties below
    """One DAG, its tasks in topological order (ties by task id)."""

    dag_id: str
    tasks: tuple[TaskSpec, ...]
    schedule: Schedule = field(default_factory=lambda: Schedule(ScheduleKind.NONE))
    start_date: datetime | None = None
    end_date: datetime | None = None
    catchup: bool = False
    max_active_runs: int = 16
    max_active_tasks: int = 16
    description: str = ""
    tags: tuple[str, ...] = ()
    file: str = ""  # where it was read from
    code_hash: str = ""  # sha256 of that file's bytes, hex
    params: tuple[ParamSpec, ...] = ()  # the DAG's and its tasks'
    paused_at_creation: bool | None = None  # whether a new DAG begins paused; None: as the settings say
    groups: tuple[GroupSpec, ...] = ()  # by their ids; planning knows of the mapped ones, by what their tasks say
    labels: tuple[EdgeLabel, ...] = ()
    dagrun_timeout: timedelta | None = None  # a run that takes longer fails
    max_consecutive_failed_dag_runs: int = 0  # after so many scheduled runs have failed it is paused; 0: never
    deadline: DeadlineSpec | None = None
    fail_fast: bool = False  # the first task that fails ends the rest of its run
    calls: tuple[str, ...] = ()  # the callbacks that are called for its runs and backfills, sorted

    @cached_property
    def by_id(self) -> Mapping[str, TaskSpec]:
        """The tasks by task id, in topological order."""
        return MappingProxyType({task.task_id: task for task in self.tasks})

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """For each task and group that is in a group, the id of that."""
        inner = {group.group_id: group.parent for group in self.groups if group.parent}
        return MappingProxyType(inner | {task_id: group.group_id for group in self.groups for task_id in group.tasks})

    @cached_property
    def members(self) -> Mapping[str, frozenset[str]]:
        """For each group id, all tasks in it, in groups or not."""
        found: dict[str, set[str]] = {group.group_id: set(group.tasks) for group in self.groups}
        for group in self.groups:
            for outer in self.groups_around(group.group_id):
                found[outer].update(group.tasks)
        return MappingProxyType({group_id: frozenset(tasks) for group_id, tasks in found.items()})

    def groups_around(self, task_id: str) -> tuple[str, ...]:
        """The ids of the groups that a task or group is in, the innermost first."""
        found: list[str] = []
        while (group := self.group_of.get(found[-1] if found else task_id)) is not None:
            found.append(group)
        return tuple(found)

    @cached_property
    def leaves(self) -> frozenset[str]:
        """Task ids without downstream: a run is judged by them."""
        return frozenset(task.task_id for task in self.tasks if not task.downstream)

    @cached_property
    def looking_back(self) -> tuple[TaskSpec, ...]:
        """The tasks with depends_on_past or wait_for_downstream."""
        return tuple(task for task in self.tasks if task.looks_back_at)

    @cached_property
    def mapped(self) -> tuple[TaskSpec, ...]:
        """The mapped tasks."""
        return tuple(task for task in self.tasks if task.mapped_over is not None)

    @cached_property
    def mapped_groups(self) -> Mapping[str, tuple[TaskSpec, ...]]:
        """The tasks of each mapped task group, in groups within it or not."""
        found: dict[str, list[TaskSpec]] = {}
        for task in self.tasks:
            if task.mapped_group:
                found.setdefault(task.mapped_group, []).append(task)
        return MappingProxyType({group_id: tuple(tasks) for group_id, tasks in found.items()})

    def are_in_one_mapped_group(self, task_id: str, other: str) -> bool:
        """Whether both are tasks of one mapped group: then each looks at the other by its own map index."""
        one, two = self.by_id.get(task_id), self.by_id.get(other)
        return one is not None and two is not None and bool(one.mapped_group) and one.mapped_group == two.mapped_group

    @cached_property
    def calls_back(self) -> bool:
        """Whether anything of it has callbacks that jobs call."""
        return bool(self.calls) or any(task.calls for task in self.tasks)

    @property
    def depends_on_past(self) -> bool:
        """Whether any task looks at a previous run."""
        return bool(self.looking_back)

    @property
    def has_schedule(self) -> bool:
        """Whether its runs are points of a schedule: then runs triggered by hand stand beside them."""
        return self.schedule.kind is not ScheduleKind.NONE

    @cached_property
    def descendants(self) -> Mapping[str, frozenset[str]]:
        """For each task id, every task id below it, however far."""
        below: dict[str, frozenset[str]] = {}
        for task in reversed(self.tasks):
            found: set[str] = set(task.downstream)
            for task_id in task.downstream:
                found |= below.get(task_id, frozenset())
            below[task.task_id] = frozenset(found)
        return MappingProxyType(below)

    @cached_property
    def deciders(self) -> Mapping[str, tuple[str, ...]]:
        """For each task id, what may exclude it: branches directly above it, short circuits that reach it."""
        deciding: dict[str, list[str]] = {task.task_id: [] for task in self.tasks}
        for task in self.tasks:
            if task.decides is BranchKind.NOTHING:
                continue
            far = task.decides is BranchKind.SHORT_CIRCUIT
            for task_id in self.descendants[task.task_id] if far else task.downstream:
                deciding[task_id].append(task.task_id)
        return MappingProxyType({task_id: tuple(found) for task_id, found in deciding.items()})

    def excludes(self, decider: str, followed: tuple[str, ...] | None, task_id: str) -> bool:
        """Whether ``decider``, having followed these, excludes ``task_id`` (one of those it decides over).

        A task that is also below a followed one is not excluded: another path of the same branch leads to it.
        """
        if followed is None:
            return False
        return all(task_id != way and task_id not in self.descendants.get(way, frozenset()) for way in followed)


def called_everywhere(dag: DagSpec, keys: Iterable[str]) -> DagSpec:
    """The DAG with what is called for all DAGs besides its own callbacks: ``keys`` are those of EVERYWHERE."""
    of_tasks, of_dag = set[str](), set[str]()
    for key in keys:
        about, callback = EVERYWHERE[key]
        (of_tasks if about == "task_instance" else of_dag).add(callback.value)
    tasks = dag.tasks
    if of_tasks:
        tasks = tuple(replace(task, calls=tuple(sorted(of_tasks.union(task.calls)))) for task in tasks)
    return replace(dag, tasks=tasks, calls=tuple(sorted(of_dag.union(dag.calls))))
