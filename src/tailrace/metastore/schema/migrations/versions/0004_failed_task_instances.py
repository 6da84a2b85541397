"""An index of the task instances that failed, so that a run which succeeded with failures inside can say so."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.execute(
        "CREATE INDEX ix_task_instance_failed ON task_instance (dag_run_id, task_id, state) "
        "WHERE state IN ('failed', 'upstream_failed')"
    )
