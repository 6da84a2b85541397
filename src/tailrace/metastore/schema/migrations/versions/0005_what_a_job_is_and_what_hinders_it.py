"""A job says in which namespaces its pid counts, and what hinders it.

Of jobs and tries from before nobody knows the namespace: their leases decide whether they are alive.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name in ("namespace", "trouble"):
        op.add_column("job", sa.Column(name, sa.Text(), nullable=False, server_default=""))
