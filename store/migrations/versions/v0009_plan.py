"""what shall be done at a time"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "plan",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("command", sa.JSON(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_plan_extension", "plan", ["extension"])
