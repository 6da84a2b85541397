"""What several jobs at once need: backfills that a scheduler drives, who waits for room since when, a whole history.

History tells from here on by which structure a planner decided, and how large each pool was: pools that stand already
are recorded as they are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)

PARTIAL = (
    ("ix_backfill_open", "backfill", "dag_id", "state IN ('queued', 'running')"),
    ("ix_dag_run_live", "dag_run", "dag_id, logical_date", "live AND state IN ('queued', 'running')"),
)

RECORD_POOLS = """
    INSERT INTO history (at, write_id, kind, dag_id, pool, before, after, actor, cause, reason)
    SELECT CURRENT_TIMESTAMP, 'schema-0002', 'pool', '', name, NULL, CAST(slots AS TEXT), 'person', 'recorded',
           'stood before history told of pools'
    FROM pool ORDER BY name
"""


def upgrade() -> None:
    """Add the detached flag, the table of those who wait for room, and what history had not told."""
    op.add_column("backfill", sa.Column("detached", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "capacity_wait",
        sa.Column("job_id", ROW_ID, nullable=False),
        sa.Column("backfill_id", ROW_ID, nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("taken", sa.Double(), nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_capacity_wait_job_id"),
        sa.PrimaryKeyConstraint("job_id", "backfill_id", "resource", name="pk_capacity_wait"),
    )
    op.add_column("dag", sa.Column("scheduled_until", MOMENT))
    op.add_column("dag_run", sa.Column("live", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("dag_run", sa.Column("owner_lane", ROW_ID, nullable=False, server_default="0"))
    op.create_index("ix_job_backfill", "job", ["backfill_id"])
    for name, table, columns, where in PARTIAL:
        op.execute(f"CREATE INDEX {name} ON {table} ({columns}) WHERE {where}")
    op.add_column("history", sa.Column("dag_version_id", ROW_ID))
    op.add_column("history", sa.Column("pool", sa.Text()))
    op.execute(RECORD_POOLS)
