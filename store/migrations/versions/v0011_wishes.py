"""what people want done with calls for them"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "listed",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("number", sa.String(80), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
    )
    op.execute("INSERT INTO listed SELECT extension, number, 'blocked' FROM block")
    op.drop_table("block")
    op.create_table(
        "rule",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("in_turn", sa.Boolean(), nullable=False),
        sa.Column("condition", sa.String(16), nullable=False),
        sa.Column("after", sa.Integer(), nullable=False),
        sa.Column("caller", sa.String(80), nullable=False),
        sa.Column("called", sa.String(20), nullable=False),
        sa.Column("days", sa.String(32), nullable=False),
        sa.Column("begin", sa.String(5), nullable=False),
        sa.Column("end", sa.String(5), nullable=False),
        sa.Column("first", sa.String(10), nullable=False),
        sa.Column("last", sa.String(10), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_rule_extension", "rule", ["extension"])
    op.create_table(
        "wish",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("quiet_until", UtcDateTime(), nullable=True),
        sa.Column("anonymous", sa.String(16), nullable=False),
        sa.Column("unknown", sa.String(16), nullable=False),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("greeting", sa.String(500), nullable=False),
        sa.Column("greeting_sound", sa.LargeBinary(), nullable=False),
        sa.Column("pin", sa.String(200), nullable=False),
    )
    with op.batch_alter_table("voicemail") as voicemail:
        for name in ("heard", "sealed"):
            voicemail.add_column(
                sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
            )
        voicemail.add_column(
            sa.Column("words", sa.String(2_000), nullable=False, server_default="")
        )
    with op.batch_alter_table("call") as call:
        call.add_column(sa.Column("shown", sa.String(80), nullable=False, server_default=""))
        call.add_column(sa.Column("dialled", sa.String(80), nullable=False, server_default=""))
    op.execute("UPDATE call SET dialled = callee")
    op.create_index("ix_call_dialled", "call", ["dialled"])
    with op.batch_alter_table("route") as route:
        route.add_column(sa.Column("label", sa.String(80), nullable=False, server_default=""))
        route.add_column(sa.Column("extension", sa.String(16), nullable=False, server_default=""))
        route.add_column(sa.Column("since", UtcDateTime(), nullable=True))
    op.create_table(
        "relay",
        sa.Column("number", sa.String(8), primary_key=True),
        sa.Column("one", sa.String(20), nullable=False),
        sa.Column("other", sa.String(20), nullable=False),
        sa.Column("public", sa.String(20), nullable=False),
        sa.Column("by", sa.String(16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
    )
