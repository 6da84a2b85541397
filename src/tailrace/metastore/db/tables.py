"""The schema, as SQLAlchemy Core tables. Checks are generated from the enums; unique keys are guards, not decoration.

A state is text and never NULL. Rows that every loop looks for have partial indexes, so that finding the active few
costs the same beside ten rows of history and ten million.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from tailrace.metastore.db.columns import UtcDateTime, one_of, state_check
from tailrace.model.callbacks import EventState
from tailrace.model.states import (
    BACKFILL_CLOSED,
    CLOSED,
    OCCUPYING,
    BackfillState,
    DagRunState,
    JobState,
    TaskInstanceState,
)

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


#: Which task instances occupy capacity. Literal, because a partial index is used only where its condition is.
OCCUPYING_SQL = one_of("state", OCCUPYING)

#: Which have failed, or cannot run because one above them has.
FAILED_SQL = one_of("state", {TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})

#: The same for live runs that are not closed, and for backfills that are not.
OPEN_RUN_SQL = one_of("state", frozenset(DagRunState) - CLOSED)
LIVE_SQL = f"live AND {OPEN_RUN_SQL}"
UNFINISHED_BACKFILL = [state.value for state in BackfillState if state not in BACKFILL_CLOSED]
OPEN_BACKFILL_SQL = one_of("state", frozenset(BackfillState) - BACKFILL_CLOSED)


def _chain(name: str = "chain") -> tuple[Column[str], Column[int]]:
    """Where the chain of the history of a row has come to: its newest digest, and its number of rows."""
    return Column(f"{name}_head", Text), Column(f"{name}_length", Integer, nullable=False, server_default="0")


dag = Table(
    "dag",
    metadata,
    Column("dag_id", Text, primary_key=True),
    Column("paused", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("dag_version_id", Id, nullable=False),  # the newest structure; 0 before the first
    Column("created_at", UtcDateTime, nullable=False),
    Column("paused_after", Text),  # the date and version of the newest run for which a job has paused it
    Column("paused_reason", Text),  # why a job has paused it; NULL once a person has paused or resumed it
    Column("scheduled_until", UtcDateTime),  # every date of the schedule up to here has been looked at by a scheduler
    *_chain(),
)

dag_version = Table(
    "dag_version",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dag_id", Text, nullable=False),
    Column("spec_hash", Text, nullable=False),
    Column("spec", Text, nullable=False),  # JSON
    Column("code_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    *_chain(),
    UniqueConstraint("dag_id", "spec_hash"),
)

#: Each DAG as its file was loaded last, whether it ever ran or not.
loaded_dag = Table(
    "loaded_dag",
    metadata,
    Column("dag_id", Text, primary_key=True),
    Column("dag_version_id", Id, nullable=False),
    Column("file", Text, nullable=False),
    Column("code_hash", Text, nullable=False),
    Column("loaded_at", UtcDateTime, nullable=False),
    *_chain(),
)

pool = Table(
    "pool",
    metadata,
    Column("name", Text, primary_key=True),
    Column("slots", Integer, nullable=False),  # -1: unlimited
    Column("description", Text, nullable=False),
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
    Column("namespace", Text, nullable=False, server_default=""),  # in which its pid counts
    Column("trouble", Text, nullable=False, server_default=""),  # what hinders it now, as JSON
    Column("started_at", UtcDateTime, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("lease_until", Double, nullable=False),  # seconds on the metastore's lease clock
    Column("lease_epoch", Text, nullable=False),  # which clock: the boot id on SQLite
    Column("lease_seconds", Double, nullable=False),  # what it was granted for
    *_chain(),
    state_check("state", JobState),
)
Index("ix_job_backfill", job.c.backfill_id)

backfill = Table(
    "backfill",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dag_id", Text, nullable=False),
    Column("dag_version_id", Id, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("range_start", UtcDateTime, nullable=False),
    Column("range_end", UtcDateTime, nullable=False),
    Column("reprocess", Text, nullable=False),
    Column("conf", Text),
    Column("disable_retry", Boolean, nullable=False),
    Column("mark_success", Boolean, nullable=False),
    Column("ignore_first_depends_on_past", Boolean, nullable=False),
    Column("pool", Text),
    Column("max_active_runs", Integer),
    Column("backwards", Boolean, nullable=False),
    Column("stop_on_failure", Boolean, nullable=False),
    Column("command", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("detached", Boolean, nullable=False, server_default=false()),  # a scheduler drives it
    Column("part", Text),  # JSON: its tasks and their leaves, where it is a part of its DAG
    *_chain(),
    state_check("state", BackfillState),
)
Index("ix_backfill_fingerprint", backfill.c.fingerprint)

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
    Column("version", Integer, nullable=False),
    Column("owner_job_id", Id),
    Column("conf", Text),
    Column("disable_retry", Boolean, nullable=False),
    Column("mark_success", Boolean, nullable=False),
    Column("ignore_depends_on_past", Boolean, nullable=False),
    Column("pool", Text),
    Column("clear_on_activation", Text),  # JSON list of task ids
    Column("dag_version_id", Id),  # the structure it was last activated with
    Column("reason", Text, nullable=False),
    Column("blocked", Text),  # JSON: the blockers of a deadlock
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    # Schedulers drive it as live work: scheduled, triggered or reopened by a person, not only for a backfill.
    Column("live", Boolean, nullable=False, server_default=false()),
    Column("late_since", UtcDateTime),  # the deadline that it has missed
    Column("reopened", Boolean),  # it had ended, and was opened again
    Column("stopped_by", Text),  # JSON: why it is stopped before its tasks have ended
    Column("failed_before", Text),  # JSON: rows and tries that had failed when it was activated
    Column("owner_lane", Id, nullable=False, server_default="0"),  # for which backfill its owner drives it; 0: live
    Column("part", Text),  # JSON: the tasks that are done in it, and the edges that parts of its DAG have cut
    *_chain(),
    UniqueConstraint("dag_id", "run_id"),
    UniqueConstraint("dag_id", "logical_date"),
    state_check("state", DagRunState),
)

#: Wanted-by: any number of backfills may want a run. ``run_state`` is the run's, copied in the transaction that changes
#: it, so that the next few open runs of a backfill are found by an index, however long its range. Once the run is
#: closed, a backfill of a part has there how that part has ended.
backfill_run = Table(
    "backfill_run",
    metadata,
    Column("backfill_id", Id, ForeignKey("backfill.id"), primary_key=True),
    Column("dag_run_id", Id, ForeignKey("dag_run.id"), primary_key=True),
    Column("ordinal", Integer, nullable=False),
    Column("run_state", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("clear", Text, nullable=False),  # JSON list of task ids
    state_check("run_state", DagRunState),
)
Index("ix_backfill_run_run", backfill_run.c.dag_run_id)
Index("ix_backfill_run_next", backfill_run.c.backfill_id, backfill_run.c.run_state, backfill_run.c.ordinal)

task_instance = Table(
    "task_instance",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("dag_run_id", Id, ForeignKey("dag_run.id"), nullable=False),
    Column("dag_id", Text, nullable=False),  # of the run; here so that limits are counted without a join
    Column("task_id", Text, nullable=False),
    Column("map_index", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("try_number", Integer, nullable=False),
    Column("max_tries", Integer, nullable=False),
    Column("lost_tries", Integer, nullable=False),
    Column("token", Integer, nullable=False),
    Column("pool", Text, nullable=False),
    Column("pool_slots", Integer, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("retry_at", UtcDateTime),
    Column("queued_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("cause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("followed", Text),  # JSON list: a branch's choice
    Column("stopping_to", Text),  # the state a stopping try ends in
    Column("holder", Text),  # JSON: the identities of the worker and of the task's process
    Column("code_hash", Text),
    Column("rescheduled", Text),  # JSON: which try gave its slot back last, how often, and when it gives up
    Column(
        "rendered_map_index", Text
    ),  # what an instance of a mapped task is called beside its index, where it says so
    Column("lease_until", Double),
    Column("lease_epoch", Text),
    Column("lease_seconds", Double),
    *_chain(),
    *_chain("refused"),  # of results that came too late
    UniqueConstraint("dag_run_id", "task_id", "map_index"),
    state_check("state", TaskInstanceState),
    state_check("stopping_to", TaskInstanceState),
)

history = Table(
    "history",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("write_id", Text, nullable=False),
    Column("kind", Text, nullable=False),  # task_instance, dag_run, backfill, pool, refused, changed, or cleaned
    Column("dag_id", Text, nullable=False),  # empty where no DAG is meant
    Column("run_id", Text),
    Column("task_id", Text),
    Column("map_index", Integer),
    Column("task_instance_id", Id),
    Column("dag_run_id", Id),  # the row of the run that it is about
    Column("backfill_id", Id),
    Column("before", Text),  # NULL for a creation: there was nothing before
    Column("after", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("try_number", Integer),
    Column("token", Integer),
    Column("job_id", Id),
    Column("reason", Text, nullable=False),
    Column("evidence", Text),
    Column("dag_version_id", Id),  # the structure that a planner decided by
    Column("pool", Text),  # or the Variable or Connection that it is about
    Column("sets", Text),  # JSON: the columns that were set on what it is about
    Column("person", Text),  # user@host, where somebody's command did it; NULL for what a job or a worker did
    Column("digest", Text),  # of this row and the one before it about the same; NULL on rows from before 0007
)
Index("ix_history_task_instance", history.c.dag_id, history.c.run_id, history.c.task_id)

#: How far the chains have come that are of no row which stays.
chain = Table(
    "chain",
    metadata,
    Column("name", Text, primary_key=True),
    *_chain(),
)


def _secret(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("name", Text, primary_key=True),
        Column("value", Text, nullable=False),  # encrypted for this name; nobody reads it without a key
        Column("description", Text, nullable=False),
        Column("set_at", UtcDateTime, nullable=False),
    )


variable, connection = _secret("variable"), _secret("connection")

xcom = Table(
    "xcom",
    metadata,
    Column("task_instance_id", Id, ForeignKey("task_instance.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON, never pickle
    Column("at", UtcDateTime, nullable=False),
)

#: The events of which callbacks are to be called: each is written in the transaction of the step that it is of, and
#: named by the digest of that step's row of history, so that one step is one event. Who calls back has a lease.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("callback", Text, nullable=False),  # by its argument: on_failure_callback…
    Column("kind", Text, nullable=False),  # what it is about: task_instance, dag_run or backfill
    Column("dag_id", Text, nullable=False),
    Column("run_id", Text),
    Column("task_id", Text),
    Column("map_index", Integer),
    Column("try_number", Integer),
    Column("task_instance_id", Id),
    Column("dag_run_id", Id),
    Column("backfill_id", Id),
    Column("after", Text, nullable=False),  # the state that it came to
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("holder", Text, nullable=False, server_default=""),  # who calls back, for people
    Column("lease_until", Double),
    Column("lease_epoch", Text),
    Column("lease_seconds", Double),
    Column("ended_at", UtcDateTime),
    UniqueConstraint("event_id"),
    state_check("status", EventState),
)
Index("ix_outbox_run", outbox.c.dag_id, outbox.c.run_id)

#: Who waits for room that others hold, and since when: planners give way to those who have waited longer. ``resource``
#: is ``pool:NAME``, ``tasks:DAG_ID`` or ``runs:DAG_ID``; ``backfill_id`` is 0 for a scheduler's own runs.
capacity_wait = Table(
    "capacity_wait",
    metadata,
    Column("job_id", Id, ForeignKey("job.id"), primary_key=True),
    Column("backfill_id", Id, primary_key=True, autoincrement=False),
    Column("resource", Text, primary_key=True),
    Column("since", UtcDateTime, nullable=False),  # it began to wait, or took its last slot
    Column("taken", Double, nullable=False, server_default="0"),  # slots taken beside others, by their weight
)

#: Every write transaction leaves its client-made id here, with its result: repeating it is harmless.
write_record = Table(
    "write_record",
    metadata,
    Column("write_id", Text, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("result", Text, nullable=False),  # JSON
    sqlite_with_rowid=False,
)
