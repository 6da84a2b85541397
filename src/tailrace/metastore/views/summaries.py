"""How one backfill stands: read in one transaction, for people only."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, convert
from sqlalchemy import ColumnElement, and_, func, select

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.failed_inside import FAILED, Failures, failures_of_backfills
from tailrace.model.keys import TaskInstanceKey, TryKey
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.backfills import DateAction
from tailrace.planning.messages import Message, Sentence
from tailrace.planning.plan import Blocker, Dependency, DependencyStatus
from tailrace.planning.reasons import AnyReason

_BAD_RUNS = (DagRunState.FAILED.value, DagRunState.DEADLOCKED.value, DagRunState.CANCELLED.value)


class Root(Struct, frozen=True):
    """The failure that others go back to: the first failed task instance of the first bad run."""

    try_key: TryKey
    state: str
    reason: str


class BackfillSummary(Struct, frozen=True):
    """How one backfill stands. ``left_failed`` counts runs that had failed before it and were left alone."""

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
    return BackfillSummary(
        id=row.id,
        dag_id=row.dag_id,
        state=row.state,
        reason=row.reason,
        runs=run_counts(tx, backfill_id),
        task_instances=task_instance_counts(tx, backfill_id),
        blocked=_blocked(tx, backfill_id),
        root_failure=_root(tx, backfill_id),
        left_failed=int(tx.value(left)),
        failures=failures_of_backfills(tx, [backfill_id]).get(backfill_id, Failures()),
    )


def run_counts(tx: Transaction, backfill_id: int) -> dict[str, int]:
    """The runs that a backfill wants, counted by state."""
    counted = (
        select(backfill_run.c.run_state, func.count())
        .where(backfill_run.c.backfill_id == backfill_id)
        .group_by(backfill_run.c.run_state)
    )
    return dict(tx.rows(counted))


def task_instance_counts(tx: Transaction, backfill_id: int) -> dict[str, int]:
    """The task instances of these runs, counted by state."""
    counted = (
        select(task_instance.c.state, func.count())
        .join(backfill_run, wanted_by(backfill_id))
        .group_by(task_instance.c.state)
    )
    return dict(tx.rows(counted))


def wanted_by(backfill_id: int) -> ColumnElement[bool]:
    """The join condition: task instances of runs that this backfill wants."""
    return and_(backfill_run.c.dag_run_id == task_instance.c.dag_run_id, backfill_run.c.backfill_id == backfill_id)


def _blocked(tx: Transaction, backfill_id: int) -> tuple[Blocker, ...]:
    wanted = (
        select(dag_run.c.blocked)
        .join(backfill_run, backfill_run.c.dag_run_id == dag_run.c.id)
        .where(backfill_run.c.backfill_id == backfill_id, dag_run.c.blocked.is_not(None))
        .order_by(backfill_run.c.ordinal)
    )
    return tuple(stored_blocker(each) for blocked in tx.column(wanted) for each in from_json(blocked))


def stored_blocker(stored: dict[str, Any]) -> Blocker:
    """A blocked task instance as a verdict stored it."""
    return Blocker(
        TaskInstanceKey(**stored["task_instance"]),
        TaskInstanceState(stored["state"]),
        tuple(
            DependencyStatus(Dependency(each["dependency"]), False, _reason(each["reason"]))
            for each in stored["reasons"]
        ),
    )


def _reason(stored: str | dict[str, Any]) -> Message:
    """A stored reason; from before there were codes, its sentence."""
    reason: Message = Sentence(stored) if isinstance(stored, str) else convert(stored, AnyReason)
    return reason


def _root(tx: Transaction, backfill_id: int) -> Root | None:
    """The first failure in time of the first bad run; one that failed itself goes before one that only followed."""
    wanted = (
        select(
            dag_run.c.dag_id,
            dag_run.c.run_id,
            task_instance.c.task_id,
            task_instance.c.map_index,
            task_instance.c.try_number,
            task_instance.c.state,
            task_instance.c.reason,
        )
        .select_from(task_instance)
        .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
        .join(backfill_run, wanted_by(backfill_id))
        .where(backfill_run.c.run_state.in_(_BAD_RUNS), FAILED)
        .order_by(
            (task_instance.c.state == TaskInstanceState.FAILED.value).desc(),
            task_instance.c.ended_at,
            backfill_run.c.ordinal,
            task_instance.c.id,
        )
        .limit(1)
    )
    row = tx.row(wanted)
    if row is None:
        return None
    key = TaskInstanceKey(row.dag_id, row.run_id, row.task_id, row.map_index)
    return Root(TryKey(key, row.try_number), row.state, row.reason)
