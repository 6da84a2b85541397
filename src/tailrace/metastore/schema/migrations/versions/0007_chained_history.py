"""History says who did it and which columns it set, and is chained; each row says how far the chain about it is.

What stands already is recorded behind this, once all migrations are done (see ``schema.recording``).
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CHAINED = ("dag", "dag_version", "loaded_dag", "job", "backfill", "dag_run", "task_instance")


def chain(name: str = "chain") -> tuple[sa.Column[str], sa.Column[int]]:
    """The two columns that say where a chain has come to."""
    length = sa.Column(f"{name}_length", sa.Integer(), nullable=False, server_default="0")
    return sa.Column(f"{name}_head", sa.Text()), length


def upgrade() -> None:
    """Add the columns, and the table of the chains that are of no row which stays."""
    for table in CHAINED:
        for column in chain():
            op.add_column(table, column)
    for column in chain("refused"):
        op.add_column("task_instance", column)
    for name, kind in (("dag_run_id", ROW_ID), ("sets", sa.Text()), ("digest", sa.Text()), ("person", sa.Text())):
        op.add_column("history", sa.Column(name, kind))
    op.create_table(
        "chain",
        sa.Column("name", sa.Text(), nullable=False),
        *chain(),
        sa.PrimaryKeyConstraint("name", name="pk_chain"),
    )
    op.execute(
        "CREATE INDEX ix_history_of_persons ON history (dag_id, kind) WHERE person IS NOT NULL AND run_id IS NULL"
    )
