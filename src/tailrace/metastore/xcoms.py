"""XComs: small JSON values that task instances leave for others of their run. Never a pickle."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, bindparam, insert, select

from tailrace.effects.tries import Json, XComQuery
from tailrace.metastore.columns import from_json, to_json
from tailrace.metastore.tables import dag_run, task_instance, xcom
from tailrace.metastore.transaction import Transaction

_INSERT = insert(xcom)

_OF_RUN: Select[Any] = (
    select(task_instance.c.task_id, task_instance.c.map_index, xcom.c.value)
    .select_from(
        dag_run.join(task_instance, task_instance.c.dag_run_id == dag_run.c.id).join(
            xcom, xcom.c.task_instance_id == task_instance.c.id
        )
    )
    .where(
        dag_run.c.dag_id == bindparam("dag_id"),
        dag_run.c.run_id == bindparam("run_id"),
        xcom.c.key == bindparam("key"),
    )
    .order_by(task_instance.c.id)  # task instances are created in topological order
)
_OF_TASKS = _OF_RUN.where(task_instance.c.task_id.in_(bindparam("tasks", expanding=True)))


def write_xcoms(tx: Transaction, task_instance_id: int, values: Mapping[str, Json]) -> None:
    """Store these values of one task instance. It has none yet: the claim of this try dropped what another left."""
    rows = [
        {"task_instance_id": task_instance_id, "key": key, "value": to_json(value), "at": tx.moment.wall}
        for key, value in sorted(values.items())
    ]
    tx.change_many(_INSERT, rows)


def read_xcoms(tx: Transaction, query: XComQuery) -> tuple[tuple[str, int, Json], ...]:
    """The values asked for, as (task id, map index, value), in topological then index order."""
    values: dict[str, Any] = {"dag_id": query.dag_id, "run_id": query.run_id, "key": query.key}
    if query.task_ids:
        rows = tx.rows(_OF_TASKS, {**values, "tasks": list(query.task_ids)})
    else:
        rows = tx.rows(_OF_RUN, values)
    return tuple(
        (task_id, index, from_json(value))
        for task_id, index, value in rows
        if query.map_index is None or index == query.map_index
    )
