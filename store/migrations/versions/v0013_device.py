"""phones with an account of their own, and links to set them up"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "device",
        sa.Column("username", sa.String(24), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("secret", sa.String(128), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("revoked", UtcDateTime(), nullable=True),
    )
    op.create_index("ix_device_extension", "device", ["extension"])
    op.create_table(
        "setup_link",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("expires", UtcDateTime(), nullable=False),
    )
    op.create_index("ix_setup_link_extension", "setup_link", ["extension"])
    with op.batch_alter_table("binding") as binding:
        binding.add_column(sa.Column("username", sa.String(24), nullable=False, server_default=""))
        binding.add_column(sa.Column("since", UtcDateTime(), nullable=True))
    # Until now every phone had the account of its extension.
    here = sa.table(
        "binding", sa.column("extension"), sa.column("username"), sa.column("since", UtcDateTime())
    )
    op.execute(here.update().values(username=here.c.extension, since=datetime.now(UTC)))
    with op.batch_alter_table("binding") as binding:
        binding.alter_column("since", existing_type=UtcDateTime(), nullable=False)
