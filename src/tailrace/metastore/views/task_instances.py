"""Task instances as lists show them: those of one run, and those of many runs by state and date."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from tailrace.metastore.db.tables import dag_run, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.rows import by_place
from tailrace.metastore.views.awaited import awaited_by
from tailrace.metastore.views.driving import drivers_of
from tailrace.metastore.views.paging import Key, Order, Page, Place
from tailrace.metastore.views.persons import Instance, of_task_instances
from tailrace.model.states import CLOSED, OCCUPYING, TaskInstanceState
from tailrace.model.transitions import Cause
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.reasons import AwaitedState

#: Of a task instance joined to its run: it was given its outcome instead of being run.
IS_MARKED: ColumnElement[bool] = or_(
    task_instance.c.cause == Cause.MARKED,
    and_(dag_run.c.mark_success, task_instance.c.state == TaskInstanceState.SUCCESS),
)

_LINES = (
    select(
        task_instance.c.task_id,
        task_instance.c.map_index,
        task_instance.c.id,
        task_instance.c.state,
        task_instance.c.try_number,
        task_instance.c.started_at,
        task_instance.c.ended_at,
        task_instance.c.reason,
        task_instance.c.cause,
        IS_MARKED.label("marked"),
        task_instance.c.rendered_map_index,
        task_instance.c.dag_run_id,
        dag_run.c.dag_id,
        dag_run.c.run_id,
        dag_run.c.logical_date,
        dag_run.c.state.label("run_state"),
    )
    .select_from(task_instance)
    .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
)
_RUNS = select(dag_run.c.id, dag_run.c.dag_id, dag_run.c.state, dag_run.c.live, dag_run.c.owner_job_id).where(
    dag_run.c.id.in_(bindparam("runs", expanding=True))
)


class TaskInstanceLine(Struct, frozen=True):
    """One task instance of a run: fields are the JSON's. ``marked``: it was given its outcome, and not run for it.

    ``last_command`` is the newest of a person that changed its state. ``waits_for``: the first of what its try, which
    is rescheduled, waits for in other runs. ``rendered_map_index``: what it is called.
    """

    task_id: str
    map_index: int
    state: str
    try_number: int
    start: datetime | None
    end: datetime | None
    reason: str
    marked: bool = False
    last_command: PersonsCommand | None = None
    rendered_map_index: str | None = None
    waits_for: tuple[AwaitedState, ...] = ()


class TaskInstanceOfRun(TaskInstanceLine, frozen=True, kw_only=True):
    """One task instance with its run; ``driven_by`` are the jobs believed alive that drive an open run, or will."""

    dag_id: str
    run_id: str
    logical_date: datetime
    run_state: str = ""
    driven_by: tuple[int, ...] = ()


class TaskInstanceFilter(Struct, frozen=True):
    """Which task instances are listed: those of a DAG's runs between two logical dates (inclusive), in these states, of
    these tasks; what is left out is not asked.
    """

    dag_id: str | None = None
    states: tuple[str, ...] = ()
    task_ids: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None


def task_instances_of(tx: Transaction, run: int) -> tuple[TaskInstanceLine, ...]:
    """The task instances of a run (its row), in topological order, those of a mapped task together."""
    rows = tx.rows(_LINES.where(task_instance.c.dag_run_id == run))
    commands = of_task_instances(tx, {(row.dag_id, row.run_id) for row in rows})
    awaited = _awaited(tx, rows)
    return tuple(TaskInstanceLine(**_line(row, commands, awaited)) for row in by_place(rows))


#: Newest logical date first, those of a run in topological order.
_NEWEST = Order((dag_run.c.logical_date, True), (task_instance.c.dag_run_id, True), (task_instance.c.id, False))


def page_of_task_instances(tx: Transaction, asked: TaskInstanceFilter, place: Place) -> Page[TaskInstanceOfRun]:
    """Some of the task instances that are asked for, newest logical date first."""
    rows, last = _rows(tx, asked, place)
    commands = of_task_instances(tx, {(row.dag_id, row.run_id) for row in rows}, {row.task_id for row in rows})
    runs: list[Any] = []
    for batch in in_batches(sorted({row.dag_run_id for row in rows if row.run_state not in CLOSED})):
        runs += tx.rows(_RUNS, {"runs": batch})
    driven_by, awaited = drivers_of(tx, runs), _awaited(tx, rows)
    found = tuple(
        TaskInstanceOfRun(
            **_line(row, commands, awaited),
            dag_id=row.dag_id,
            run_id=row.run_id,
            logical_date=row.logical_date,
            run_state=row.run_state,
            driven_by=driven_by.get(row.dag_run_id, ()),
        )
        for row in rows
    )
    return Page(found, last)


def _awaited(tx: Transaction, rows: Iterable[Any]) -> Mapping[int, tuple[AwaitedState, ...]]:
    waits = TaskInstanceState.UP_FOR_RESCHEDULE
    return awaited_by(tx, [row.id for row in rows if row.cause == Cause.AWAITS and row.state == waits])


def _line(
    row: Any, commands: Mapping[Instance, PersonsCommand], awaited: Mapping[int, tuple[AwaitedState, ...]]
) -> dict[str, Any]:
    return {
        "task_id": row.task_id,
        "map_index": row.map_index,
        "state": row.state,
        "try_number": row.try_number,
        "start": row.started_at,
        "end": row.ended_at,
        "reason": row.reason,
        "marked": bool(row.marked),
        "rendered_map_index": row.rendered_map_index,
        "last_command": commands.get((row.dag_id, row.run_id, row.task_id, row.map_index)),
        "waits_for": awaited.get(row.id, ()),
    }


#: Of so many more runs than rows are wanted it is enough to look at the first; at all, where those have too few.
_FIRST_RUNS = (1, 16)
#: These have an index of their own: they are few, and in many runs there are none.
_FOUND = OCCUPYING | {TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED}
_OF_RUNS = Order((dag_run.c.logical_date, True), (dag_run.c.id, True))


def _rows(tx: Transaction, asked: TaskInstanceFilter, place: Place) -> tuple[Sequence[Any], Key | None]:
    """Looks at the first runs alone where those have enough: a database would sort every task instance there is."""
    wanted = _LINES.where(*_of_runs(asked), *_of_their_own(asked))
    for times in () if asked.states and _FOUND.issuperset(asked.states) else _FIRST_RUNS:
        runs = select(dag_run.c.id).where(*_of_runs(asked))
        first = _OF_RUNS.first(runs, times * (place.limit + 1), place)
        rows, last = _NEWEST.rows(tx, wanted.where(task_instance.c.dag_run_id.in_(first)), place)
        if last is not None:
            return rows, last
    return _NEWEST.rows(tx, wanted, place)


def _of_runs(asked: TaskInstanceFilter) -> Iterator[ColumnElement[bool]]:
    if asked.dag_id is not None:
        yield dag_run.c.dag_id == asked.dag_id
    if asked.first is not None:
        yield dag_run.c.logical_date >= asked.first
    if asked.last is not None:
        yield dag_run.c.logical_date <= asked.last


def _of_their_own(asked: TaskInstanceFilter) -> Iterator[ColumnElement[bool]]:
    if asked.states:
        yield task_instance.c.state.in_(asked.states)
    if asked.task_ids:
        yield task_instance.c.task_id.in_(asked.task_ids)
