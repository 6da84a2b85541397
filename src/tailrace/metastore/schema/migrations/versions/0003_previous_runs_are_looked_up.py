"""A run's previous run is looked up when something is decided by it, no longer pinned when the run is created.

History tells from here on which previous run a start, a skip or a deadlock was decided by.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RECORD_SCHEMA = """
    INSERT INTO history (at, write_id, kind, dag_id, before, after, actor, cause, reason)
    VALUES (CURRENT_TIMESTAMP, 'schema-0003', 'schema', '', '0002', '0003', 'person', 'recorded', '')
"""


def upgrade() -> None:
    """Drop the pinned run, and record in history where the new rows begin."""
    op.drop_column("dag_run", "previous_id")
    op.execute(sa.text(RECORD_SCHEMA))
