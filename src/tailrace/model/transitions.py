"""The transition tables, as data: from, to, who may, and why.

Code, the SQL checks, the audit, the docs table and the simulator's coverage report all read these rows;
nobody assigns a state anywhere else. A change of behaviour starts with a row here.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, TypeVar

from msgspec import Struct

from tailrace.model.states import BackfillState, DagRunState, TaskInstanceState

S = TypeVar("S", TaskInstanceState, DagRunState, BackfillState)


class Actor(StrEnum):
    """Who may make a transition."""

    PLANNER = "planner"  # a job, applying a plan
    WORKER = "worker"  # the holder of a try's token
    PERSON = "person"  # a command somebody typed


class Cause(StrEnum):
    """Why a transition happened. One value for each family of rows; the reason as text stands beside it in history."""

    CREATED = "created"
    DEPENDENCIES_MET = "dependencies_met"
    TRIGGER_RULE = "trigger_rule"
    BRANCH = "branch"
    CLAIMED = "claimed"
    RESCHEDULED = "rescheduled"  # a try gave its slot back, until a moment that it named
    AWAITS = "awaits"  # the same, until what it named in other runs is decided
    RESUMED = "resumed"  # that came: the same try is queued again
    OUTCOME = "outcome"
    RETRY = "retry"
    LOST = "lost"
    LOST_TOGETHER = "lost_together"  # several tries at once, with the process that had started them
    REMOVED_FROM_DAG = "removed_from_dag"
    DAGRUN_TIMEOUT = "dagrun_timeout"  # its run took longer than the DAG allows
    LATE = "late"  # a run has missed its deadline
    FAIL_FAST = "fail_fast"  # a task of its run failed, and the DAG ends the rest then
    EXPANDED = "expanded"  # a mapped task was given its instances
    REPROCESS = "reprocess"
    CLEARED = "cleared"
    MARKED = "marked"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    YIELDED = "yielded"
    ACTIVATED = "activated"
    JUDGED = "judged"
    RESIZED = "resized"  # a pool, by a person
    DELETED = "deleted"  # a pool or a secret, by a person; a Variable, by a task
    RECORDED = "recorded"  # what stood before history recorded it; columns that are no state
    CLEANED = "cleaned"  # a person had old rows removed


class Transition(Struct, Generic[S], frozen=True):
    """One legal step: ``before`` → ``after``, made by ``actor`` for ``cause``."""

    before: S
    after: S
    actor: Actor
    cause: Cause


_T = TaskInstanceState
_R = DagRunState
_B = BackfillState


def _rows(before: Iterable[S], after: Iterable[S], actor: Actor, cause: Cause) -> tuple[Transition[S], ...]:
    return tuple(Transition(b, a, actor, cause) for b in before for a in after if b is not a)


_UNFINISHED_IDLE = (_T.NONE, _T.UP_FOR_RETRY)
_DONE = (_T.SUCCESS, _T.FAILED, _T.SKIPPED, _T.UPSTREAM_FAILED, _T.REMOVED)
_IDLE_OR_DONE = (*_UNFINISHED_IDLE, *_DONE)

TASK_INSTANCE_TRANSITIONS: tuple[Transition[TaskInstanceState], ...] = (
    # a job decides
    *_rows(_UNFINISHED_IDLE, (_T.QUEUED,), Actor.PLANNER, Cause.DEPENDENCIES_MET),
    *_rows(_UNFINISHED_IDLE, (_T.SKIPPED, _T.UPSTREAM_FAILED), Actor.PLANNER, Cause.TRIGGER_RULE),
    *_rows(_UNFINISHED_IDLE, (_T.SKIPPED,), Actor.PLANNER, Cause.BRANCH),
    *_rows(_UNFINISHED_IDLE, (_T.REMOVED,), Actor.PLANNER, Cause.REMOVED_FROM_DAG),
    # its run is stopped before its tasks have ended
    *(
        row
        for cause in (Cause.DAGRUN_TIMEOUT, Cause.FAIL_FAST)
        for row in (
            *_rows((*_UNFINISHED_IDLE, _T.QUEUED, _T.UP_FOR_RESCHEDULE), (_T.SKIPPED,), Actor.PLANNER, cause),
            *_rows((_T.RUNNING,), (_T.STOPPING,), Actor.PLANNER, cause),
        )
    ),
    # a mapped task is expanded: an instance begins anew, or is one too many
    Transition(_T.NONE, _T.NONE, Actor.PLANNER, Cause.EXPANDED),
    *_rows((_T.UP_FOR_RETRY, _T.REMOVED), (_T.NONE,), Actor.PLANNER, Cause.EXPANDED),
    *_rows(_UNFINISHED_IDLE, (_T.SKIPPED, _T.UPSTREAM_FAILED, _T.FAILED, _T.REMOVED), Actor.PLANNER, Cause.EXPANDED),
    *_rows((_T.RUNNING,), (_T.UP_FOR_RETRY, _T.FAILED), Actor.PLANNER, Cause.LOST),
    *_rows((_T.STOPPING,), (_T.NONE, _T.SUCCESS, _T.FAILED, _T.SKIPPED), Actor.PLANNER, Cause.LOST),
    *_rows(_DONE, (_T.NONE,), Actor.PLANNER, Cause.REPROCESS),
    # a try that has given its slot back goes on
    *_rows((_T.UP_FOR_RESCHEDULE,), (_T.QUEUED,), Actor.PLANNER, Cause.RESUMED),
    *_rows((_T.UP_FOR_RESCHEDULE,), (_T.REMOVED,), Actor.PLANNER, Cause.REMOVED_FROM_DAG),
    # the holder of a try
    *_rows((_T.QUEUED,), (_T.RUNNING,), Actor.WORKER, Cause.CLAIMED),
    *_rows((_T.RUNNING,), (_T.SUCCESS, _T.FAILED, _T.SKIPPED), Actor.WORKER, Cause.OUTCOME),
    *_rows((_T.RUNNING,), (_T.UP_FOR_RETRY,), Actor.WORKER, Cause.RETRY),
    *_rows((_T.RUNNING,), (_T.UP_FOR_RESCHEDULE,), Actor.WORKER, Cause.RESCHEDULED),
    *_rows((_T.RUNNING,), (_T.UP_FOR_RESCHEDULE,), Actor.WORKER, Cause.AWAITS),
    *_rows((_T.RUNNING,), (_T.UP_FOR_RETRY, _T.FAILED), Actor.WORKER, Cause.LOST),
    *_rows((_T.RUNNING,), (_T.UP_FOR_RETRY,), Actor.WORKER, Cause.LOST_TOGETHER),
    *_rows((_T.STOPPING,), (_T.NONE, _T.SUCCESS, _T.FAILED, _T.SKIPPED), Actor.WORKER, Cause.OUTCOME),
    # a person
    *_rows(_IDLE_OR_DONE, (_T.NONE,), Actor.PERSON, Cause.CLEARED),
    *_rows((_T.QUEUED, _T.UP_FOR_RESCHEDULE), (_T.NONE,), Actor.PERSON, Cause.CLEARED),
    *_rows((_T.RUNNING,), (_T.STOPPING,), Actor.PERSON, Cause.CLEARED),
    *_rows(
        (*_IDLE_OR_DONE, _T.QUEUED, _T.UP_FOR_RESCHEDULE),
        (_T.SUCCESS, _T.FAILED, _T.SKIPPED),
        Actor.PERSON,
        Cause.MARKED,
    ),
    *_rows((_T.RUNNING,), (_T.STOPPING,), Actor.PERSON, Cause.MARKED),
    *_rows((_T.QUEUED, _T.UP_FOR_RESCHEDULE), (_T.NONE,), Actor.PERSON, Cause.CANCELLED),
    *_rows((_T.RUNNING,), (_T.STOPPING,), Actor.PERSON, Cause.CANCELLED),
    *_rows((_T.QUEUED,), (_T.NONE,), Actor.PERSON, Cause.PAUSED),
    *_rows((_T.QUEUED,), (_T.UP_FOR_RESCHEDULE,), Actor.PERSON, Cause.PAUSED),  # it had been resumed
    # its mapped task is to be expanded anew: it had not begun
    Transition(_T.NONE, _T.NONE, Actor.PERSON, Cause.CLEARED),
    Transition(_T.NONE, _T.NONE, Actor.PLANNER, Cause.REPROCESS),
    # the same try is stopped already; where it ends is changed
    Transition(_T.STOPPING, _T.STOPPING, Actor.PERSON, Cause.CLEARED),
    Transition(_T.STOPPING, _T.STOPPING, Actor.PERSON, Cause.MARKED),
)

DAG_RUN_TRANSITIONS: tuple[Transition[DagRunState], ...] = (
    *_rows((_R.QUEUED,), (_R.RUNNING,), Actor.PLANNER, Cause.ACTIVATED),
    *_rows((_R.RUNNING,), (_R.SUCCESS, _R.FAILED, _R.DEADLOCKED), Actor.PLANNER, Cause.JUDGED),
    # stopped before its tasks have ended: what is left of it is ended, then it is judged
    Transition(_R.RUNNING, _R.RUNNING, Actor.PLANNER, Cause.DAGRUN_TIMEOUT),
    Transition(_R.RUNNING, _R.RUNNING, Actor.PLANNER, Cause.FAIL_FAST),
    *_rows((_R.RUNNING,), (_R.QUEUED,), Actor.PLANNER, Cause.YIELDED),  # its previous run was opened again behind it
    *_rows((_R.SUCCESS, _R.FAILED, _R.DEADLOCKED, _R.CANCELLED), (_R.QUEUED,), Actor.PERSON, Cause.REPROCESS),
    *_rows((_R.SUCCESS, _R.FAILED, _R.DEADLOCKED, _R.CANCELLED), (_R.QUEUED,), Actor.PERSON, Cause.CLEARED),
    *_rows((_R.DEADLOCKED,), (_R.QUEUED,), Actor.PERSON, Cause.MARKED),  # a mark lifted what blocked it
    *_rows((_R.DEADLOCKED,), (_R.QUEUED,), Actor.PERSON, Cause.RESIZED),  # a pool has the slots that it needs
    *_rows((_R.QUEUED, _R.RUNNING), (_R.CANCELLED,), Actor.PERSON, Cause.CANCELLED),
    *_rows(
        (_R.QUEUED, _R.RUNNING, _R.SUCCESS, _R.FAILED, _R.DEADLOCKED, _R.CANCELLED),
        (_R.SUCCESS, _R.FAILED),
        Actor.PERSON,
        Cause.MARKED,
    ),
)

BACKFILL_TRANSITIONS: tuple[Transition[BackfillState], ...] = (
    *_rows((_B.QUEUED,), (_B.RUNNING,), Actor.PLANNER, Cause.ACTIVATED),
    *_rows((_B.QUEUED, _B.RUNNING), (_B.SUCCESS, _B.FAILED, _B.DEADLOCKED), Actor.PLANNER, Cause.JUDGED),
    *_rows((_B.QUEUED, _B.RUNNING), (_B.CANCELLED,), Actor.PERSON, Cause.CANCELLED),
)

_LEGAL_TASK_INSTANCE = frozenset((t.before, t.after, t.actor, t.cause) for t in TASK_INSTANCE_TRANSITIONS)
_LEGAL_DAG_RUN = frozenset((t.before, t.after, t.actor, t.cause) for t in DAG_RUN_TRANSITIONS)
_LEGAL_BACKFILL = frozenset((t.before, t.after, t.actor, t.cause) for t in BACKFILL_TRANSITIONS)


def task_instance_may(before: TaskInstanceState, after: TaskInstanceState, actor: Actor, cause: Cause) -> bool:
    """Whether the table has this step for a task instance."""
    return (before, after, actor, cause) in _LEGAL_TASK_INSTANCE


def dag_run_may(before: DagRunState, after: DagRunState, actor: Actor, cause: Cause) -> bool:
    """Whether the table has this step for a run."""
    return (before, after, actor, cause) in _LEGAL_DAG_RUN


def backfill_may(before: BackfillState, after: BackfillState, actor: Actor, cause: Cause) -> bool:
    """Whether the table has this step for a backfill."""
    return (before, after, actor, cause) in _LEGAL_BACKFILL
