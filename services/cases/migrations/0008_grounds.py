"""The grounds of a routing as codes, so that pages can word them in their own language."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0008"
down_revision = "cases_0007"


def upgrade() -> None:
    run_script(op.get_bind(), "ALTER TABLE case_steps ADD COLUMN why jsonb NOT NULL DEFAULT '[]';")
