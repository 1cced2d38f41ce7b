"""Alembic's way to our tables. Run by `store.database`, or by `alembic` with a config."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel

import store.tables  # noqa: F401  # fills the metadata

url = context.config.attributes.get("url") or context.config.get_main_option("sqlalchemy.url")
assert url is not None
engine = create_engine(url)
with engine.connect() as connection:
    context.configure(
        connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True
    )
    with context.begin_transaction():
        if engine.dialect.name == "postgresql":  # exchanges that start together take turns
            connection.execute(text("SELECT pg_advisory_xact_lock(5060)"))
        context.run_migrations()
engine.dispose()
