"""How runs are named, for who is about to type one."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import select

from tailrace.metastore.db.tables import dag_run
from tailrace.metastore.db.transaction import Transaction


class RunName(Struct, frozen=True):
    """A run by its names."""

    run_id: str
    logical_date: datetime
    state: str


def newest_runs(tx: Transaction, dag_id: str, limit: int) -> tuple[RunName, ...]:
    """The newest runs of the DAG."""
    wanted = select(dag_run.c.run_id, dag_run.c.logical_date, dag_run.c.state).where(dag_run.c.dag_id == dag_id)
    return tuple(RunName(*row) for row in tx.rows(wanted.order_by(dag_run.c.logical_date.desc()).limit(limit)))
