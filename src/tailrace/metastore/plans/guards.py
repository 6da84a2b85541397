"""Counts what is occupied, and locks what guards it. Deciding who gets the room is the plan's order, not ours.

Comparing single rows cannot protect a group: two planners would both win the last slot. So whoever wants room locks
the guard rows first (the DAG's, then the pools' in name order), counts again, and takes what still fits.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import bindparam, case, func, select, text

from tailrace.metastore.db.tables import OCCUPYING_SQL, dag, dag_run, pool, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState
from tailrace.planning.occupancy import Occupancy

RUNNING_SQL = f"dag_run.state = '{DagRunState.RUNNING}'"
_OCCUPYING = text(f"task_instance.{OCCUPYING_SQL}")

_POOLS = select(pool.c.name, pool.c.slots).order_by(pool.c.name)
_LOCK_POOLS = (
    select(pool.c.name).where(pool.c.name.in_(bindparam("names", expanding=True))).order_by(pool.c.name)
).with_for_update(key_share=True)
_DAG_VERSION = select(dag.c.version).where(dag.c.dag_id == bindparam("dag_id"))
_LOCK_DAG = _DAG_VERSION.with_for_update(key_share=True)
_OCCUPANTS = (
    select(
        task_instance.c.pool,
        task_instance.c.dag_id,
        func.sum(task_instance.c.pool_slots),
        func.count(),
        func.sum(case((task_instance.c.state == TaskInstanceState.STOPPING, 1), else_=0)),
    )
    .where(_OCCUPYING)
    .group_by(task_instance.c.pool, task_instance.c.dag_id)
)
_TASK_OCCUPANTS = (
    select(task_instance.c.task_id, task_instance.c.dag_run_id, func.count())
    .where(_OCCUPYING, task_instance.c.dag_id == bindparam("dag_id"))
    .group_by(task_instance.c.task_id, task_instance.c.dag_run_id)
)
_RUNNING_RUNS = select(func.count()).where(dag_run.c.dag_id == bindparam("dag_id"), text(RUNNING_SQL))


def lock_dag(tx: Transaction, dag_id: str) -> None:
    """Lock the DAG's guard row, the first of all locks."""
    tx.rows(_LOCK_DAG, {"dag_id": dag_id})


def dag_version(tx: Transaction, dag_id: str) -> int | None:
    """The DAG's version: whoever inserts a run, or changes which runs count as previous ones, makes it grow."""
    row = tx.row(_DAG_VERSION, {"dag_id": dag_id})
    return None if row is None else int(row.version)


def lock_pools(tx: Transaction, pools: Iterable[str]) -> None:
    """Lock the guard rows of these pools, in name order, after the DAG's."""
    names = sorted(set(pools))
    if names:
        tx.rows(_LOCK_POOLS, {"names": names})


def count_occupants(tx: Transaction, dag: DagSpec) -> Occupancy:
    """What is occupied now, over all jobs. Its cost is that of what occupies, not of what exists."""
    occupied: dict[str, int] = {}
    dag_active = 0
    stopping = 0
    for name, dag_id, slots, count, stopped in tx.rows(_OCCUPANTS):
        occupied[name] = occupied.get(name, 0) + int(slots)
        stopping += int(stopped)
        if dag_id == dag.dag_id:
            dag_active += count
    counted = Occupancy(pool_sizes(tx), occupied, dag_active, stopping=stopping)
    if any(task.max_active_tis_per_dag is not None or task.max_active_tis_per_dagrun is not None for task in dag.tasks):
        for task_id, run, count in tx.rows(_TASK_OCCUPANTS, {"dag_id": dag.dag_id}):
            counted.task_active[task_id] = counted.task_active.get(task_id, 0) + count
            counted.run_task_active[(run, task_id)] = count
    return counted


def running_runs(tx: Transaction, dag_id: str) -> int:
    """How many runs of the DAG are running, over all jobs."""
    return int(tx.value(_RUNNING_RUNS, {"dag_id": dag_id}))


def pool_sizes(tx: Transaction) -> dict[str, int]:
    """The slots of every pool, by name."""
    return {row.name: row.slots for row in tx.rows(_POOLS)}


def limited(dag: DagSpec, counts: Mapping[str, int]) -> Mapping[str, int]:
    """Only the counts of tasks that have a limit over all runs."""
    return {task: counts.get(task, 0) for task, spec in dag.by_id.items() if spec.max_active_tis_per_dag is not None}
