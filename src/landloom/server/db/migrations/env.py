"""Run by alembic: migrates the connection that `Database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from landloom.server.db.base import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite can't alter most things in place; alembic then copies the table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
