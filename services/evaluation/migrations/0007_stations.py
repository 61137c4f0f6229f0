"""The station to which a deputy belongs."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0007"
down_revision = "evaluation_0006"


def upgrade() -> None:
    run_script(op.get_bind(), "ALTER TABLE deputies ADD COLUMN station text;")
