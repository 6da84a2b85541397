"""Reads what exists of a range before a backfill is planned: runs, their task instances, who wants them. Read only."""

from collections.abc import Iterable

from sqlalchemy import bindparam, select

from tailrace.metastore.commands.standing import runs_of_dates
from tailrace.metastore.db.tables import UNFINISHED_BACKFILL, backfill, dag
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.plans.guards import pool_sizes
from tailrace.metastore.plans.lookback import read_past_of_range
from tailrace.model.intervals import DataInterval
from tailrace.model.spec import DagSpec
from tailrace.planning.backfills import (
    BackfillFacts,
    BackfillRequest,
)

_DAG = select(dag.c.paused).where(dag.c.dag_id == bindparam("dag_id"))
_OPEN_BACKFILL = (
    select(backfill.c.id)
    .where(backfill.c.fingerprint == bindparam("fingerprint"), backfill.c.state.in_(UNFINISHED_BACKFILL))
    .order_by(backfill.c.id.desc())
    .limit(1)
)
_ENDED_BACKFILL = (
    select(backfill.c.id)
    .where(backfill.c.fingerprint == bindparam("fingerprint"), backfill.c.state.not_in(UNFINISHED_BACKFILL))
    .order_by(backfill.c.id.desc())
    .limit(1)
)


def open_backfill(tx: Transaction, fingerprint: str) -> int | None:
    """The newest unfinished backfill of this fingerprint."""
    found: int | None = tx.value(_OPEN_BACKFILL, {"fingerprint": fingerprint})
    return found


def ended_backfill(tx: Transaction, fingerprint: str) -> int | None:
    """The newest backfill of this fingerprint that has ended."""
    found: int | None = tx.value(_ENDED_BACKFILL, {"fingerprint": fingerprint})
    return found


def read_facts(
    tx: Transaction, dag_spec: DagSpec, request: BackfillRequest, intervals: Iterable[DataInterval]
) -> BackfillFacts:
    """What exists of these dates. Everything is of one moment, ``now``."""
    dates = [interval.start for interval in intervals]
    return BackfillFacts(
        now=tx.moment.wall,
        dag_paused=bool(tx.value(_DAG, {"dag_id": dag_spec.dag_id})),
        existing={run.logical_date: run for run in runs_of_dates(tx, dag_spec.dag_id, dates)},
        past=read_past_of_range(tx, dag_spec, dates[0], dates[-1]) if dates and dag_spec.depends_on_past else None,
        open_with_fingerprint=open_backfill(tx, request.fingerprint),
        done_with_fingerprint=ended_backfill(tx, request.fingerprint),
        pools=pool_sizes(tx),
    )
