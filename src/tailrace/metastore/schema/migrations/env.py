"""Alembic's entry: runs the migrations over the connection that ``migrating`` hands in, in its transaction."""

from alembic import context

from tailrace.metastore.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=False,  # the transaction is the caller's: Alembic must not end it
)
context.run_migrations()
