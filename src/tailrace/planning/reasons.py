"""Why a dependency is met or not: each status of a dependency check as a message, in the terms Airflow logs."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from tailrace.model.keys import index_suffix, spans_of
from tailrace.model.moments import moment_text
from tailrace.model.rules import TriggerRule
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.messages import Action, Message, Sentence
from tailrace.planning.rules import Counts, explain


class RunIs(Message, frozen=True):
    state: DagRunState
    template = "Task instance's dagrun is {0.state}."


class NotRetrying(Message, frozen=True):
    template = "The task instance is not marked for retrying."


class RetryDelayPassed(Message, frozen=True):
    try_number: int
    template = "The retry delay of try {0.try_number} has passed."


class RetryDelay(Message, frozen=True):
    try_number: int
    at: datetime
    template = "Try {0.try_number} failed; the next may start at {0.at:seconds}."


class NotRescheduled(Message, frozen=True):
    template = "The task instance is not waiting for its reschedule time."


class Rescheduled(RetryDelay, frozen=True):
    template = "It is rescheduled for {0.at:seconds}."


class AwaitedState(Struct, frozen=True, omit_defaults=True):
    """A task instance of any DAG, or (without a task) a whole run, that a try waits for, and how it stands.

    ``run_id`` is None where there is no such run.
    """

    dag_id: str
    logical_date: datetime
    state: str
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None

    def __str__(self) -> str:
        index = "" if self.map_index is None else index_suffix(self.map_index)
        what = f"dag {self.dag_id}" if self.task_id is None else f"task {self.task_id}{index} of dag {self.dag_id}"
        run = moment_text(self.logical_date) if self.run_id is None else f"run {self.run_id}"
        stands = "has not begun" if self.state == TaskInstanceState.NONE else f"is {self.state}"
        return f"{what}, {run}, which {stands}"


class OfAwaited(Message, frozen=True):
    awaited: Annotated[tuple[AwaitedState, ...], Meta(min_length=1)]  # the first of them
    count: int  # of all of them

    @property
    def names(self) -> str:
        """The first of them, and how many more there are."""
        more = self.count - len(self.awaited)
        return "; ".join(map(str, self.awaited)) + (f"; and {more:,} more" if more else "")


class Awaits(OfAwaited, frozen=True):
    try_number: int
    at: datetime  # it times out
    template = "Try {0.try_number} waits for {0.names}; it times out at {0.at:seconds}."


class AwaitedDecided(OfAwaited, frozen=True):
    template = "What it waited for is decided: {0.names}."


class BranchExcludes(Message, frozen=True):
    decider: str
    followed: tuple[str, ...]
    template = "Task {0.decider} followed {0.followed:nothing}, which excludes this task."


class BranchUndecided(Message, frozen=True):
    deciders: Annotated[tuple[str, ...], Meta(min_length=1)]
    template = "Waiting for the decision of {0.deciders}."


class NothingExcludes(Message, frozen=True):
    template = "No branch or short circuit excludes this task."


class NoUpstream(Message, frozen=True):
    template = "The task has no upstream tasks."


class AllLeftOut(Message, frozen=True):
    upstream: tuple[str, ...]
    template = "Everything above the task is left out of its part: {0.upstream}."


class UpstreamStates(Message, frozen=True):
    rule: TriggerRule
    success: int
    skipped: int
    failed: int
    upstream_failed: int
    removed: int
    pending: int
    upstream: Annotated[tuple[str, ...], Meta(min_length=1)]
    template = "{0.sentence}"

    @property
    def sentence(self) -> str:
        """The rule, the counts and the upstreams."""
        done = (self.success, self.skipped, self.failed, self.upstream_failed, self.removed)
        return explain(self.rule, Counts(*done, self.pending), self.upstream)


class NoDependsOnPast(Message, frozen=True):
    template = "The task does not have depends_on_past set."


class PastIgnored(Message, frozen=True):
    template = "This run was created to ignore its previous run."


class NoPreviousRun(Message, frozen=True):
    template = "There is no previous run."


class PastMet(Message, frozen=True):
    run_id: str
    tasks: tuple[str, ...]
    template = "{0.tasks} succeeded in {0.run_id}."


class UnmetTask(Struct, frozen=True):
    """A task of a previous run that does not let its later one run: its states that do not, or why it has none."""

    task_id: str
    states: Annotated[tuple[TaskInstanceState, ...], Meta(min_length=1)] | Literal["has not begun", "to run again"]

    def __str__(self) -> str:
        match self.states:
            case "has not begun":
                return f"its {self.task_id} has not begun"
            case "to run again":
                return f"its {self.task_id} is stored to run again"
            case states:
                return f"its {self.task_id} is {', '.join(states)}"


class PastUnmet(Message, frozen=True):
    run_id: str
    state: DagRunState
    unmet: Annotated[tuple[UnmetTask, ...], Meta(min_length=1)]
    template = "depends_on_past: previous run {0.run_id} is {0.how}."

    @property
    def how(self) -> str:
        """How the previous run stands, and its tasks."""
        begun = " after it had begun" if self.state is DagRunState.CANCELLED else ""
        return f"{self.state}{begun}; {'; '.join(map(str, self.unmet))}"


class OfPool(Message, frozen=True):
    pool: str


class PoolMissing(OfPool, frozen=True):
    template = "Pool {0.pool!r} does not exist; create it with {1}."
    action = Action.SET_POOL


class PoolFrozen(OfPool, frozen=True):
    template = "Pool {0.pool!r} has 0 slots, it is frozen; it goes on after {1}."
    action = Action.SET_POOL


class PoolTooSmall(OfPool, frozen=True):
    size: int
    slots: int
    template = "The task needs {0.slots} slots and pool {0.pool!r} has {0.size} in all."


class PoolFits(OfPool, frozen=True):
    size: int
    template = "Pool {0.pool!r} has {0.size} slots in all."


class PoolFull(OfPool, frozen=True):
    size: int
    taken: int
    slots: int
    template = "Pool {0.pool!r}: {0.taken} of {0.size} slots are taken and the task needs {0.slots}."


class DagFull(Message, frozen=True):
    active: int
    limit: int
    template = "{0.active} of {0.limit} active tasks of the DAG (max_active_tasks)."


class TaskFull(Message, frozen=True):
    active: int
    limit: int
    template = "{0.active} of {0.limit} active instances of this task over all runs (max_active_tis_per_dag)."


class TaskFullInRun(Message, frozen=True):
    active: int
    limit: int
    template = "{0.active} of {0.limit} active instances of this task in this run (max_active_tis_per_dagrun)."


class BackfillPaused(Message, frozen=True):
    template = "The backfill is paused."


class LeftToOthers(Message, frozen=True):
    resource: str
    lane: int  # a backfill's row; 0: live runs
    job_id: int
    since: datetime
    occupied: int
    held: float
    template = (
        "{0.resource}: free room is left to {0.whose} of job {0.job_id}, which waits since {0.since:seconds} and holds "
        "{0.occupied}; this lane holds {0.held:g}."
    )

    @property
    def whose(self) -> str:
        """Whose lane."""
        return f"backfill {self.lane}" if self.lane else "live runs"


#: What a stored reason may be. One from before there were codes is its sentence.
class SourcesUnfinished(Message, frozen=True):
    sources: Annotated[tuple[str, ...], Meta(min_length=1)]
    template = "It waits to be expanded: how many instances it has is known once {0.sources} has ended."


class InstancesStopping(Message, frozen=True):
    map_indexes: Annotated[tuple[int, ...], Meta(min_length=1)]
    template = "It waits to be expanded anew, until its instances that are stopping have ended: {0.indexes}."

    @property
    def indexes(self) -> str:
        """Their map indexes."""
        return spans_of(self.map_indexes)


class ExpandsNow(Message, frozen=True):
    count: int
    template = "It is expanded into {0.count:1 instance|# instances} before it runs."


AnyReason: TypeAlias = (
    RunIs
    | NotRetrying
    | RetryDelayPassed
    | RetryDelay
    | NotRescheduled
    | Rescheduled
    | Awaits
    | AwaitedDecided
    | BranchExcludes
    | BranchUndecided
    | NothingExcludes
    | NoUpstream
    | AllLeftOut
    | UpstreamStates
    | NoDependsOnPast
    | PastIgnored
    | NoPreviousRun
    | PastMet
    | PastUnmet
    | PoolMissing
    | PoolFrozen
    | PoolTooSmall
    | PoolFits
    | PoolFull
    | DagFull
    | TaskFull
    | TaskFullInRun
    | BackfillPaused
    | LeftToOthers
    | SourcesUnfinished
    | InstancesStopping
    | ExpandsNow
    | Sentence
)
