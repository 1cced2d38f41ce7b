"""wallets that are opened by a PIN, what was sent from them, and scenarios"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "vault",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "sending",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False, index=True),
        sa.Column("asset", sa.String(64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("recipient", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False, index=True),
        sa.Column("state", sa.String(12), nullable=False, index=True),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("about", sa.String(80), nullable=False),
        sa.Column("tx", sa.String(2000), nullable=False),
    )
    op.create_table(
        "scenario",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("trigger", sa.String(16), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("action", sa.String(4000), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("extension", "trigger"),
    )
