"""Reads the states of a DAG's tasks over many runs: a letter each, of a mapped task the worst of its instances."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from sqlalchemy import bindparam, case, func, select

from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.views.runs import RunFilter
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState, TaskInstanceState

#: Of the states of task instances, the worst first: that one stands for a mapped task.
LETTERS: Mapping[str, str] = MappingProxyType(
    {
        TaskInstanceState.FAILED: "F",
        TaskInstanceState.UPSTREAM_FAILED: "U",
        TaskInstanceState.STOPPING: "X",
        TaskInstanceState.RUNNING: "R",
        TaskInstanceState.UP_FOR_RETRY: "Y",
        TaskInstanceState.UP_FOR_RESCHEDULE: "W",
        TaskInstanceState.DEFERRED: "E",
        TaskInstanceState.QUEUED: "Q",
        TaskInstanceState.NONE: ".",
        TaskInstanceState.SUCCESS: "S",
        TaskInstanceState.SKIPPED: "-",
        TaskInstanceState.REMOVED: "x",
    }
)
#: Those of runs.
RUN_LETTERS: Mapping[str, str] = MappingProxyType(
    {
        DagRunState.FAILED: "F",
        DagRunState.DEADLOCKED: "D",
        DagRunState.CANCELLED: "C",
        DagRunState.RUNNING: "R",
        DagRunState.QUEUED: "Q",
        DagRunState.SUCCESS: "S",
    }
)
#: There is no task instance.
NOTHING = " "

_BY_RANK = tuple(LETTERS)
_WORST = func.min(case(*((task_instance.c.state == state, rank) for rank, state in enumerate(_BY_RANK))))
_CELLS = (
    select(task_instance.c.dag_run_id, task_instance.c.task_id, _WORST)
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .group_by(task_instance.c.dag_run_id, task_instance.c.task_id)
)


class GridRun(Struct, frozen=True):
    """A run and its tasks: ``cells`` has a letter for each task of the grid, in its order."""

    run_id: str
    logical_date: datetime
    run_type: str
    state: str
    cells: str


class Grid(Struct, frozen=True):
    """The tasks of a DAG over its runs, by their logical dates; ``letters`` says which state each letter is.

    ``more``: there are earlier runs than these among those that were asked for.
    """

    dag_id: str
    tasks: tuple[str, ...]
    mapped: tuple[str, ...]
    runs: tuple[GridRun, ...]
    letters: Mapping[str, str]
    more: bool


def grid(tx: Transaction, dag: DagSpec, asked: RunFilter, limit: int, only: Collection[str]) -> Grid:
    """The newest runs that are asked for. ``only``: these tasks; all of them where it is empty."""
    newest = select(dag_run).where(*asked.conditions())
    newest = newest.order_by(dag_run.c.logical_date.desc(), dag_run.c.id.desc()).limit(limit + 1)
    found = tx.rows(newest)
    rows = found[:limit][::-1]
    worst: dict[int, dict[str, int]] = {row.id: {} for row in rows}
    for batch in in_batches([row.id for row in rows]):
        for run, task_id, rank in tx.rows(_CELLS, {"runs": batch}):
            worst[run][task_id] = rank
    tasks = _tasks(dag, worst.values(), only)
    return Grid(
        dag_id=dag.dag_id,
        tasks=tasks,
        mapped=tuple(task.task_id for task in dag.mapped if task.task_id in tasks),
        runs=tuple(_run(row, worst[row.id], tasks) for row in rows),
        letters={letter: str(state) for state, letter in (*LETTERS.items(), *RUN_LETTERS.items())},
        more=len(found) > limit,
    )


def _tasks(dag: DagSpec, runs: Collection[Mapping[str, int]], only: Collection[str]) -> tuple[str, ...]:
    """Those of the DAG in their order, then those that only its earlier runs have."""
    former = {task_id for run in runs for task_id in run}.difference(dag.by_id)
    return tuple(each for each in (*dag.by_id, *sorted(former)) if not only or each in only)


def _run(row: Any, worst: Mapping[str, int], tasks: Sequence[str]) -> GridRun:
    cells = "".join(LETTERS[_BY_RANK[worst[each]]] if each in worst else NOTHING for each in tasks)
    return GridRun(row.run_id, row.logical_date, row.run_type, row.state, cells)
