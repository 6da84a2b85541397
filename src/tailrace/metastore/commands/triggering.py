"""Creates the run that a person triggers, in one transaction under the DAG's guard row. What it is was decided."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from tailrace.errors import InternalError
from tailrace.metastore.commands.creation import StaleFacts, lock_dag_row
from tailrace.metastore.db.tables import dag, dag_run
from tailrace.metastore.db.transaction import Transaction
from tailrace.metastore.writes.records import Author, History, insert_history, record
from tailrace.metastore.writes.runs import NewRun, Options, insert_runs
from tailrace.metastore.writes.stateless import renew_dag
from tailrace.metastore.writes.structures import Structures
from tailrace.model.keys import RunType
from tailrace.model.spec import DagSpec
from tailrace.planning.triggering import TriggerFacts, TriggerPlan

_PAUSED = select(dag.c.paused).where(dag.c.dag_id == bindparam("dag_id"))
_BY_DATE = select(dag_run.c.run_id, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.logical_date == bindparam("date")
)
_BY_ID = select(dag_run.c.run_id, dag_run.c.id).where(
    dag_run.c.dag_id == bindparam("dag_id"), dag_run.c.run_id == bindparam("run_id")
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
    author, history = Author.of_command(tx, write_id), History()
    lock_dag_row(tx, author, dag_id)
    facts = read_trigger_facts(tx, dag_id, plan.logical_date, plan.run_id)
    if facts.same_date is not None or facts.same_id is not None:
        raise StaleFacts(f"{dag_id}: expected no run {plan.run_id}, found {facts.same_date or facts.same_id}")
    structure = structures.row_of(tx, author, dag_spec)
    renew_dag(tx, author, dag_id, dag_version_id=structure)
    run = NewRun(
        dag_id,
        plan.run_id,
        RunType.MANUAL,
        plan.interval,
        plan.logical_date,
        "triggered by a person",
        Options(conf=plan.conf),
        live=True,
    )
    rows = insert_runs(tx, author, [run], history)
    insert_history(tx, history)
    result = {"id": rows[plan.logical_date].id}
    record(tx, write_id, result)
    return result
