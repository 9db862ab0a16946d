"""Brings the task store's tables to this version's shape."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from resources.store.database import lock_migrations, write_transaction

# Dagster keeps its own revisions in "alembic_version", in the same database.
VERSION_TABLE = "workers_alembic_version"


def migrate(engine: Engine) -> None:
    """Create or upgrade the tables, in one transaction. Doing it again changes nothing.

    Processes that do it at once do it one after the other.

    Raises:
        Unavailable: The database does not answer.
    """
    if engine.dialect.name == "sqlite" and engine.url.database:
        _make_file(Path(engine.url.database))
    with write_transaction(engine) as connection:
        lock_migrations(connection)
        command.upgrade(alembic_config(connection), "head")


def _make_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()  # empty, it is a database without tables


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for working on ``connection``."""
    config = Config()
    config.set_main_option("script_location", "resources.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
