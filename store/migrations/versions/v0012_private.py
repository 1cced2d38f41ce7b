"""which calls were encrypted from phone to phone"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    with op.batch_alter_table("call") as call:
        call.add_column(
            sa.Column("private", sa.Boolean(), nullable=False, server_default=sa.false())
        )
