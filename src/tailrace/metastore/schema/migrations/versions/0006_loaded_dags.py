"""Each DAG as its file was loaded last, and when: one that never ran is known too."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "loaded_dag",
        sa.Column("dag_id", sa.Text(), nullable=False),
        sa.Column("dag_version_id", ROW_ID, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("dag_id", name="pk_loaded_dag"),
    )
