"""What a try says that gives its slot back."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no try had given its slot back before."""
    op.add_column("task_instance", sa.Column("rescheduled", sa.Text()))
