"""The first schema. Written out in full: a released revision never changes with the code that came after it."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
TASK_INSTANCE_STATES = (
    "'none', 'queued', 'running', 'stopping', 'success', 'failed', 'skipped', 'upstream_failed', "
    "'up_for_retry', 'up_for_reschedule', 'deferred', 'removed'"
)


def upgrade() -> None:
    """Create every table, and the pool that is always there."""
    _create_dag()
    _create_dag_version()
    _create_pool()
    _create_job()
    _create_backfill()
    _create_dag_run()
    _create_backfill_run()
    _create_task_instance()
    _create_history()
    _create_xcom()
    _create_write_record()
    pool = sa.table("pool", sa.column("name"), sa.column("slots"), sa.column("description"))
    default = {"name": "default_pool", "slots": 128, "description": "where tasks go that name no pool"}
    op.execute(pool.insert().values(default))


def _create_dag() -> None:
    op.create_table(
        "dag",
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("dag_version_id", ROW_ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("dag_id", name="pk_dag"),
    )


def _create_dag_version() -> None:
    op.create_table(
        "dag_version",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dag_version"),
        sa.UniqueConstraint("dag_id", "spec_hash", name="uq_dag_version_dag_id_spec_hash"),
    )


def _create_pool() -> None:
    op.create_table(
        "pool",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_pool"),
        sa.CheckConstraint("slots >= -1", name=op.f("ck_pool_slots")),
    )


def _create_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=True),
        sa.Column("backfill_id", ROW_ID, nullable=True),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("start_time", sa.BigInteger(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("heartbeat_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("lease_epoch", sa.Text(), nullable=False),
        sa.Column("lease_seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.CheckConstraint(
            "state IN ('running', 'success', 'failed', 'interrupted')", name=op.f("ck_job_state_is_known")
        ),
    )
    where = sa.text("state = 'running'")
    op.create_index("ix_job_running", "job", ["host"], sqlite_where=where, postgresql_where=where)


def _create_backfill() -> None:
    op.create_table(
        "backfill",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("dag_version_id", ROW_ID, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("range_start", MOMENT, nullable=False),
        sa.Column("range_end", MOMENT, nullable=False),
        sa.Column("reprocess", sa.Text(), nullable=False),
        sa.Column("conf", sa.Text(), nullable=True),
        sa.Column("disable_retry", sa.Boolean(), nullable=False),
        sa.Column("mark_success", sa.Boolean(), nullable=False),
        sa.Column("ignore_first_depends_on_past", sa.Boolean(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=True),
        sa.Column("max_active_runs", sa.Integer(), nullable=True),
        sa.Column("backwards", sa.Boolean(), nullable=False),
        sa.Column("stop_on_failure", sa.Boolean(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_backfill"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'success', 'failed', 'deadlocked', 'cancelled')",
            name=op.f("ck_backfill_state_is_known"),
        ),
    )
    op.create_index("ix_backfill_fingerprint", "backfill", ["fingerprint"])


def _create_dag_run() -> None:
    op.create_table(
        "dag_run",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("logical_date", MOMENT, nullable=False),
        sa.Column("interval_start", MOMENT, nullable=False),
        sa.Column("interval_end", MOMENT, nullable=False),
        sa.Column("run_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("owner_job_id", ROW_ID, nullable=True),
        sa.Column("previous_id", ROW_ID, nullable=True),
        sa.Column("conf", sa.Text(), nullable=True),
        sa.Column("disable_retry", sa.Boolean(), nullable=False),
        sa.Column("mark_success", sa.Boolean(), nullable=False),
        sa.Column("ignore_depends_on_past", sa.Boolean(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=True),
        sa.Column("clear_on_activation", sa.Text(), nullable=True),
        sa.Column("dag_version_id", ROW_ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("blocked", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_dag_run"),
        sa.UniqueConstraint("dag_id", "run_id", name="uq_dag_run_dag_id_run_id"),
        sa.UniqueConstraint("dag_id", "logical_date", name="uq_dag_run_dag_id_logical_date"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'success', 'failed', 'deadlocked', 'cancelled')",
            name=op.f("ck_dag_run_state_is_known"),
        ),
    )
    where = sa.text("state = 'running'")
    op.create_index("ix_dag_run_running", "dag_run", ["dag_id"], sqlite_where=where, postgresql_where=where)
    where = sa.text("state = 'success'")
    op.create_index(
        "ix_dag_run_succeeded", "dag_run", ["dag_id", "logical_date"], sqlite_where=where, postgresql_where=where
    )


def _create_backfill_run() -> None:
    op.create_table(
        "backfill_run",
        sa.Column("backfill_id", ROW_ID, nullable=False),
        sa.Column("dag_run_id", ROW_ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("run_state", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("clear", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("backfill_id", "dag_run_id", name="pk_backfill_run"),
        sa.CheckConstraint(
            "run_state IN ('queued', 'running', 'success', 'failed', 'deadlocked', 'cancelled')",
            name=op.f("ck_backfill_run_run_state_is_known"),
        ),
        sa.ForeignKeyConstraint(["backfill_id"], ["backfill.id"], name="fk_backfill_run_backfill_id"),
        sa.ForeignKeyConstraint(["dag_run_id"], ["dag_run.id"], name="fk_backfill_run_dag_run_id"),
    )
    op.create_index("ix_backfill_run_next", "backfill_run", ["backfill_id", "run_state", "ordinal"])
    op.create_index("ix_backfill_run_run", "backfill_run", ["dag_run_id"])


def _create_task_instance() -> None:
    op.create_table(
        "task_instance",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("dag_run_id", ROW_ID, nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=False),
        sa.Column("max_tries", sa.Integer(), nullable=False),
        sa.Column("lost_tries", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("pool_slots", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("retry_at", MOMENT, nullable=True),
        sa.Column("queued_at", MOMENT, nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("followed", sa.Text(), nullable=True),
        sa.Column("stopping_to", sa.Text(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("code_hash", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("lease_epoch", sa.Text(), nullable=True),
        sa.Column("lease_seconds", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_task_instance"),
        sa.UniqueConstraint("dag_run_id", "task_id", "map_index", name="uq_task_instance_dag_run_id_task_id_map_index"),
        sa.CheckConstraint(f"state IN ({TASK_INSTANCE_STATES})", name=op.f("ck_task_instance_state_is_known")),
        sa.CheckConstraint(
            f"stopping_to IN ({TASK_INSTANCE_STATES})", name=op.f("ck_task_instance_stopping_to_is_known")
        ),
        sa.ForeignKeyConstraint(["dag_run_id"], ["dag_run.id"], name="fk_task_instance_dag_run_id"),
    )
    where = sa.text("state IN ('queued', 'running', 'stopping')")
    op.create_index(
        "ix_task_instance_occupying", "task_instance", ["dag_id", "pool"], sqlite_where=where, postgresql_where=where
    )


def _create_history() -> None:
    op.create_table(
        "history",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("write_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("map_index", sa.Integer(), nullable=True),
        sa.Column("task_instance_id", ROW_ID, nullable=True),
        sa.Column("backfill_id", ROW_ID, nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("try_number", sa.Integer(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=True),
        sa.Column("job_id", ROW_ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_history"),
    )
    op.create_index("ix_history_task_instance", "history", ["dag_id", "run_id", "task_id"])


def _create_xcom() -> None:
    op.create_table(
        "xcom",
        sa.Column("task_instance_id", ROW_ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("task_instance_id", "key", name="pk_xcom"),
        sa.ForeignKeyConstraint(["task_instance_id"], ["task_instance.id"], name="fk_xcom_task_instance_id"),
    )


def _create_write_record() -> None:
    op.create_table(
        "write_record",
        sa.Column("write_id", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("write_id", name="pk_write_record"),
        sqlite_with_rowid=False,
    )
