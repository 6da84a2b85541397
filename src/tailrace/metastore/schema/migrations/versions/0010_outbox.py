"""The events of which callbacks are to be called."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
STATES = "status IN ('waiting', 'called', 'failed')"


def upgrade() -> None:
    """Create the table and its indexes."""
    op.create_table(
        "outbox",
        sa.Column("id", ROW_ID, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("callback", "kind", "dag_id")),
        *(sa.Column(name, sa.Text()) for name in ("run_id", "task_id")),
        *(sa.Column(name, sa.Integer()) for name in ("map_index", "try_number")),
        *(sa.Column(name, ROW_ID) for name in ("task_instance_id", "dag_run_id", "backfill_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("after", "reason", "status")),
        sa.Column("error", sa.Text(), nullable=False, server_default=""),
        sa.Column("token", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("holder", sa.Text(), nullable=False, server_default=""),
        sa.Column("lease_until", sa.Double()),
        sa.Column("lease_epoch", sa.Text()),
        sa.Column("lease_seconds", sa.Double()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("event_id", name="uq_outbox_event_id"),
        sa.CheckConstraint(STATES, name="status_is_known"),
    )
    op.create_index("ix_outbox_run", "outbox", ["dag_id", "run_id"])
    op.execute("CREATE INDEX ix_outbox_waiting ON outbox (dag_id, id) WHERE status = 'waiting'")
