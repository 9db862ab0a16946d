"""Lists of one owner's tasks, and their counts, are read from indexes alone."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the two indexes that lists were read by."""
    op.drop_index("ix_tasks_owner_status_id", "tasks")
    op.drop_index("ix_tasks_owner_task_type_id", "tasks")
    op.create_index(
        "ix_tasks_owner_id_status_task_type", "tasks", ["owner", "id", "status", "task_type"]
    )
    op.create_index(
        "ix_tasks_owner_status_task_type_id", "tasks", ["owner", "status", "task_type", "id"]
    )
