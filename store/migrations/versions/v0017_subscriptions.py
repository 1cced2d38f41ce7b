"""monthly plans, and what of a call they include"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "subscription",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("plan", sa.String(40), nullable=False),
        sa.Column("following", sa.String(40), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("warned", sa.Boolean(), nullable=False),
    )
    with op.batch_alter_table("charge") as charge:
        charge.add_column(sa.Column("zone", sa.String(64), nullable=False, server_default=""))
        charge.add_column(sa.Column("included", sa.Integer(), nullable=False, server_default="0"))
