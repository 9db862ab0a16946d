"""Priorities and turns, and an index for each step of the dispatcher."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WAITING = "status IN ('pending') AND handed_over_at IS NULL"
IN_FLIGHT = "status IN ('pending', 'processing') AND handed_over_at IS NOT NULL"
TO_STOP = """
    status IN ('pending', 'processing', 'cancelled')
    AND cancel_requested_at IS NOT NULL AND swept_at IS NULL
"""
TO_SWEEP = "status IN ('failed') AND swept_at IS NULL"
INDEXES = {
    "ix_tasks_waiting": (["priority", "turn", "id"], WAITING),
    "ix_tasks_waiting_of_owner": (["owner", "priority", "turn"], WAITING),
    "ix_tasks_waiting_of_kind": (["owner", "priority", "task_type", "turn", "id"], WAITING),
    "ix_tasks_in_flight": (["status", "priority", "handed_over_at", "id"], IN_FLIGHT),
    "ix_tasks_to_stop": (["id"], TO_STOP),
    "ix_tasks_to_sweep": (["id"], TO_SWEEP),
}
GIVE_TURNS = """
    UPDATE tasks SET turn = numbered.turn
    FROM (
        SELECT id, row_number() OVER (PARTITION BY owner ORDER BY id) - 1 AS turn
        FROM tasks WHERE status = 'pending' AND handed_over_at IS NULL
    ) AS numbered
    WHERE tasks.id = numbered.id
"""
# A run that began before it was noted as handed over.
NOTE_AS_HANDED_OVER = """
    UPDATE tasks SET handed_over_at = started_at
    WHERE status = 'processing' AND handed_over_at IS NULL
"""


def upgrade() -> None:
    """Give the tasks that wait their turns: each owner's first, then each one's second."""
    op.add_column(
        "tasks", sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0")
    )
    op.add_column("tasks", sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(GIVE_TURNS)
    op.execute(NOTE_AS_HANDED_OVER)
    op.create_table(
        "turns",
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("priority", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("owner", "priority", name="pk_turns"),
    )
    op.create_index("ix_turns_priority_turn", "turns", ["priority", "turn"])
    op.drop_index("ix_tasks_status_handed_over_at", "tasks")
    op.drop_index("ix_tasks_status_swept_at", "tasks")
    for name, (columns, which) in INDEXES.items():
        condition = sa.text(which)
        op.create_index(name, "tasks", columns, sqlite_where=condition, postgresql_where=condition)
