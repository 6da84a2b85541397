"""Runs say that they are late, and that they were opened again; DAGs why a job has paused them."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("dag_run", sa.Column("late_since", sa.DateTime(timezone=True)))
    op.add_column("dag_run", sa.Column("reopened", sa.Boolean()))
    for name in ("paused_after", "paused_reason"):
        op.add_column("dag", sa.Column(name, sa.Text()))
