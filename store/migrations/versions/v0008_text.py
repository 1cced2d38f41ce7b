"""text messages on their way"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "text",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("sender", sa.String(80), nullable=False),
        sa.Column("sender_name", sa.String(80), nullable=False),
        sa.Column("recipient", sa.String(80), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sending", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_text_recipient", "text", ["recipient"])
