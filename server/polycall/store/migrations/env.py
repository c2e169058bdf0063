"""Run by Alembic: migrate over the connection that ``polycall.store.schema.upgrade`` hands over."""

from __future__ import annotations

from alembic import context

from polycall.store.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters a table by making it anew
    transactional_ddl=True,  # the transaction is the caller's, on both databases
)
with context.begin_transaction():
    context.run_migrations()
