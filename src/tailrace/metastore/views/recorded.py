"""Looks up recorded runs and task instances for the code of a task: one read transaction for each question.

What would be more than a worker should hold is refused before it is read.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, select

from tailrace.metastore.db.tables import dag, dag_run, dag_version, loaded_dag, task_instance
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.rows import conf_from
from tailrace.metastore.views.task_names import task_names
from tailrace.model.json_values import json_text
from tailrace.model.plain_text import on_one_line
from tailrace.model.recorded import (
    LONGEST_CONFS,
    MOST_RETURNED,
    Counted,
    RecordedRun,
    RecordedTaskInstance,
    RecordsQuery,
    RecordsRefused,
    RecordsReply,
    RunsFound,
    TaskInstancesFound,
    Wanted,
)
from tailrace.model.states import TaskInstanceState
from tailrace.model.suggestions import did_you_mean, near_or_there

_OF_RUNS = (
    dag_run.c.run_id,
    dag_run.c.run_type,
    dag_run.c.state,
    dag_run.c.logical_date,
    dag_run.c.interval_start,
    dag_run.c.interval_end,
    dag_run.c.started_at,
    dag_run.c.ended_at,
    dag_run.c.conf,
)
_OF_TASK_INSTANCES = (
    dag_run.c.run_id,
    dag_run.c.logical_date,
    task_instance.c.id,
    task_instance.c.task_id,
    task_instance.c.map_index,
    task_instance.c.state,
    task_instance.c.try_number,
    task_instance.c.max_tries,
    task_instance.c.started_at,
    task_instance.c.ended_at,
    task_instance.c.pool,
)

#: The text of the structure that a DAG was run with last, and of that which it was loaded with last.
_NEWEST = tuple(
    select(dag_version.c.spec)
    .join(each, each.c.dag_version_id == dag_version.c.id)
    .where(each.c.dag_id == bindparam("dag_id"))
    for each in (dag, loaded_dag)
)


def recorded(tx: Transaction, query: RecordsQuery) -> RecordsReply:
    """What was asked for, or why it is not given."""
    if unknown := _unknown(tx, query):
        return RecordsRefused(unknown, unknown=True)
    conditions = list(_conditions(tx, query))
    if query.wanted in (Wanted.RUN_COUNT, Wanted.TASK_INSTANCE_COUNT):
        return Counted(int(tx.value(_from(select(func.count()), query.wanted).where(*conditions))))
    if too_many := _too_many(tx, query, conditions):
        return RecordsRefused(too_many)
    return _runs(tx, query, conditions) if query.wanted is Wanted.RUNS else _task_instances(tx, query, conditions)


def _too_many(tx: Transaction, query: RecordsQuery, conditions: list[ColumnElement[bool]]) -> str:
    """Why it is more than is returned at once; "" where it is not."""
    of_runs = query.wanted.is_of_runs
    conf = func.length(dag_run.c.conf) if of_runs else literal_column("0")
    found = _ordered(_from(select(conf.label("characters")), query.wanted).where(*conditions), query).subquery()
    count, characters = tx.row(select(func.count(), func.coalesce(func.sum(found.c.characters), 0)))
    if int(count) > MOST_RETURNED:
        return (
            f"{query.wanted} of {query.dag_id}: these are {count:,}, and at most {MOST_RETURNED:,} are returned at "
            "once: ask for fewer dates, tasks or states at a time, or only how many there are"
        )
    if int(characters) > LONGEST_CONFS:
        return (
            f"runs of {query.dag_id}: their confs are {characters:,} characters long together, and at most "
            f"{LONGEST_CONFS:,} are returned at once: ask for fewer dates at a time"
        )
    return ""


def _runs(tx: Transaction, query: RecordsQuery, conditions: list[ColumnElement[bool]]) -> RunsFound:
    wanted = _ordered(select(*_OF_RUNS).where(*conditions), query)
    return RunsFound(
        tuple(
            RecordedRun(
                dag_id=query.dag_id,
                run_id=row.run_id,
                run_type=row.run_type,
                state=row.state,
                logical_date=row.logical_date,
                data_interval_start=row.interval_start,
                data_interval_end=row.interval_end,
                start_date=row.started_at,
                end_date=row.ended_at,
                conf=conf_from(row.conf) or {},
            )
            for row in tx.rows(wanted)
        )
    )


def _task_instances(tx: Transaction, query: RecordsQuery, conditions: list[ColumnElement[bool]]) -> TaskInstancesFound:
    rows = tx.rows(_ordered(_from(select(*_OF_TASK_INSTANCES), query.wanted).where(*conditions), query))
    first: dict[tuple[str, str], int] = {}  # where a task stands in its run: mapped ones are added later
    for row in rows:
        first[row.run_id, row.task_id] = min(first.get((row.run_id, row.task_id), row.id), row.id)
    return TaskInstancesFound(
        tuple(
            RecordedTaskInstance(
                dag_id=query.dag_id,
                run_id=row.run_id,
                task_id=row.task_id,
                map_index=row.map_index,
                state=None if row.state == TaskInstanceState.NONE else row.state,
                try_number=row.try_number,
                max_tries=row.max_tries,
                logical_date=row.logical_date,
                start_date=row.started_at,
                end_date=row.ended_at,
                pool=row.pool,
            )
            for row in sorted(rows, key=lambda row: (row.logical_date, first[row.run_id, row.task_id], row.map_index))
        )
    )


def _from(wanted: Select[Any], what: Wanted) -> Select[Any]:
    if what.is_of_runs:
        return wanted.select_from(dag_run)
    return wanted.select_from(dag_run.join(task_instance, task_instance.c.dag_run_id == dag_run.c.id))


def _ordered(wanted: Select[Any], query: RecordsQuery) -> Select[Any]:
    if query.newest is None:
        return wanted.order_by(dag_run.c.logical_date)
    return wanted.order_by(dag_run.c.logical_date.desc()).limit(query.newest)


def _conditions(tx: Transaction, query: RecordsQuery) -> Iterator[ColumnElement[bool]]:
    yield dag_run.c.dag_id == query.dag_id
    state = dag_run.c.state if query.wanted.is_of_runs else task_instance.c.state
    task_ids = query.task_ids
    if query.task_group_id is not None:
        inside = task_names(tx, query.dag_id).groups[query.task_group_id]
        task_ids = tuple(sorted(inside if task_ids is None else inside.intersection(task_ids)))
    for column, values in (
        (dag_run.c.run_id, query.run_ids),
        (dag_run.c.logical_date, query.logical_dates),
        (dag_run.c.run_type, query.run_types),
        (state, query.states),
        (task_instance.c.task_id, task_ids),
    ):
        if values is not None:
            yield column.in_(values)
    if query.before is not None:
        yield dag_run.c.logical_date < query.before
    if query.first is not None:
        yield dag_run.c.logical_date >= query.first
    if query.last is not None:
        yield dag_run.c.logical_date <= query.last
    if query.map_index is not None:
        yield task_instance.c.map_index == query.map_index


def _is_in_newest(tx: Transaction, dag_id: str, task_id: str) -> bool:
    """Whether the newest structure has the task: looked for in its text, for a task asks again and again."""
    texts = (tx.value(newest, {"dag_id": dag_id}) for newest in _NEWEST)
    return any(f'"task_id":{json_text(task_id)}' in text for text in texts if text is not None)


def _unknown(tx: Transaction, query: RecordsQuery) -> str:
    """Which DAG, task or group of it there never was; "" where all are known."""
    if not any(tx.value(select(each.c.dag_id).where(each.c.dag_id == query.dag_id)) for each in (dag, loaded_dag)):
        there = {*tx.column(select(dag.c.dag_id)), *tx.column(select(loaded_dag.c.dag_id))}
        return f"there is no DAG {on_one_line(query.dag_id)}{did_you_mean(query.dag_id, there)}"
    if (
        all(_is_in_newest(tx, query.dag_id, task_id) for task_id in query.task_ids or ())
        and query.task_group_id is None
    ):
        return ""
    names = task_names(tx, query.dag_id)
    for task_id in query.task_ids or ():
        if task_id not in names.tasks:
            return f"{query.dag_id} has no task {on_one_line(task_id)}{near_or_there(task_id, names.tasks)}"
    if query.task_group_id is not None and query.task_group_id not in names.groups:
        group_id = query.task_group_id
        return f"{query.dag_id} has no task group {on_one_line(group_id)}{near_or_there(group_id, names.groups)}"
    return ""
