"""reminders, the times they ring, who wants them, and how; and calendars"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "reminder",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("by", sa.String(8), nullable=False),
        sa.Column("to", sa.String(20), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("start", UtcDateTime(), nullable=False),
        sa.Column("rule", sa.String(200), nullable=False),
        sa.Column("leads", sa.JSON(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=True),
        sa.Column("occurrence", UtcDateTime(), nullable=False),
        sa.Column("lead", sa.Integer(), nullable=False),
        sa.Column("calendar", sa.String(16), nullable=False),
        sa.Column("dial", sa.String(64), nullable=False),
        sa.Column("all_day", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_reminder_extension", "reminder", ["extension"])
    op.create_index("ix_reminder_calendar", "reminder", ["calendar"])
    op.create_table(
        "calendar",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("user", sa.String(200), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("leads", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(8), nullable=False),
        sa.Column("words", sa.String(80), nullable=False),
        sa.Column("etag", sa.String(200), nullable=False),
        sa.Column("modified", sa.String(100), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("checked", UtcDateTime(), nullable=True),
        sa.Column("expanded", UtcDateTime(), nullable=True),
        sa.Column("failing", sa.String(200), nullable=False),
    )
    op.create_index("ix_calendar_extension", "calendar", ["extension"])
    op.create_index("ix_reminder_due", "reminder", ["due"])
    op.create_table(
        "ring",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("reminder", sa.String(16), nullable=False),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("by", sa.String(8), nullable=False),
        sa.Column("to", sa.String(20), nullable=False),
        sa.Column("occurrence", UtcDateTime(), nullable=False),
        sa.Column("lead", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("repeats", sa.Boolean(), nullable=False),
        sa.Column("due", UtcDateTime(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("by_whom", sa.String(80), nullable=False),
        sa.Column("dial", sa.String(64), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
    )
    op.create_index("ix_ring_extension", "ring", ["extension"])
    op.create_index("ix_ring_due", "ring", ["due"])
    op.create_index("ix_ring_once", "ring", ["reminder", "occurrence", "lead"], unique=True)
    op.create_table(
        "consent",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("to", sa.String(20), primary_key=True),
        sa.Column("given", sa.Boolean(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
    )
    op.create_table(
        "habit",
        sa.Column("extension", sa.String(16), primary_key=True),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.Column("quiet_from", sa.String(5), nullable=False),
        sa.Column("quiet_to", sa.String(5), nullable=False),
        sa.Column("home", sa.String(64), nullable=False),
        sa.Column("away_until", UtcDateTime(), nullable=True),
    )
