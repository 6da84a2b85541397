"""How one backfill stands: read in one transaction, for people only."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, convert
from sqlalchemy import ColumnElement, and_, func, select

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.failed_inside import FAILED, Failures, failures_of_backfills
from tailrace.metastore.plans.wanted import part_tasks, run_counts
from tailrace.metastore.views.awaited import WaitingTasks, waiting_tasks
from tailrace.metastore.views.failures import (
    FAILED_FIRST,
    ROOT,
    Root,
    RootBefore,
    failure_groups,
    root_before,
    root_of,
)
from tailrace.metastore.views.persons import creation_and_last, of_backfills
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.backfills import DateAction
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.failure_groups import Failed
from tailrace.planning.messages import Message, Sentence
from tailrace.planning.plan import Blocker, Dependency, DependencyStatus
from tailrace.planning.reasons import AnyReason

_BAD_RUNS = (DagRunState.FAILED.value, DagRunState.DEADLOCKED.value, DagRunState.CANCELLED.value)


class BackfillSummary(Struct, frozen=True):
    """How one backfill stands. ``left_failed`` counts runs that had failed before it and were left alone.

    ``root_failure`` is in its own runs, ``root_before`` in one that blocks them and is none of its own.
    """

    id: int
    dag_id: str
    state: str
    reason: str
    runs: Mapping[str, int]
    task_instances: Mapping[str, int]
    blocked: tuple[Blocker, ...]
    root_failure: Root | None
    left_failed: int
    failures: Failures = Failures()
    failed: tuple[Failed, ...] = ()  # by task and error
    root_before: RootBefore | None = None
    last_command: PersonsCommand | None = None
    part: tuple[str, ...] | None = None  # the tasks that it does; None: all
    waiting: WaitingTasks = WaitingTasks()  # for other runs


def summarize(tx: Transaction, backfill_id: int) -> BackfillSummary:
    """How a backfill stands. Raises KeyError for one that does not exist."""
    row = tx.row(select(backfill).where(backfill.c.id == backfill_id))
    if row is None:
        raise KeyError(backfill_id)
    left = select(func.count()).where(
        backfill_run.c.backfill_id == backfill_id,
        backfill_run.c.action == DateAction.LEAVE.value,
        backfill_run.c.run_state.in_(_BAD_RUNS),
    )
    stored = _stored_blockers(tx, backfill_id)
    return BackfillSummary(
        id=row.id,
        dag_id=row.dag_id,
        state=row.state,
        reason=row.reason,
        runs=run_counts(tx, [backfill_id])[backfill_id],
        task_instances=task_instance_counts(tx, backfill_id),
        blocked=tuple(map(stored_blocker, stored)),
        root_failure=_root(tx, backfill_id),
        left_failed=int(tx.value(left)),
        failures=failures_of_backfills(tx, [backfill_id]).get(backfill_id, Failures()),
        failed=failure_groups(tx, backfill_id),
        root_before=root_before(tx, backfill_id, stored),
        last_command=creation_and_last(row, of_backfills(tx, [row.dag_id]).get(backfill_id, ()))[1],
        part=part_tasks(tx, [backfill_id]).get(backfill_id),
        waiting=waiting_tasks(tx, backfill_id),
    )


def task_instance_counts(tx: Transaction, backfill_id: int) -> dict[str, int]:
    """The task instances of these runs, counted by state."""
    counted = (
        select(task_instance.c.state, func.count())
        .join(backfill_run, wanted_by(tx, backfill_id))
        .group_by(task_instance.c.state)
    )
    return dict(tx.rows(counted))


def wanted_by(tx: Transaction, backfill_id: int) -> ColumnElement[bool]:
    """The join condition: task instances of runs that this backfill wants, of the tasks that it does."""
    of_run = and_(backfill_run.c.dag_run_id == task_instance.c.dag_run_id, backfill_run.c.backfill_id == backfill_id)
    part = part_tasks(tx, [backfill_id]).get(backfill_id)
    return of_run if part is None else and_(of_run, task_instance.c.task_id.in_(part))


def _stored_blockers(tx: Transaction, backfill_id: int) -> list[dict[str, Any]]:
    wanted = (
        select(dag_run.c.blocked)
        .join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
        .where(backfill_run.c.backfill_id == backfill_id, dag_run.c.blocked.is_not(None))
        .order_by(backfill_run.c.ordinal)
    )
    return [each for blocked in tx.column(wanted) for each in from_json(blocked)]


def stored_blocker(stored: dict[str, Any]) -> Blocker:
    """A blocked task instance as a verdict stored it."""
    return Blocker(
        TaskInstanceKey(**stored["task_instance"]),
        TaskInstanceState(stored["state"]),
        tuple(
            DependencyStatus(Dependency(each["dependency"]), False, _reason(each["reason"]))
            for each in stored["reasons"]
        ),
        stored.get("previous_run"),
    )


def _reason(stored: str | dict[str, Any]) -> Message:
    """A stored reason; from before there were codes, its sentence."""
    reason: Message = Sentence(stored) if isinstance(stored, str) else convert(stored, AnyReason)
    return reason


def _root(tx: Transaction, backfill_id: int) -> Root | None:
    """The first failure in time of the first bad run; one that failed itself goes before one that only followed."""
    wanted = (
        ROOT.join(backfill_run, wanted_by(tx, backfill_id))
        .where(backfill_run.c.run_state.in_(_BAD_RUNS), FAILED)
        .order_by(*FAILED_FIRST, backfill_run.c.ordinal, task_instance.c.id)
        .limit(1)
    )
    row = tx.row(wanted)
    return None if row is None else root_of(row)
