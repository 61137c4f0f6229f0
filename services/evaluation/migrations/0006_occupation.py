"""The occupation 职业 of a deputy; null where the roster does not tell it."""

from alembic import op

from shared.database.migrate import run_script

revision = "evaluation_0006"
down_revision = "evaluation_0005"


def upgrade() -> None:
    run_script(op.get_bind(), "ALTER TABLE deputies ADD COLUMN occupation text;")
