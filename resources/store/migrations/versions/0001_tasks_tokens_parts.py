"""The first tables: tasks, tokens, parts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from resources.store.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Create the three tables with their indexes."""
    _create_tasks()
    _create_tokens()
    op.create_table(
        "parts",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_parts"),
    )


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("task_type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("batch_size", sa.Integer, nullable=False),
        sa.Column("filters", _Json, nullable=False),
        sa.Column("date_from", sa.String(32)),
        sa.Column("date_to", sa.String(32)),
        sa.Column("options", _Json, nullable=False),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("run_id", sa.String(36), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("processed", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("result", _Json),
        sa.Column("error", _Json),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("handed_over_at", UtcDateTime),
        sa.Column("started_at", UtcDateTime),
        sa.Column("heartbeat_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("cancel_requested_at", UtcDateTime),
        sa.Column("swept_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.UniqueConstraint("owner", "idempotency_key", name="uq_tasks_owner_idempotency_key"),
        sa.UniqueConstraint("run_id", name="uq_tasks_run_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tasks_owner_status_id", "tasks", ["owner", "status", "id"])
    op.create_index("ix_tasks_owner_task_type_id", "tasks", ["owner", "task_type", "id"])
    op.create_index("ix_tasks_status_handed_over_at", "tasks", ["status", "handed_over_at"])
    op.create_index("ix_tasks_status_swept_at", "tasks", ["status", "swept_at"])


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", _Id, autoincrement=True, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("digest", name="uq_tokens_digest"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tokens_owner", "tokens", ["owner"])
