"""calls of one person newest first and by number, and links into the console page"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0021"
down_revision = "0020"
SIDES = ("user", "caller", "callee")


def upgrade() -> None:
    for side in SIDES:
        op.create_index(f"ix_call_{side}_at", "call", [side, "started_at"])
    op.drop_index("ix_call_user", "call")
    for side in ("caller", "callee"):
        op.create_index(
            f"ix_call_{side}_begins", "call", [side], postgresql_ops={side: "text_pattern_ops"}
        )
    for side in ("user", "callee"):
        unanswered = sa.text("answered_at IS NULL")
        op.create_index(
            f"ix_call_{side}_missed", "call", [side, "started_at"],
            sqlite_where=unanswered, postgresql_where=unanswered,
        )  # fmt: skip
    op.create_table(
        "console_link",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("expires", UtcDateTime(), nullable=False),
    )
