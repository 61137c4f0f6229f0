"""The way of a bill: its committee, what that advised, and how it ended."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0017"
down_revision = "cases_0016"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        ALTER TABLE motions ADD COLUMN committee text, ADD COLUMN advice text, ADD COLUMN bill_outcome text;
        """,
    )
