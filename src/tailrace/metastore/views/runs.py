"""Runs as lists show them: what is asked for, and what is read of each."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Select, bindparam, case, exists, func, select

from tailrace.metastore.db.tables import dag_run, dag_version, task_instance
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.plans.failed_inside import FAILED, failures_of_runs
from tailrace.metastore.plans.rows import run_part_from, stopped_by_from
from tailrace.metastore.views.driving import drivers_of
from tailrace.metastore.views.persons import of_runs
from tailrace.metastore.views.task_instances import IS_MARKED
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.json_values import json_or_text
from tailrace.model.states import CLOSED
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.failed_tasks import FailedTasks

_COUNTED = (
    select(
        task_instance.c.dag_run_id,
        task_instance.c.state,
        func.count(),
        func.sum(case((IS_MARKED, 1), else_=0)),
    )
    .select_from(task_instance)
    .join(dag_run, dag_run.c.id == task_instance.c.dag_run_id)
    .where(task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True)))
    .group_by(task_instance.c.dag_run_id, task_instance.c.state)
)


_SPEC = select(dag_version.c.spec).where(dag_version.c.id == bindparam("id"))
_TASKS = select(task_instance.c.dag_run_id, task_instance.c.task_id).where(
    task_instance.c.dag_run_id.in_(bindparam("runs", expanding=True))
)


class Run(Struct, frozen=True):
    """One run, as it is shown; its task instances are counted by state, those that failed by task.

    ``driven_by`` are the jobs believed alive that drive an open run, or will; ``marked`` counts the task instances that
    were given their outcome instead of being run. ``last_command`` is the newest of a person that changed its state.
    ``stopped_by``: for what it is, or was, ended before its tasks had ended (dagrun_timeout or fail_fast);
    ``late_since``: the deadline that it has missed. ``part``: the tasks that it does, or did last, where that is a part
    of its DAG; ``in_no_part``: where only parts were done in it, the other tasks.
    """

    dag_id: str
    run_id: str
    logical_date: datetime
    data_interval: tuple[datetime, datetime]
    run_type: str
    state: str
    start: datetime | None
    end: datetime | None
    reason: str
    conf: object
    task_instance_counts: Mapping[str, int]
    failed_tasks: Mapping[str, int]
    upstream_failed_tasks: Mapping[str, int]
    marked: int = 0
    driven_by: tuple[int, ...] = ()
    last_command: PersonsCommand | None = None
    stopped_by: str | None = None
    late_since: datetime | None = None
    part: tuple[str, ...] | None = None
    in_no_part: tuple[str, ...] = ()

    @property
    def failures(self) -> FailedTasks:
        """What failed in it."""
        return FailedTasks(self.failed_tasks, self.upstream_failed_tasks)


class RunFilter(Struct, frozen=True):
    """Which runs are listed: of a DAG, in a state, between two logical dates (inclusive), with a failed task inside;
    what is left out is not asked.
    """

    dag_id: str | None = None
    state: str | None = None
    first: datetime | None = None
    last: datetime | None = None
    failed_tasks: bool = False

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """What a run must be like."""
        if self.dag_id is not None:
            yield dag_run.c.dag_id == self.dag_id
        if self.state is not None:
            yield dag_run.c.state == self.state
        if self.first is not None:
            yield dag_run.c.logical_date >= self.first
        if self.last is not None:
            yield dag_run.c.logical_date <= self.last
        if self.failed_tasks:
            yield exists().where(task_instance.c.dag_run_id == dag_run.c.id, FAILED)


ALL_RUNS = RunFilter()


def run_lines(tx: Transaction, wanted: Select[Any]) -> tuple[Run, ...]:
    """The runs that are selected, in their order."""
    rows = tx.rows(wanted)
    counts: dict[int, dict[str, int]] = {}
    marked: dict[int, int] = {row.id: 0 for row in rows}
    for batch in in_batches([row.id for row in rows]):
        for run, state, count, of_them in tx.rows(_COUNTED, {"runs": batch}):
            counts.setdefault(run, {})[state] = count
            marked[run] += int(of_them)
    failures = failures_of_runs(tx, [row.id for row in rows])
    in_no_part = _in_no_part(tx, rows)
    driven_by = drivers_of(tx, [row for row in rows if row.state not in CLOSED])
    commands = of_runs(tx, [(row.dag_id, row.run_id) for row in rows])
    return tuple(
        Run(
            dag_id=row.dag_id,
            run_id=row.run_id,
            logical_date=row.logical_date,
            data_interval=(row.interval_start, row.interval_end),
            run_type=row.run_type,
            state=row.state,
            start=row.started_at,
            end=row.ended_at,
            reason=row.reason,
            conf=json_or_text(row.conf),
            task_instance_counts=counts.get(row.id, {}),
            failed_tasks=failed.failed,
            upstream_failed_tasks=failed.upstream_failed,
            marked=marked[row.id],
            driven_by=driven_by.get(row.id, ()),
            last_command=commands.get((row.dag_id, row.run_id)),
            stopped_by=None if row.stopped_by is None else stopped_by_from(row.stopped_by).cause,
            late_since=row.late_since,
            part=None if row.part is None else run_part_from(row.part).tasks,
            in_no_part=in_no_part.get(row.id, ()),
        )
        for row in rows
        for failed in (failures.get(row.id, FailedTasks()),)
    )


def _in_no_part(tx: Transaction, rows: Sequence[Any]) -> Mapping[int, tuple[str, ...]]:
    """Of runs of which only parts were done, the tasks of their DAG that were in none of them."""
    begun = {row.id: row.dag_version_id for row in rows if row.part is not None and row.dag_version_id is not None}
    there: dict[int, set[str]] = {run: set() for run in begun}
    for batch in in_batches(sorted(begun)):
        for run, task_id in tx.rows(_TASKS, {"runs": batch}):
            there[run].add(task_id)
    specs = {id: tx.value(_SPEC, {"id": id}) for id in sorted(set(begun.values()))}
    tasks = {id: tuple(spec_from(spec).by_id) for id, spec in specs.items() if spec is not None}
    return {run: tuple(each for each in tasks.get(id, ()) if each not in there[run]) for run, id in begun.items()}
