"""Indexes of the few rows that every loop looks for: they cost the same beside ten rows of history and ten million."""

from typing import NamedTuple

from sqlalchemy import Table

from tailrace.metastore.db.tables import (
    FAILED_SQL,
    LIVE_SQL,
    OCCUPYING_SQL,
    OPEN_BACKFILL_SQL,
    backfill,
    dag_run,
    history,
    job,
    outbox,
    task_instance,
)
from tailrace.model.callbacks import EventState
from tailrace.model.states import DagRunState, JobState


class PartialIndex(NamedTuple):
    """An index of the rows that every loop looks for."""

    name: str
    table: Table
    columns: tuple[str, ...]
    where: str

    @property
    def sql(self) -> str:
        """Its definition, the same for both databases."""
        return f"CREATE INDEX {self.name} ON {self.table.name} ({', '.join(self.columns)}) WHERE {self.where}"


#: Not SQLAlchemy's: there a partial index is an option of each database, and naming PostgreSQL's loads its driver's
#: module in every command that needs SQLite only (a tenth of a small backfill's start).
PARTIAL_INDEXES = (
    PartialIndex("ix_job_running", job, ("host",), f"state = '{JobState.RUNNING}'"),
    PartialIndex("ix_dag_run_running", dag_run, ("dag_id",), f"state = '{DagRunState.RUNNING}'"),
    # Every claim asks for the newest earlier success, which may be far below failures.
    PartialIndex("ix_dag_run_succeeded", dag_run, ("dag_id", "logical_date"), f"state = '{DagRunState.SUCCESS}'"),
    PartialIndex("ix_dag_run_live", dag_run, ("dag_id", "logical_date"), LIVE_SQL),
    PartialIndex("ix_backfill_open", backfill, ("dag_id",), OPEN_BACKFILL_SQL),
    PartialIndex("ix_task_instance_occupying", task_instance, ("dag_id", "pool"), OCCUPYING_SQL),
    # What failed inside a run is said wherever the run is: few rows, however many succeeded.
    PartialIndex("ix_task_instance_failed", task_instance, ("dag_run_id", "task_id", "state"), FAILED_SQL),
    PartialIndex("ix_outbox_waiting", outbox, ("dag_id", "id"), f"status = '{EventState.WAITING}'"),
    # Who paused a DAG is said wherever the DAG is: few rows, however many jobs have written about it.
    PartialIndex("ix_history_of_persons", history, ("dag_id", "kind"), "person IS NOT NULL AND run_id IS NULL"),
)
