"""Creates the run that a person triggers, in one transaction under the DAG's guard row. What it is was decided."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update

from tailrace.errors import InternalError
from tailrace.metastore.creation import StaleFacts, lock_dag_row
from tailrace.metastore.records import Author, insert_history, record, run_row
from tailrace.metastore.structures import Structures
from tailrace.metastore.tables import dag, dag_run
from tailrace.metastore.transaction import Transaction
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.model.states import DagRunState
from tailrace.model.transitions import Actor, Cause
from tailrace.planning.triggering import TriggerFacts, TriggerPlan

_PAUSED = select(dag.c.paused).where(dag.c.dag_id == bindparam("dag_id"))
_BY_DATE = select(dag_run.c.run_id, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date == bindparam("date")
)
_BY_ID = select(dag_run.c.run_id, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.run_id == bindparam("run_id")
)
_INSERT = insert(dag_run).returning(dag_run.c.id)
_RENEW_DAG = (
    update(dag)
    .where(dag.c.dag_id == bindparam("id"))
    .values(version=dag.c.version + 1, dag_version_id=bindparam("structure"))
)


def read_trigger_facts(tx: Transaction, dag_id: str, date: datetime, run_id: str) -> TriggerFacts:
    """Whether there is a run of that date or id already."""
    paused = tx.row(_PAUSED, {"dag_id": dag_id})
    same_date = tx.row(_BY_DATE, {"dag_id": dag_id, "date": date})
    same_id = tx.row(_BY_ID, {"dag_id": dag_id, "run_id": run_id})
    return TriggerFacts(
        now=tx.moment.wall,
        dag_paused=paused is not None and bool(paused[0]),
        same_date=None if same_date is None else same_date[0],
        same_id=None if same_id is None else same_id[0],
    )


def write_trigger(
    tx: Transaction, dag_spec: DagSpec, plan: TriggerPlan, write_id: str, structures: Structures
) -> dict[str, Any]:
    """Create the run; the record holds its row. Raises StaleFacts when its date or id was taken meanwhile."""
    if plan.refusals:
        raise InternalError(f"a refused trigger reached the metastore: {plan.refusals[0]}")
    dag_id = dag_spec.dag_id
    lock_dag_row(tx, dag_id)
    facts = read_trigger_facts(tx, dag_id, plan.logical_date, plan.run_id)
    if facts.same_date is not None or facts.same_id is not None:
        raise StaleFacts(f"{dag_id}: expected no run {plan.run_id}, found {facts.same_date or facts.same_id}")
    structure = structures.row_of(tx, dag_spec)
    tx.change(_RENEW_DAG, {"id": dag_id, "structure": structure})
    values = {
        "dag_id": dag_id,
        "run_id": plan.run_id,
        "run_type": RunType.MANUAL,
        "logical_date": plan.logical_date,
        "interval_start": plan.interval.start,
        "interval_end": plan.interval.end,
        "state": DagRunState.QUEUED,
        "version": 1,
        "conf": plan.conf,
        "disable_retry": False,
        "mark_success": False,
        "ignore_depends_on_past": False,
        "reason": "",
        "created_at": tx.moment.wall,
        "live": True,
    }
    row = int(tx.rows(_INSERT, values)[0][0])
    author = Author(tx.moment.wall, write_id, Actor.PERSON)
    insert_history(
        tx, [run_row(author, dag_id, plan.run_id, None, DagRunState.QUEUED, Cause.CREATED, "triggered by a person")]
    )
    result = {"id": row}
    record(tx, write_id, result)
    return result
