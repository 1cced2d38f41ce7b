"""where each program's web is reached by the others"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("node", sa.Column("web", sa.String(80), nullable=False, server_default=""))
