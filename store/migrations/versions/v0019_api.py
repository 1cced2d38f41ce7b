"""programs that act for people, and codes they send"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "apikey",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False, index=True),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("scopes", sa.String(300), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False),
        sa.Column("expires", UtcDateTime(), nullable=False),
        sa.Column("used", UtcDateTime(), nullable=True),
    )
    op.create_table(
        "replay",
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("word", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False, index=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("media_type", sa.String(80), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "verification",
        sa.Column("id", sa.String(24), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False, index=True),
        sa.Column("to", sa.String(20), nullable=False, index=True),
        sa.Column("country", sa.String(2), nullable=False, index=True),
        sa.Column("by", sa.String(8), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("made", UtcDateTime(), nullable=False, index=True),
        sa.Column("expires", UtcDateTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
    )
