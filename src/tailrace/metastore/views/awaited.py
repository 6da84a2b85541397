"""What rescheduled tries wait for in runs of any DAG, as lists show it: what there is of that, and how it stands."""

from collections.abc import Collection, Mapping

from msgspec import Struct
from sqlalchemy import func, select

from tailrace.metastore.db.tables import backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.awaited import awaiting_rows
from tailrace.model.keys import TaskInstanceKey
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.awaiting import waits_of
from tailrace.planning.reasons import AwaitedState

#: So many of a backfill's are named.
_MOST_NAMED = 3

AWAITING = (task_instance.c.state == TaskInstanceState.UP_FOR_RESCHEDULE, task_instance.c.cause == Cause.AWAITS)


class WaitingTask(Struct, frozen=True):
    """A task instance and what it still waits for in other runs; ``waits_for`` names the first of that."""

    task_instance: TaskInstanceKey
    waits_for: tuple[AwaitedState, ...]


class WaitingTasks(Struct, frozen=True):
    """How many task instances wait for other runs, and the first of them."""

    count: int = 0
    first: tuple[WaitingTask, ...] = ()


def awaited_by(tx: Transaction, ids: Collection[int]) -> Mapping[int, tuple[AwaitedState, ...]]:
    """The first of what each of these task instances (rows) still waits for; nothing where all is decided."""
    return {id: waits.pending() for id, waits in waits_of(awaiting_rows(tx, sorted(ids))).items()}


def waiting_tasks(tx: Transaction, backfill_id: int) -> WaitingTasks:
    """The task instances of a backfill's runs that wait for other runs."""
    wanted_by = (
        (backfill_run.c.dag_run_id == task_instance.c.dag_run_id)
        & (backfill_run.c.backfill_id == backfill_id)
        & (backfill_run.c.run_state == DagRunState.RUNNING)
    )
    rows_of = task_instance.join(backfill_run, wanted_by)
    count = int(tx.value(select(func.count()).select_from(rows_of).where(*AWAITING)))
    if not count:
        return WaitingTasks()
    wanted = (
        select(
            task_instance.c.id,
            task_instance.c.dag_id,
            dag_run.c.run_id,
            task_instance.c.task_id,
            task_instance.c.map_index,
        )
        .select_from(rows_of.join(dag_run, dag_run.c.id == task_instance.c.dag_run_id))
        .where(*AWAITING)
        .order_by(backfill_run.c.ordinal, task_instance.c.id)
        .limit(_MOST_NAMED)
    )
    rows = tx.rows(wanted)
    awaited = awaited_by(tx, [row.id for row in rows])
    return WaitingTasks(count, tuple(WaitingTask(TaskInstanceKey(*names), awaited.get(id, ())) for id, *names in rows))
