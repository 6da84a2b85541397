"""The states of everything that has one. A state is text, never NULL: *no status* is a member.

No transition lives here: which state may follow which is data in ``transitions.py``.
"""

from enum import StrEnum


class TaskInstanceState(StrEnum):
    """Where one task of one run stands."""

    NONE = "none"  # the row exists, nothing is decided
    QUEUED = "queued"  # a try is decided; whoever claims it first starts it
    RUNNING = "running"  # a worker holds the try's token and lease
    STOPPING = "stopping"  # the running try was asked to end; it keeps slot and token until it does
    SUCCESS = "success"  # the accepted outcome of a try
    FAILED = "failed"  # the accepted outcome of the last try the budget allows
    SKIPPED = "skipped"  # decided by the task itself, a branch or a trigger rule, or as its run was stopped
    UPSTREAM_FAILED = "upstream_failed"  # its trigger rule can no longer hold, because of a failure
    UP_FOR_RETRY = "up_for_retry"  # a try failed; the next one waits for its delay
    UP_FOR_RESCHEDULE = "up_for_reschedule"  # it gave its slot back; the same try goes on later
    DEFERRED = "deferred"  # (not reached yet) the same try waits for an event outside any worker
    REMOVED = "removed"  # its task is no longer in the DAG, or has no instance of its map index any more


class DagRunState(StrEnum):
    """Where one run of a DAG stands."""

    QUEUED = "queued"  # wanted; not yet inside anybody's window
    RUNNING = "running"  # active: its task instances exist and are being driven
    SUCCESS = "success"  # every leaf succeeded or was skipped
    FAILED = "failed"  # some leaf failed or is upstream_failed, or it was stopped before its tasks had ended
    DEADLOCKED = "deadlocked"  # proven: every unfinished task instance is doomed
    CANCELLED = "cancelled"  # a person ended it


class BackfillState(StrEnum):
    """Where one backfill stands. Pausing is a flag beside it, not a state."""

    QUEUED = "queued"  # created; no job has driven it yet
    RUNNING = "running"  # some job drives it, or one did and the same command continues it
    SUCCESS = "success"  # every wanted run succeeded
    FAILED = "failed"  # some wanted run failed or was cancelled by somebody
    DEADLOCKED = "deadlocked"  # some wanted run is deadlocked (wins over failed)
    CANCELLED = "cancelled"  # a person ended it


class JobKind(StrEnum):
    """What a job drives."""

    BACKFILL = "backfill"  # one backfill
    SCHEDULER = "scheduler"  # the live runs of its DAGs, and detached backfills


class JobState(StrEnum):
    """Where one process that drives work (a backfill job, a scheduler) stands."""

    RUNNING = "running"  # believed alive while its heartbeat is fresh
    SUCCESS = "success"  # ended by itself
    FAILED = "failed"  # ended by an error
    INTERRUPTED = "interrupted"  # ended by a signal


#: A task instance in one of these has its outcome; only a person's command changes it again.
FINISHED = frozenset(
    {
        TaskInstanceState.SUCCESS,
        TaskInstanceState.FAILED,
        TaskInstanceState.SKIPPED,
        TaskInstanceState.UPSTREAM_FAILED,
        TaskInstanceState.REMOVED,
    }
)

#: Nothing of a task instance in one of these is under way: it may be queued, or be given an end without a try.
IDLE = frozenset({TaskInstanceState.NONE, TaskInstanceState.UP_FOR_RETRY})

#: A task instance in one of these holds pool slots and counts against every limit.
OCCUPYING = frozenset({TaskInstanceState.QUEUED, TaskInstanceState.RUNNING, TaskInstanceState.STOPPING})

#: A task instance in one of these has a try that a worker holds.
CLAIMED = frozenset({TaskInstanceState.RUNNING, TaskInstanceState.STOPPING})

#: A run in one of these is closed: judged, and out of every window.
CLOSED = frozenset({DagRunState.SUCCESS, DagRunState.FAILED, DagRunState.DEADLOCKED, DagRunState.CANCELLED})

#: A backfill in one of these is judged.
BACKFILL_CLOSED = frozenset(
    {BackfillState.SUCCESS, BackfillState.FAILED, BackfillState.DEADLOCKED, BackfillState.CANCELLED}
)
