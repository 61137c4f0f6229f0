"""The grounds of deadlines as codes, so that pages can word them in their own language."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0021"
down_revision = "cases_0020"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        ALTER TABLE cases ADD COLUMN dates_why jsonb NOT NULL DEFAULT '[]';
        ALTER TABLE motion_deadlines ADD COLUMN why jsonb NOT NULL DEFAULT '[]';
        """,
    )
