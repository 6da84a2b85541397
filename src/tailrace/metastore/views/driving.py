"""Which jobs drive runs, or will: what lists say beside an open run."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, select

from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, backfill, backfill_run, dag
from tailrace.metastore.db.transaction import Transaction, in_batches
from tailrace.metastore.tries.job_rows import live_jobs

_WANTING = (
    select(backfill_run.c.dag_run_id, backfill.c.id, backfill.c.detached)
    .join(backfill, backfill.c.id == backfill_run.c.backfill_id)
    .where(
        backfill_run.c.dag_run_id.in_(bindparam("runs", expanding=True)),
        backfill.c.state.in_(UNFINISHED_BACKFILL),
        ~backfill.c.paused,
    )
)
_PAUSED = select(dag.c.dag_id).where(dag.c.paused)


def drivers_of(tx: Transaction, rows: Sequence[Any]) -> Mapping[int, tuple[int, ...]]:
    """The jobs believed alive that drive each of these open runs (rows of ``dag_run``), or will begin it.

    That is its owner; else the jobs of the unpaused backfills that want it; and schedulers, if it is live.
    """
    if not rows:
        return {}
    jobs, paused = live_jobs(tx), set(tx.column(_PAUSED))
    found: dict[int, tuple[int, ...]] = {}
    for batch in in_batches([row.id for row in rows]):
        for run, backfill_id, detached in tx.rows(_WANTING, {"runs": batch}):
            found[run] = found.get(run, ()) + jobs.driving(backfill_id, detached=detached)
    for row in rows:
        if row.owner_job_id in jobs.all:
            found[row.id] = (row.owner_job_id,)
        elif row.live and (row.dag_id not in paused or row.state == "running"):
            found[row.id] = found.get(row.id, ()) + jobs.schedulers
    return {run: tuple(dict.fromkeys(by)) for run, by in found.items()}
