"""news that somebody's chats are not known to have"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "unread",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("text", sa.String, nullable=False),
        sa.Column("peer", sa.String(200), nullable=False),
        sa.Column("back", sa.String(80), nullable=False),
        sa.Column("about", sa.String(80), nullable=False),
    )
    op.create_index("ix_unread_extension", "unread", ["extension"])
