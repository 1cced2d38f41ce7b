"""what shall be done at a time"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "plan",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("extension", sa.String(16), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("command", sa.JSON(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_plan_extension", "plan", ["extension"])
    # APScheduler's own, as its job store would make it: made here, no start has to write, which
    # SQLite refuses at once when somebody else has written between a look and the writing.
    op.create_table(
        "job",
        sa.Column("id", sa.Unicode(191), primary_key=True),
        sa.Column("next_run_time", sa.Float(25), index=True),
        sa.Column("job_state", sa.LargeBinary(), nullable=False),
    )
