"""what front ends keep for themselves"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "shelf",
        sa.Column("shelf", sa.String(16), primary_key=True),
        sa.Column("key", sa.String(400), primary_key=True),
        sa.Column("value", sa.JSON(), nullable=False),
    )
