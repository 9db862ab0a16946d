"""What is past its time is found by two indexes that hold no more than what may be."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WITH_RESULT = sa.text("status IN ('completed') AND swept_at IS NULL")
FINISHED = sa.text("status IN ('completed', 'failed', 'cancelled')")


def upgrade() -> None:
    """Make them."""
    for name, which in (("with_result", WITH_RESULT), ("finished", FINISHED)):
        op.create_index(
            f"ix_tasks_{name}",
            "tasks",
            ["finished_at"],
            postgresql_where=which,
            sqlite_where=which,
        )
