"""Keeps each DAG as its file was loaded last, and pauses one that is new here where that is asked for."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import bindparam, select, update

from tailrace.metastore.commands.creation import lock_dag_row
from tailrace.metastore.db.tables import loaded_dag
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.writes.records import Author, record
from tailrace.metastore.writes.stateless import insert_row, set_row
from tailrace.metastore.writes.structures import Structures
from tailrace.model.spec import DagSpec
from tailrace.model.transitions import Actor

_LOCK_LOADED = (
    select(loaded_dag)
    .where(loaded_dag.c.dag_id.in_(bindparam("dags", expanding=True)))
    .order_by(loaded_dag.c.dag_id)
    .with_for_update(key_share=True)
)
_RENEW_LOADED = update(loaded_dag).where(loaded_dag.c.dag_id == bindparam("id")).values(loaded_at=bindparam("at"))


def store_loaded(
    tx: Transaction, dags: Iterable[DagSpec], write_id: str, structures: Structures, *, paused: bool
) -> None:
    """Keep these DAGs. They are taken by name, so that two who load the same ones wait for each other once.

    A DAG that is new here and is to be paused at creation, by itself or else because of ``paused``, is.
    """
    author = Author(tx.moment.wall, write_id, Actor.PLANNER)
    kept = sorted(dags, key=lambda spec: spec.dag_id)
    known: dict[str, Any] = {}
    for names in in_batches([spec.dag_id for spec in kept]):
        known.update((row.dag_id, row) for row in tx.rows(_LOCK_LOADED, {"dags": names}))
    for spec in kept:
        structure = structures.row_of(tx, author, spec)
        columns = {"dag_version_id": structure, "file": spec.file, "code_hash": spec.code_hash}
        found = known.get(spec.dag_id)
        if found is None:
            if paused if spec.paused_at_creation is None else spec.paused_at_creation:
                lock_dag_row(tx, author, spec.dag_id, structure, paused=True)
            insert_row(tx, author, loaded_dag, {"dag_id": spec.dag_id, **columns, "loaded_at": author.at})
        elif changed := {name: value for name, value in columns.items() if getattr(found, name) != value}:
            set_row(tx, author, loaded_dag, found, changed)
    tx.change_many(_RENEW_LOADED, [{"id": dag_id, "at": author.at} for dag_id in known])
    record(tx, write_id, None)
