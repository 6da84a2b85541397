"""What failed inside the runs of many, those that succeeded too.

Failures are looked up by an index of their own, so that they cost the same beside ten successes and ten million.
"""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import bindparam, func, select, text

from tailrace.metastore.db.tables import FAILED_SQL, backfill_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.wanted import part_tasks
from tailrace.model.states import DagRunState
from tailrace.planning.failed_tasks import FailedTasks, failed_tasks

FAILED = text(f"task_instance.{FAILED_SQL}")  # as the partial index has it
_OF_RUNS = (
    select(task_instance.c.dag_run_id, task_instance.c.task_id, task_instance.c.state, func.count())
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)), FAILED)
    .group_by(task_instance.c.dag_run_id, task_instance.c.task_id, task_instance.c.state)
)
_OF_BACKFILLS = (
    select(
        backfill_run.c.backfill_id,
        backfill_run.c.run_state,
        task_instance.c.task_id,
        task_instance.c.state,
        func.count(),
    )
    .join(task_instance, task_instance.c.dag_run_id == backfill_run.c.dag_run_id)
    .where(backfill_run.c.backfill_id.in_(bindparam("backfills", expanding=True)), FAILED)
    .group_by(backfill_run.c.backfill_id, backfill_run.c.run_state, task_instance.c.task_id, task_instance.c.state)
)


class Failures(Struct, frozen=True):
    """What failed in a backfill's runs: in all of them, and inside those that succeeded."""

    everywhere: FailedTasks = FailedTasks()
    inside: FailedTasks = FailedTasks()


def failures_of_runs(tx: Transaction, runs: Sequence[int]) -> dict[int, FailedTasks]:
    """What failed in each of these runs, whatever became of the run; those without are left out."""
    found: dict[int, list[tuple[str, str, int]]] = {}
    for batch in in_batches(runs):
        for run, task_id, state, count in tx.rows(_OF_RUNS, {"runs": batch}):
            found.setdefault(run, []).append((task_id, state, count))
    return {run: failed_tasks(counts) for run, counts in found.items()}


def failures_of_backfills(tx: Transaction, backfills: Sequence[int]) -> dict[int, Failures]:
    """What failed in the runs that each of these backfills wants, in its part of them; those without are left out."""
    found: dict[int, list[tuple[str, tuple[str, str, int]]]] = {}
    for batch in in_batches(backfills):
        parts = part_tasks(tx, batch)
        for backfill_id, run_state, task_id, state, count in tx.rows(_OF_BACKFILLS, {"backfills": batch}):
            if backfill_id not in parts or task_id in parts[backfill_id]:
                found.setdefault(backfill_id, []).append((run_state, (task_id, state, count)))
    return {
        backfill_id: Failures(
            failed_tasks(each for _, each in counts),
            failed_tasks(each for run_state, each in counts if run_state == DagRunState.SUCCESS),
        )
        for backfill_id, counts in found.items()
    }
