"""whose dangerous commands need a second yes"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    with op.batch_alter_table("wish") as wish:
        wish.add_column(sa.Column("approval", sa.String(8), nullable=False, server_default=""))
