"""What Alembic runs to migrate: on the connection, and in the transaction, that it was given."""

from __future__ import annotations

from alembic import context

from git_credential_relay.broker.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
