"""The structures that a DAG has had: each is a version, counted from 1 in the order in which they came."""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Select, bindparam, func, select

from tailrace.metastore.db.tables import dag_run, dag_version
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.views.loaded import loaded_structure
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.changes import structure_changes

_VERSIONS: Select[Any] = (
    select(dag_version.c.id, dag_version.c.created_at, dag_version.c.spec)
    .where(dag_version.c.dag_id == bindparam("dag_id"))
    .order_by(dag_version.c.id)
)
_RUNS: Select[Any] = (
    select(dag_run.c.dag_version_id, func.count().label("runs"))
    .where(dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.dag_version_id.is_not(None))
    .group_by(dag_run.c.dag_version_id)
)
_OF_RUN = select(dag_run.c.dag_id, dag_run.c.dag_version_id).where(dag_run.c.id == bindparam("run"))
_IDS = select(dag_version.c.id).where(dag_version.c.dag_id == bindparam("dag_id")).order_by(dag_version.c.id)


class DagVersion(Struct, frozen=True):
    """One structure that a DAG has had: fields are the JSON's. ``runs`` counts those that were last begun with it,
    ``changes`` says what differs from the version before. ``is_newest``: the DAG was loaded so last.
    """

    version: int
    since: datetime
    tasks: int
    runs: int
    is_newest: bool
    changes: tuple[str, ...] = ()


class VersionOfRun(Struct, frozen=True):
    """Which version of its DAG a run was last begun with, and how many there are."""

    version: int
    versions: int


def dag_versions(tx: Transaction, dag_id: str) -> tuple[DagVersion, ...]:
    """Every version of a DAG, the first of them first; none of a DAG that was never loaded."""
    rows = tx.rows(_VERSIONS, {"dag_id": dag_id})
    runs = {row.dag_version_id: row.runs for row in tx.rows(_RUNS, {"dag_id": dag_id})}
    newest = loaded_structure(tx, dag_id) or (rows[-1].id if rows else None)
    found: list[DagVersion] = []
    before = None
    for number, row in enumerate(rows, start=1):
        spec = spec_from(row.spec)
        changes = () if before is None else structure_changes(before, spec)
        is_newest = row.id == newest
        found.append(DagVersion(number, row.created_at, len(spec.tasks), runs.get(row.id, 0), is_newest, changes))
        before = spec
    return tuple(found)


def version_of_run(tx: Transaction, run: int) -> VersionOfRun | None:
    """That of a run (its row); None for one that has not begun yet."""
    row = tx.row(_OF_RUN, {"run": run})
    ids = [] if row is None else [each.id for each in tx.rows(_IDS, {"dag_id": row.dag_id})]
    return (
        None
        if row is None or row.dag_version_id not in ids
        else VersionOfRun(ids.index(row.dag_version_id) + 1, len(ids))
    )
