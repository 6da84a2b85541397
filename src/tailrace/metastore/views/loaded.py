"""Reads each DAG as its file was loaded last: its structure, where it came from, and when. Nothing is decided by it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Select, bindparam, select

from tailrace.metastore.db.tables import dag, dag_version, loaded_dag
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.views.paging import Order, Page, Place
from tailrace.metastore.views.persons import of_dags
from tailrace.metastore.writes.specs import spec_from
from tailrace.model.spec import DagSpec
from tailrace.planning.explain_facts import PersonsCommand
from tailrace.planning.schedules import ScheduleFacts

_LOADED: Select[Any] = (
    select(
        loaded_dag.c.dag_id,
        dag_version.c.spec,
        loaded_dag.c.file,
        loaded_dag.c.code_hash,
        loaded_dag.c.loaded_at,
        dag.c.paused,
        dag.c.paused_reason,
        dag.c.scheduled_until,
    )
    .join(loaded_dag, loaded_dag.c.dag_version_id == dag_version.c.id)
    .outerjoin(dag, dag.c.dag_id == loaded_dag.c.dag_id)
)
_BY_NAME = Order((loaded_dag.c.dag_id, False))
_ALL = _LOADED.order_by(loaded_dag.c.dag_id)
_NAMED = _LOADED.where(loaded_dag.c.dag_id == bindparam("dag_id"))
_OF_ONE = select(loaded_dag.c.dag_version_id).where(loaded_dag.c.dag_id == bindparam("dag_id"))


class LoadedDag(Struct, frozen=True):
    """A DAG as its file was loaded last, and how far its schedule has come."""

    spec: DagSpec
    loaded_at: datetime
    schedule: ScheduleFacts = ScheduleFacts()
    last_pause: PersonsCommand | None = None  # or end of a pause, by a person


def loaded_dags(tx: Transaction) -> tuple[LoadedDag, ...]:
    """Every DAG that was ever loaded, by name."""
    return _loaded_of(tx, tx.rows(_ALL))


def page_of_loaded_dags(tx: Transaction, place: Place) -> Page[LoadedDag]:
    """Some of them, by name."""
    rows, last = _BY_NAME.rows(tx, _LOADED, place)
    return Page(_loaded_of(tx, rows), last)


def loaded_dag_named(tx: Transaction, dag_id: str) -> LoadedDag | None:
    """The one of this name, if it was ever loaded."""
    return next(iter(_loaded_of(tx, tx.rows(_NAMED, {"dag_id": dag_id}))), None)


def loaded_structure(tx: Transaction, dag_id: str) -> int | None:
    """The row of the structure that a DAG was loaded with last; None for one that never was."""
    found: int | None = tx.value(_OF_ONE, {"dag_id": dag_id})
    return found


def _loaded_of(tx: Transaction, rows: Sequence[Any]) -> tuple[LoadedDag, ...]:
    pauses = of_dags(tx, [row.dag_id for row in rows])
    return tuple(_loaded(row, pauses.get(row.dag_id)) for row in rows)


def _loaded(row: Any, last_pause: PersonsCommand | None) -> LoadedDag:
    spec = replace(spec_from(row.spec), file=row.file, code_hash=row.code_hash)
    return LoadedDag(
        spec, row.loaded_at, ScheduleFacts(bool(row.paused), row.scheduled_until, row.paused_reason or ""), last_pause
    )
