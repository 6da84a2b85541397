"""Backfills and runs say which part of their DAG they do."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; everything was done whole before."""
    op.add_column("backfill", sa.Column("part", sa.Text()))
    op.add_column("dag_run", sa.Column("part", sa.Text()))
