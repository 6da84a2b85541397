"""Runs say why they are stopped before their tasks have ended, and what of them had failed when they were activated."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name in ("stopped_by", "failed_before"):
        op.add_column("dag_run", sa.Column(name, sa.Text()))
