"""Alembic's entry: runs the revisions on the connection that `resources.store.migrate` gives."""

from alembic import context

from resources.store.migrate import VERSION_TABLE
from resources.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite alters a table by copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
