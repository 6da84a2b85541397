"""Finds the previous run that each task with depends_on_past looks at: the chronologically previous one that counts.

An open run counts for every task if somebody drives it (it is live, or an unfinished backfill wants it), a queued one
too, though it has no task instances yet. A closed run counts for the tasks of which it has a task instance that is not
*removed*. On a DAG with a schedule runs that were triggered by hand look back and are looked at by nobody.

One statement finds the neighbour of every run, and nearly always that is the one for every task. Only a task that
the neighbour does not have is looked for further back, run by run.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, literal_column, or_, select, true

from tailrace.metastore.db.columns import from_json
from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, backfill, backfill_run, dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.rows import RUN_STATES, STATES
from tailrace.model.keys import RunType, task_to_clear
from tailrace.model.spec import DagSpec
from tailrace.model.states import CLOSED, DagRunState, TaskInstanceState
from tailrace.planning.backfills import PastFacts
from tailrace.planning.snapshot import PreviousRun

_CLOSED = [state.value for state in DagRunState if state in CLOSED]
_OPEN = [state.value for state in DagRunState if state not in CLOSED]

_run = dag_run.alias("later")
_earlier = dag_run.alias("earlier")

_HAS_TASKS: ColumnElement[bool] = (
    exists(literal_column("1"))
    .where(task_instance.c.dag_run_id == _earlier.c.id, task_instance.c.state != TaskInstanceState.REMOVED)
    .correlate(_earlier)
)
_HAS_TASK: ColumnElement[bool] = (
    exists(literal_column("1"))
    .where(
        task_instance.c.dag_run_id == _earlier.c.id,
        task_instance.c.task_id == bindparam("task"),
        task_instance.c.state != TaskInstanceState.REMOVED,
    )
    .correlate(_earlier)
)
_DRIVEN: ColumnElement[bool] = or_(
    _earlier.c.live,
    exists(literal_column("1"))
    .where(
        backfill_run.c.dag_run_id == _earlier.c.id,
        backfill.c.id == backfill_run.c.backfill_id,
        backfill.c.state.in_(UNFINISHED_BACKFILL),
    )
    .correlate(_earlier),
)
_IS_CLOSED = _earlier.c.state.in_(_CLOSED)


def _counting(has: ColumnElement[bool], scheduled: bool) -> ColumnElement[bool]:
    visible = _earlier.c.run_type != RunType.MANUAL if scheduled else true()
    return and_(visible, or_(and_(_IS_CLOSED, has), and_(~_IS_CLOSED, _DRIVEN)))


def _neighbours(scheduled: bool) -> Select[Any]:
    nearest = (
        select(_earlier.c.id)
        .where(
            _earlier.c.dag_id == _run.c.dag_id,
            _earlier.c.logical_date < _run.c.logical_date,
            _counting(_HAS_TASKS, scheduled),
        )
        .order_by(_earlier.c.logical_date.desc())
        .limit(1)
        .correlate(_run)
        .scalar_subquery()
    )
    return select(_run.c.id, nearest.label("previous")).where(_run.c.id.in_(bindparam("runs", expanding=True)))


def _further_back(scheduled: bool) -> Select[Any]:
    return (
        select(_earlier.c.id)
        .where(
            _earlier.c.dag_id == bindparam("dag"),
            _earlier.c.logical_date < bindparam("before"),
            _counting(_HAS_TASK, scheduled),
        )
        .order_by(_earlier.c.logical_date.desc())
        .limit(1)
    )


_NEIGHBOURS = {scheduled: _neighbours(scheduled) for scheduled in (True, False)}
_FURTHER_BACK = {scheduled: _further_back(scheduled) for scheduled in (True, False)}


def _of_dag(scheduled: bool, *columns: Any) -> Select[Any]:
    found = select(*columns).where(dag_run.c.dag_id == bindparam("dag"))
    return found.where(dag_run.c.run_type != RunType.MANUAL) if scheduled else found


_BY_SCHEDULE = (True, False)
_JUST_BEFORE = {
    scheduled: _of_dag(scheduled, dag_run.c.id, dag_run.c.run_id, dag_run.c.state)
    .where(dag_run.c.logical_date < bindparam("before"), dag_run.c.state != DagRunState.CANCELLED)
    .order_by(dag_run.c.logical_date.desc())
    .limit(1)
    for scheduled in _BY_SCHEDULE
}
_DONE_AFTER = {
    scheduled: _of_dag(scheduled, func.count()).where(
        dag_run.c.logical_date > bindparam("after"), dag_run.c.state.in_(_CLOSED)
    )
    for scheduled in _BY_SCHEDULE
}
_FIRST_AFTER = {
    scheduled: _of_dag(scheduled, dag_run.c.run_id)
    .where(dag_run.c.logical_date > bindparam("after"), dag_run.c.state.in_(_CLOSED))
    .order_by(dag_run.c.logical_date)
    .limit(1)
    for scheduled in _BY_SCHEDULE
}

_RUNS = select(
    dag_run.c.id,
    dag_run.c.run_id,
    dag_run.c.state,
    dag_run.c.version,
    dag_run.c.logical_date,
    dag_run.c.clear_on_activation,
).where(dag_run.c.id.in_(bindparam("runs", expanding=True)))
_CLOSED_OF = select(dag_run.c.id).where(
    dag_run.c.id.in_(bindparam("runs", expanding=True)), dag_run.c.state.in_(_CLOSED)
)
_STATES = (
    select(task_instance.c.dag_run_id, task_instance.c.task_id, task_instance.c.state)
    .where(
        task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)),
        task_instance.c.task_id.in_(bindparam("tasks", expanding=True)),
    )
    .order_by(task_instance.c.dag_run_id, task_instance.c.id)
)


class LookedAt(Struct, frozen=True):
    """By run, then by task, the row of the previous run that counts; and those runs by row."""

    looks_at: Mapping[int, Mapping[str, int]]
    previous: Mapping[int, PreviousRun]


def read_previous(tx: Transaction, dag: DagSpec, runs: Collection[int]) -> LookedAt:
    """What the tasks of these runs (rows) look at; nothing for a DAG none of whose tasks depends on the past."""
    if not dag.looking_back or not runs:
        return LookedAt({}, {})
    search = _Search(tx, dag)
    looks_at = {}
    for run, neighbour in search.neighbours(runs).items():
        found = {task.task_id: search.counting_for(task.task_id, neighbour) for task in dag.looking_back}
        looks_at[run] = {task_id: previous for task_id, previous in found.items() if previous is not None}
    wanted = {previous for found in looks_at.values() for previous in found.values()}
    return LookedAt(looks_at, {id: search.runs[id] for id in sorted(wanted)})


def closed_looked_at(tx: Transaction, dag: DagSpec, runs: Collection[int]) -> list[int]:
    """The closed runs among those that these look at. Only a run whose neighbour is closed looks at one: an open one
    counts for every task.
    """
    search = _Search(tx, dag)
    nearest = {run: found for run, found in search.nearest(runs).items() if found is not None}
    closed = {
        row.id for batch in in_batches(sorted(set(nearest.values()))) for row in tx.rows(_CLOSED_OF, {"runs": batch})
    }
    found = read_previous(tx, dag, [run for run, previous in nearest.items() if previous in closed])
    return sorted(id for id, previous in found.previous.items() if previous.state in CLOSED)


def earlier_of_date(tx: Transaction, dag: DagSpec, date: datetime) -> Mapping[str, PreviousRun]:
    """What each task of a run of this logical date, which need not exist, would look at; without one: left out."""
    search = _Search(tx, dag)
    found = {task.task_id: search.before(date, task.task_id) for task in dag.looking_back}
    return {task_id: search.runs[id] for task_id, id in found.items() if id is not None}


def read_past_of_range(tx: Transaction, dag: DagSpec, first: datetime, last: datetime) -> PastFacts:
    """What stands before and after these logical dates, for whoever creates runs of them."""
    before = earlier_of_date(tx, dag, first)
    values = {"dag": dag.dag_id, "before": first, "after": last}
    scheduled = dag.has_schedule
    nearest = tx.row(_JUST_BEFORE[scheduled], values)
    undriven = None
    if nearest is not None and nearest.state in _OPEN and nearest.id not in {run.id for run in before.values()}:
        undriven = nearest.run_id
    return PastFacts(
        {task_id: run.run_id for task_id, run in before.items()},
        undriven,
        int(tx.value(_DONE_AFTER[scheduled], values)),
        tx.value(_FIRST_AFTER[scheduled], values),
    )


class _Search:
    """What is known so far of the runs that may be looked at."""

    def __init__(self, tx: Transaction, dag: DagSpec) -> None:
        self.runs: dict[int, PreviousRun] = {}
        self._tx, self._dag = tx, dag
        self._dates: dict[int, datetime] = {}
        self._needed = sorted({needed for task in dag.looking_back for needed in task.looks_back_at})
        self._found: dict[tuple[str, int], int | None] = {}  # by task and the run that does not count for it

    def nearest(self, runs: Collection[int]) -> Mapping[int, int | None]:
        """The nearest earlier run of each that counts for any task, not read yet."""
        found: dict[int, int | None] = {}
        for batch in in_batches(sorted(runs)):
            found.update(map(tuple, self._tx.rows(_NEIGHBOURS[self._dag.has_schedule], {"runs": batch})))
        return found

    def neighbours(self, runs: Collection[int]) -> Mapping[int, int | None]:
        """The nearest earlier run of each that counts for any task."""
        found = self.nearest(runs)
        self._read({previous for previous in found.values() if previous is not None})
        return found

    def counting_for(self, task_id: str, nearest: int | None) -> int | None:
        """The nearest run that counts for the task, from this one backwards."""
        if nearest is None or self._counts(nearest, task_id):
            return nearest
        key = task_id, nearest
        if key not in self._found:
            self._found[key] = self.before(self._dates[nearest], task_id)
        return self._found[key]

    def before(self, date: datetime, task_id: str) -> int | None:
        """The nearest run before this date that counts for the task."""
        values = {"dag": self._dag.dag_id, "before": date, "task": task_id}
        row = self._tx.row(_FURTHER_BACK[self._dag.has_schedule], values)
        if row is None:
            return None
        self._read({row.id})
        return self.counting_for(task_id, row.id)

    def _counts(self, id: int, task_id: str) -> bool:
        run = self.runs[id]
        states = run.states.get(task_id, ())
        if any(state is not TaskInstanceState.REMOVED for state in states):
            return True
        return run.state not in CLOSED and (not states or task_id in run.to_clear)

    def _read(self, ids: Iterable[int]) -> None:
        new = sorted(set(ids) - self.runs.keys())
        for batch in in_batches(new):
            states: dict[int, dict[str, tuple[TaskInstanceState, ...]]] = {id: {} for id in batch}
            for run, task_id, state in self._tx.rows(_STATES, {"runs": batch, "tasks": self._needed}):
                states[run][task_id] = (*states[run].get(task_id, ()), STATES[state])
            for row in self._tx.rows(_RUNS, {"runs": batch}):
                state = RUN_STATES[row.state]
                stored = () if row.clear_on_activation is None else from_json(row.clear_on_activation)
                again = frozenset(map(task_to_clear, stored))
                self._dates[row.id] = row.logical_date
                self.runs[row.id] = PreviousRun(row.id, row.run_id, state, states[row.id], row.version, again)
