"""Keeps each DAG as its file was loaded last: its structure, where it came from, and when. Nothing is decided by it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Select, bindparam, insert, select, update

from tailrace.metastore.db.tables import dag_version, loaded_dag
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import record
from tailrace.metastore.writes.specs import spec_from
from tailrace.metastore.writes.structures import Structures
from tailrace.model.spec import DagSpec

_INSERT_LOADED = insert(loaded_dag)
_UPDATE_LOADED = (
    update(loaded_dag)
    .where(loaded_dag.c.dag_id == bindparam("id"))
    .values(
        dag_version_id=bindparam("structure"),
        file=bindparam("path"),
        code_hash=bindparam("code"),
        loaded_at=bindparam("at"),
    )
)
_LOADED: Select[Any] = (
    select(dag_version.c.spec, loaded_dag.c.file, loaded_dag.c.code_hash, loaded_dag.c.loaded_at)
    .join(loaded_dag, loaded_dag.c.dag_version_id == dag_version.c.id)
    .order_by(loaded_dag.c.dag_id)
)
_LOADED_IDS = select(loaded_dag.c.dag_id)
_OF_ONE = select(loaded_dag.c.dag_version_id).where(loaded_dag.c.dag_id == bindparam("dag_id"))


class LoadedDag(Struct, frozen=True):
    """A DAG as its file was loaded last."""

    spec: DagSpec
    loaded_at: datetime


def store_loaded(tx: Transaction, dags: Iterable[DagSpec], write_id: str, structures: Structures) -> None:
    """Keep these DAGs. They are taken by name, so that two who load the same ones wait for each other once."""
    known = set(tx.column(_LOADED_IDS))
    at = tx.moment.wall
    new, again = [], []
    for spec in sorted(dags, key=lambda spec: spec.dag_id):
        structure = structures.row_of(tx, spec)
        if spec.dag_id in known:
            again.append(
                {"id": spec.dag_id, "structure": structure, "path": spec.file, "code": spec.code_hash, "at": at}
            )
        else:
            new.append(
                {
                    "dag_id": spec.dag_id,
                    "dag_version_id": structure,
                    "file": spec.file,
                    "code_hash": spec.code_hash,
                    "loaded_at": at,
                }
            )
    tx.change_many(_UPDATE_LOADED, again)
    tx.change_many(_INSERT_LOADED, new)
    record(tx, write_id, None)


def loaded_dags(tx: Transaction) -> tuple[LoadedDag, ...]:
    """Every DAG that was ever loaded, by name."""
    return tuple(_loaded(row) for row in tx.rows(_LOADED))


def loaded_structure(tx: Transaction, dag_id: str) -> int | None:
    """The row of the structure that a DAG was loaded with last; None for one that never was."""
    found: int | None = tx.value(_OF_ONE, {"dag_id": dag_id})
    return found


def _loaded(row: Any) -> LoadedDag:
    return LoadedDag(replace(spec_from(row.spec), file=row.file, code_hash=row.code_hash), row.loaded_at)
