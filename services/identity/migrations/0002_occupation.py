"""The occupation 职业 of a deputy; null where the roster does not tell it."""

from alembic import op

from shared.database.migrate import run_script

revision = "identity_0002"
down_revision = "identity_0001"


def upgrade() -> None:
    run_script(op.get_bind(), "ALTER TABLE deputies ADD COLUMN occupation text;")
