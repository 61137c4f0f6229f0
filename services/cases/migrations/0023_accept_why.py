"""The grounds of the date by which a department accepts a case; rows from before have none."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0023"
down_revision = "cases_0022"


def upgrade() -> None:
    run_script(op.get_bind(), "ALTER TABLE cases ADD COLUMN accept_why jsonb NOT NULL DEFAULT '[]';")
