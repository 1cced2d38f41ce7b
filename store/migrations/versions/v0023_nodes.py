"""several programs as one exchange: nodes, homes, whose call it is, and word of changes"""

import sqlalchemy as sa
from alembic import op

from store.types import UtcDateTime

revision = "0023"
down_revision = "0022"

TOLD = {
    "binding": "extension",
    "home": "number",
    "balance": "account",
    "extension": "number",
    "device": "username",
    "trunk": "name",
    "route": "number",
    "contact": "person_id",
    "person": "id",
    "account": "person_id",
    "listed": "extension",
    "rule": "extension",
    "wish": "extension",
    "relay": "extension",
    "voicemail": "extension",
    "scenario": "extension",
    "apikey": "extension",
    "webhook": "extension",
}
"Tables that programs know by heart, with the column that says whose a row is."


def upgrade() -> None:
    op.create_table(
        "node",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("address", sa.String(80), nullable=False),
        sa.Column("since", UtcDateTime, nullable=False),
        sa.Column("until", UtcDateTime, nullable=False),
        sa.Column("leaving", sa.Boolean, nullable=False),
    )
    op.create_table(
        "home",
        sa.Column("number", sa.String(16), primary_key=True),
        sa.Column("node", sa.String(16), nullable=False),
    )
    op.create_index("ix_home_node", "home", ["node"])
    for table in ("call", "leg", "charge", "text"):
        with op.batch_alter_table(table) as altered:
            altered.add_column(sa.Column("node", sa.String(16), nullable=False, server_default=""))
    if op.get_bind().dialect.name == "postgresql":
        _tell_of_changes()


def _tell_of_changes() -> None:
    """Whoever listens on “encryptotel” hears of each change after its commit: the table, whose row
    it is, and the program (application_name) that made it. PostgreSQL says the same thing of one
    transaction once."""
    op.execute(
        """
        CREATE FUNCTION encryptotel_tell() RETURNS trigger AS $$
        DECLARE whose text;
        BEGIN
            IF TG_OP = 'DELETE' THEN whose := to_jsonb(OLD) ->> TG_ARGV[0];
            ELSE whose := to_jsonb(NEW) ->> TG_ARGV[0]; END IF;
            PERFORM pg_notify('encryptotel', json_build_array(
                TG_TABLE_NAME, left(whose, 200), current_setting('application_name'))::text);
            RETURN NULL;
        END $$ LANGUAGE plpgsql
        """
    )
    for table, whose in TOLD.items():
        op.execute(
            f"CREATE TRIGGER encryptotel_tell AFTER INSERT OR UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION encryptotel_tell('{whose}')"
        )
