"""invoices in crypto, and payments"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "invoice",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("asset", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False),
        sa.Column("expires", UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
    )
    for column in ("extension", "amount", "expires"):
        op.create_index(f"ix_invoice_{column}", "invoice", [column])
    op.create_table(
        "payment",
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("asset", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("sender", sa.String(64), nullable=False),
        sa.Column("memo", sa.String(140), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seen", UtcDateTime(), nullable=False),
        sa.Column("invoice", sa.String(16), nullable=False),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("credited", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
    )
    for column in ("height", "invoice", "extension", "state"):
        op.create_index(f"ix_payment_{column}", "payment", [column])
