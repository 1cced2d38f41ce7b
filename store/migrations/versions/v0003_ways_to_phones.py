"""the proxies to a phone, and which of its flows a registration is"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("binding") as binding:
        binding.add_column(sa.Column("path", sa.String(3000), nullable=False, server_default=""))
        binding.add_column(sa.Column("instance", sa.String(200), nullable=False, server_default=""))
        binding.add_column(sa.Column("reg_id", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("binding") as binding:
        binding.drop_column("reg_id")
        binding.drop_column("instance")
        binding.drop_column("path")
