"""Keeps each DAG as its file was loaded last, and pauses one that is new here where that is asked for."""

from collections.abc import Iterable

from sqlalchemy import bindparam, insert, select, update

from tailrace.metastore.commands.creation import lock_dag_row
from tailrace.metastore.db.tables import loaded_dag
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import record
from tailrace.metastore.writes.structures import Structures
from tailrace.model.spec import DagSpec

_LOADED_IDS = select(loaded_dag.c.dag_id)
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


def store_loaded(
    tx: Transaction, dags: Iterable[DagSpec], write_id: str, structures: Structures, *, paused: bool
) -> None:
    """Keep these DAGs. They are taken by name, so that two who load the same ones wait for each other once.

    A DAG that is new here and is to be paused at creation, by itself or else because of ``paused``, is.
    """
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
            if paused if spec.paused_at_creation is None else spec.paused_at_creation:
                lock_dag_row(tx, spec.dag_id, structure, paused=True)
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
