"""word of a text message that another program is to see to"""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER encryptotel_tell AFTER INSERT OR UPDATE OF node ON text FOR EACH ROW "
            "WHEN (NEW.node <> current_setting('application_name')) "
            "EXECUTE FUNCTION encryptotel_tell('recipient')"
        )
