"""Keeps each structure a DAG has had, once, so that a run can name the one it was activated with."""

from msgspec.structs import replace
from sqlalchemy import bindparam, select

from tailrace.metastore.db.tables import dag_version
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import Author
from tailrace.metastore.writes.specs import spec_hash, spec_text
from tailrace.metastore.writes.stateless import insert_row
from tailrace.model.spec import DagSpec

_FIND = select(dag_version.c.id).where(
    dag_version.c.dag_id == bindparam("dag_id"), dag_version.c.spec_hash == bindparam("spec_hash")
)


class Structures:
    """Finds the row of a DAG's structure, or writes it; remembers the last one found, which is nearly always asked."""

    def __init__(self) -> None:
        self._last: tuple[DagSpec, int] | None = None

    def find(self, tx: Transaction, dag: DagSpec) -> int | None:
        """The row of this structure, or None where nobody has written it yet."""
        if self._last is not None and self._last[0] is dag:
            return self._last[1]
        found: int | None = tx.value(_FIND, {"dag_id": dag.dag_id, "spec_hash": spec_hash(_text(dag))})
        if found is not None:
            # Only what has been read is remembered: an insert may yet be rolled back.
            self._last = (dag, found)
        return found

    def row_of(self, tx: Transaction, author: Author, dag: DagSpec) -> int:
        """The row of this structure, written if it is new. Of two writers that both insert it one is done again."""
        found = self.find(tx, dag)
        if found is not None:
            return found
        text = _text(dag)
        values = {
            "dag_id": dag.dag_id,
            "spec_hash": spec_hash(text),
            "code_hash": dag.code_hash,
            "spec": text,
            "created_at": author.at,
        }
        return int(insert_row(tx, author, dag_version, values))


def _text(dag: DagSpec) -> str:
    """Where it was loaded from is no part of a structure, nor what is asked before a run is made."""
    return spec_text(replace(dag, file="", code_hash="", params=(), paused_at_creation=None))
