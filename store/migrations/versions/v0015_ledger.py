"""the ledger, and calls that are paid for"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0015"
down_revision = "0014"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"SQLite numbers rows by themselves only under this name."


def upgrade() -> None:
    op.create_table(
        "entry",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(120), nullable=False, unique=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("text", sa.String(200), nullable=False),
    )
    op.create_table(
        "posting",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("entry", _ID, sa.ForeignKey("entry.id"), nullable=False),
        sa.Column("account", sa.String(80), nullable=False),
        sa.Column("asset", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_posting_entry", "posting", ["entry"])
    op.create_index("ix_posting_account", "posting", ["account", "asset"])
    op.create_table(
        "balance",
        sa.Column("account", sa.String(80), primary_key=True),
        sa.Column("asset", sa.String(64), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "charge",
        sa.Column("leg", sa.String(16), primary_key=True),
        sa.Column("call", sa.String(16), nullable=False),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("number", sa.String(80), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("answered_at", UtcDateTime(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=True),
        sa.Column("cost", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_charge_call", "charge", ["call"])
    op.create_index("ix_charge_extension", "charge", ["extension"])
    _only_added("entry")
    _only_added("posting")
    op.execute("DELETE FROM job")  # set again at the start, by names that tell whose they are


def _only_added(table: str) -> None:
    """What is in the ledger stays as it is, whoever asks."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION only_added() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is only ever added to'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_only_added BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION only_added()"
        )
        return
    for what in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{what.lower()} BEFORE {what} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is only ever added to'); END"
        )
