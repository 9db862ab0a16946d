"""The tables of the task store. `migrations` creates them; a test holds the two equal."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    and_,
    literal_column,
)
from sqlalchemy.dialects.postgresql import JSONB

from resources.store.database import UtcDateTime

MAX_DATE_LENGTH = 32

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only where the type is INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")
_Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

tasks = Table(
    "tasks",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("owner", String(255), nullable=False),
    Column("task_type", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("batch_size", Integer, nullable=False),
    Column("filters", _Json, nullable=False),
    # RFC 3339 texts: whether a bound states a fraction of a second changes what it includes.
    Column("date_from", String(MAX_DATE_LENGTH)),
    Column("date_to", String(MAX_DATE_LENGTH)),
    Column("options", _Json, nullable=False),
    # Whose turn it is among the waiting tasks: see `resources.store.turns`.
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("turn", BigInteger, nullable=False, server_default="0"),
    Column("idempotency_key", String(255)),
    Column("fingerprint", String(64), nullable=False),
    Column("request_id", String(128), nullable=False),
    # The run that holds the task: reserved at submission, replaced by every new attempt.
    Column("run_id", String(36), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("processed", BigInteger, nullable=False),
    Column("total", BigInteger),
    # What was published: rows, bytes, files, expires_at, and the folder with the manifest.
    Column("result", _Json),
    Column("error", _Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # When the dispatcher gave the run to Dagster.
    Column("handed_over_at", UtcDateTime),
    Column("started_at", UtcDateTime),
    Column("heartbeat_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("cancel_requested_at", UtcDateTime),
    # When nothing was left of a finished task: no live run, no partial file, no expired result.
    Column("swept_at", UtcDateTime),
    UniqueConstraint("owner", "idempotency_key"),
    UniqueConstraint("run_id"),
    # Lists: the first for their order whatever they are filtered by, the second for their counts.
    # Each has all that a list asks for, so no row is read that is not shown.
    Index(None, "owner", "id", "status", "task_type"),
    Index(None, "owner", "status", "task_type", "id"),
    # Ids are public and must never come twice, not even after a deletion.
    sqlite_autoincrement=True,
)


def _is(*statuses: str) -> ColumnElement[bool]:
    # Spelt out: a database sees only then that a query asks for no more than an index holds.
    return tasks.c.status.in_([literal_column(f"'{status}'") for status in statuses])


# Which rows each step of the dispatcher is about. Each has an index that holds no other rows, so
# that a step costs what there is to do, and not what there is.
WAITING = and_(_is("pending"), tasks.c.handed_over_at.is_(None))
IN_FLIGHT = and_(_is("pending", "processing"), tasks.c.handed_over_at.is_not(None))
TO_STOP = and_(
    _is("pending", "processing", "cancelled"),
    tasks.c.cancel_requested_at.is_not(None),
    tasks.c.swept_at.is_(None),
)
TO_SWEEP = and_(_is("failed"), tasks.c.swept_at.is_(None))
# And what retention looks at.
WITH_RESULT = and_(_is("completed"), tasks.c.swept_at.is_(None))
FINISHED = _is("completed", "failed", "cancelled")


def _partial_index(name: str, which: ColumnElement[bool], *columns: str) -> None:
    Index(
        f"ix_tasks_{name}",
        *(tasks.c[column] for column in columns),
        postgresql_where=which,
        sqlite_where=which,
    )


_partial_index("waiting", WAITING, "priority", "turn", "id")
_partial_index("waiting_of_owner", WAITING, "owner", "priority", "turn")
_partial_index("waiting_of_kind", WAITING, "owner", "priority", "task_type", "turn", "id")
_partial_index("in_flight", IN_FLIGHT, "status", "priority", "handed_over_at", "id")
_partial_index("to_stop", TO_STOP, "id")
_partial_index("to_sweep", TO_SWEEP, "id")
_partial_index("with_result", WITH_RESULT, "finished_at")
_partial_index("finished", FINISHED, "finished_at")

turns = Table(
    "turns",
    metadata,
    # The turn of the task of an owner that was last handed over, for each priority.
    Column("owner", String(255), primary_key=True),
    Column("priority", SmallInteger, primary_key=True, autoincrement=False),
    Column("turn", BigInteger, nullable=False),
    Index(None, "priority", "turn"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("digest", String(64), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("name", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    UniqueConstraint("digest"),
    Index(None, "owner"),
    sqlite_autoincrement=True,
)

parts = Table(
    "parts",
    metadata,
    # A part of the service that others depend on, and when it was last seen alive.
    Column("name", String(32), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)
