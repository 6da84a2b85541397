# NOTE from the lead (11:51): I overwrote your tables.py by accident, believing this helper dead. Put yours back if you had one;
# delete this note either way. Everything else in this folder is yours, I touch nothing more here.
"""The schema, as SQLAlchemy Core tables. Checks are generated from the enums; unique keys are guards, not decoration.

A state is text and never NULL. Rows that every loop looks for have partial indexes, so that finding the active few
costs the same beside ten rows of history and ten million.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

from tailrace.model.states import OCCUPYING, BackfillState, DagRunState, JobState, TaskInstanceState

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: 64-bit keys on PostgreSQL; on SQLite only INTEGER PRIMARY KEY is the row id itself.
Id = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment. TIMESTAMPTZ on PostgreSQL; UTC without a zone on SQLite, which has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: in UTC."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _one_of(column: str, states: Iterable[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _where_state(states: Iterable[StrEnum]) -> str:
    return f"state IN ({', '.join(sorted(repr(str(state)) for state in states))})"


dag = Table(
    "dag",
    metadata,
    Column("dag_id", Text, primary_key=True),
    Column("paused", Boolean, nullable=False, default=False),
    Column("version", Integer, nullable=False, default=1),
    Column("spec_hash", Text, nullable=False, default=""),
    Column("file", Text, nullable=False, default=""),
    Column("updated_at", UtcDateTime, nullable=False),
)

dag_version = Table(
    "dag_version",
    metadata,
    Column("spec_hash", Text, primary_key=True),
    Column("dag_id", Text, nullable=False, index=True),
    Column("spec", Text, nullable=False),  # JSON
    Column("code_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

pool = Table(
    "pool",
    metadata,
    Column("name", Text, primary_key=True),
    Column("slots", Integer, nullable=False),  # -1: unlimited
    Column("description", Text, nullable=False, default=""),
    CheckConstraint("slots >= -1", name="slots"),
)

job = Table(
    "job",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("dag_id", Text),
    Column("backfill_id", Id),
    Column("host", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("lease_until", Double, nullable=False),  # seconds on the metastore's lease clock
    Column("lease_epoch", Text, nullable=False),  # which clock: boot id on SQLite, empty on PostgreSQL
    _one_of("state", JobState),
)
Index("ix_job_running", job.c.host, sqlite_where=text("state = 'running'"), postgresql_where=text("state = 'running'"))

backfill = Table(
    "backfill",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dag_id", Text, nullable=False, index=True),
    Column("fingerprint", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("paused", Boolean, nullable=False, default=False),
    Column("version", Integer, nullable=False, default=1),
    Column("from_date", UtcDateTime, nullable=False),
    Column("to_date", UtcDateTime, nullable=False),
    Column("reprocess", Text, nullable=False),
    Column("conf", Text),
    Column("max_active_runs", Integer),
    Column("backwards", Boolean, nullable=False, default=False),
    Column("stop_on_failure", Boolean, nullable=False, default=False),
    Column("command", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    _one_of("state", BackfillState),
)

dag_run = Table(
    "dag_run",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("logical_date", UtcDateTime, nullable=False),
    Column("interval_start", UtcDateTime, nullable=False),
    Column("interval_end", UtcDateTime, nullable=False),
    Column("run_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    Column("owner_job_id", Id),
    Column("previous_id", Id),  # pinned when the run is created
    Column("conf", Text),
    Column("disable_retry", Boolean, nullable=False, default=False),
    Column("mark_success", Boolean, nullable=False, default=False),
    Column("ignore_depends_on_past", Boolean, nullable=False, default=False),
    Column("pool", Text),
    Column("clear_on_activation", Text, nullable=False, default="[]"),  # JSON list of task ids
    Column("spec_hash", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False, default=""),
    Column("evidence", Text),  # JSON: the proof of its verdict
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    UniqueConstraint("dag_id", "run_id"),
    UniqueConstraint("dag_id", "logical_date"),
    _one_of("state", DagRunState),
)
Index(
    "ix_dag_run_running",
    dag_run.c.dag_id,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

#: Wanted-by: any number of backfills may want a run. ``open`` mirrors "the run is not closed", to find the next few.
backfill_run = Table(
    "backfill_run",
    metadata,
    Column("backfill_id", Id, ForeignKey("backfill.id"), primary_key=True),
    Column("run", Id, ForeignKey("dag_run.id"), primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False, default=""),
    Column("open", Boolean, nullable=False),
)
Index("ix_backfill_run_run", backfill_run.c.run)
Index(
    "ix_backfill_run_open",
    backfill_run.c.backfill_id,
    backfill_run.c.ordinal,
    sqlite_where=text("open"),
    postgresql_where=text("open"),
)

task_instance = Table(
    "task_instance",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("run", Id, ForeignKey("dag_run.id"), nullable=False),
    Column("dag_id", Text, nullable=False),  # of the run; here so that limits are counted without a join
    Column("task_id", Text, nullable=False),
    Column("map_index", Integer, nullable=False, default=-1),
    Column("state", Text, nullable=False),
    Column("try_number", Integer, nullable=False, default=0),
    Column("max_tries", Integer, nullable=False),
    Column("lost_tries", Integer, nullable=False, default=0),
    Column("token", Integer, nullable=False, default=0),
    Column("pool", Text, nullable=False),
    Column("pool_slots", Integer, nullable=False),
    Column("retry_at", UtcDateTime),
    Column("queued_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("cause", Text, nullable=False, default="created"),
    Column("reason", Text, nullable=False, default=""),
    Column("followed", Text),  # JSON list: a branch's choice
    Column("stopping_to", Text),  # the state a stopping try ends in
    Column("host", Text),
    Column("boot_id", Text),
    Column("worker_pid", Integer),
    Column("worker_start", BigInteger),
    Column("task_pid", Integer),
    Column("task_start", BigInteger),
    Column("code_hash", Text, nullable=False, default=""),
    Column("lease_until", Double),
    Column("lease_epoch", Text),
    UniqueConstraint("run", "task_id", "map_index"),
    _one_of("state", TaskInstanceState),
)
Index(
    "ix_task_instance_occupying",
    task_instance.c.pool,
    task_instance.c.dag_id,
    sqlite_where=text(_where_state(OCCUPYING)),
    postgresql_where=text(_where_state(OCCUPYING)),
)

history = Table(
    "history",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("write_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # task_instance, dag_run, backfill, or refused
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text),
    Column("task_id", Text),
    Column("map_index", Integer),
    Column("backfill_id", Id),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("try_number", Integer),
    Column("token", Integer),
    Column("job_id", Id),
    Column("reason", Text, nullable=False, default=""),
    Column("evidence", Text),
)
Index("ix_history_task_instance", history.c.dag_id, history.c.run_id, history.c.task_id)

xcom = Table(
    "xcom",
    metadata,
    Column("task_instance", Id, ForeignKey("task_instance.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON, never pickle
)

#: Every write transaction leaves its client-made id here, with its answer: repeating it is harmless.
write_record = Table(
    "write_record",
    metadata,
    Column("write_id", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("result", Text, nullable=False),  # JSON
)
