"""people, their accounts and contacts, invitations, and messages taken up"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("region", sa.String(2), nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("talk", sa.JSON(), nullable=False),
        sa.Column("talked_at", UtcDateTime(), nullable=True),
    )
    op.create_table(
        "account",
        sa.Column("channel", sa.String(16), primary_key=True),
        sa.Column("address", sa.String(320), primary_key=True),
        sa.Column("person_id", sa.String(16), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_account_person_id", "account", ["person_id"])
    op.create_table(
        "contact",
        sa.Column("person_id", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(80), primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("number", sa.String(20), nullable=False),
    )
    op.create_table(
        "invitation",
        sa.Column("code_hash", sa.String(64), primary_key=True),
        sa.Column("person_id", sa.String(16), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("expires", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "inbox",
        sa.Column("channel", sa.String(16), primary_key=True),
        sa.Column("message_id", sa.String(200), primary_key=True),
        sa.Column("address", sa.String(320), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_inbox_at", "inbox", ["at"])


def downgrade() -> None:
    for table in ("inbox", "invitation", "contact", "account", "person"):
        op.drop_table(table)
