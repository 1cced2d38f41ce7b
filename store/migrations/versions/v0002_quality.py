"""how well each side of a call was heard"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("leg") as leg:
        leg.add_column(sa.Column("lost_by_peer", sa.Integer(), nullable=False, server_default="0"))
        leg.add_column(sa.Column("round_trip_ms", sa.Float(), nullable=True))
        leg.add_column(sa.Column("mos", sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("leg") as leg:
        leg.drop_column("mos")
        leg.drop_column("round_trip_ms")
        leg.drop_column("lost_by_peer")
