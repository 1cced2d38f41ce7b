"""callers whom people block"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "block",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("number", sa.String(20), primary_key=True),
    )
