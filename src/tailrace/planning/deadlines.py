"""Which runs are late: they have not ended by their DAG's deadline. Nothing else follows from it here.

A run that was opened again after it had ended has no deadline any more.
"""

from collections.abc import Iterator
from datetime import datetime

from tailrace.model.moments import moment_text
from tailrace.model.spec import DeadlineReference, DeadlineSpec
from tailrace.planning.calling import event_of_late_run
from tailrace.planning.plan import RunLate
from tailrace.planning.snapshot import RunSnapshot, Snapshot


def due_at(deadline: DeadlineSpec, run: RunSnapshot) -> datetime | None:
    """By when the run is to have ended; None where nobody knows."""
    match deadline.reference:
        case DeadlineReference.FIXED:
            since = deadline.moment
        case DeadlineReference.LOGICAL_DATE:
            since = run.logical_date
        case DeadlineReference.QUEUED_AT:
            since = run.created_at
    try:
        return None if since is None else since + deadline.interval
    except OverflowError:
        return None


def late_runs(snapshot: Snapshot) -> Iterator[RunLate]:
    """The runs that are late now, and were not before."""
    deadline = snapshot.dag.deadline
    if deadline is None:
        return
    event = event_of_late_run(snapshot.dag)
    runs = {run.id: run for run in (*snapshot.runs, *snapshot.candidates, *snapshot.overdue)}
    for run in runs.values():
        due = due_at(deadline, run)
        if due is not None and due <= snapshot.now and run.late_since is None and not run.reopened:
            yield RunLate(run.id, run.run_id, due, f"late: its deadline was {moment_text(due)}", event)


def next_deadlines(snapshot: Snapshot) -> Iterator[datetime]:
    """When runs may become late."""
    deadline = snapshot.dag.deadline
    if deadline is None:
        return
    for run in (*snapshot.runs, *snapshot.candidates):
        due = due_at(deadline, run)
        if due is not None and due > snapshot.now and not run.reopened:
            yield due
