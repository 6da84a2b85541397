"""Reads which tasks and task groups a DAG, or any, has ever had: by its structures, not by the rows of its runs."""

from collections.abc import Mapping

from msgspec import Struct
from sqlalchemy import select

from tailrace.metastore.db.tables import dag_version
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.specs import spec_from


class TaskNames(Struct, frozen=True):
    """Task ids, and for each group id those of the tasks in it, in any structure."""

    tasks: frozenset[str]
    groups: Mapping[str, frozenset[str]]


def task_names(tx: Transaction, dag_id: str | None) -> TaskNames:
    """Those of the DAG, of every DAG for None."""
    wanted = select(dag_version.c.spec)
    if dag_id is not None:
        wanted = wanted.where(dag_version.c.dag_id == dag_id)
    tasks: set[str] = set()
    groups: dict[str, frozenset[str]] = {}
    for text in tx.column(wanted):
        spec = spec_from(text)
        tasks.update(spec.by_id)
        for group_id, inside in spec.members.items():
            groups[group_id] = groups.get(group_id, frozenset()) | inside
    return TaskNames(frozenset(tasks), groups)
