"""recordings, and the keys they are for"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "recording",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("call_id", sa.String(16), nullable=False),
        sa.Column("peer", sa.String(80), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("seconds", sa.Integer(), nullable=False),
        sa.Column("failed", sa.String(200), nullable=False),
    )
    op.create_index("ix_recording_extension", "recording", ["extension"])
    with op.batch_alter_table("person") as person:
        person.add_column(sa.Column("key", sa.String(80), nullable=False, server_default=""))
        person.add_column(
            sa.Column("records", sa.Boolean(), nullable=False, server_default=sa.false())
        )
