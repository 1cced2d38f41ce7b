"""messages on the answerphone"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "voicemail",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("caller", sa.String(80), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("sound", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_voicemail_extension", "voicemail", ["extension"])
