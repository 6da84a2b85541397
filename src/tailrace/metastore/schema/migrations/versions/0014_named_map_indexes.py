"""What an instance of a mapped task is called beside its index."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no instance had a name before."""
    op.add_column("task_instance", sa.Column("rendered_map_index", sa.Text()))
