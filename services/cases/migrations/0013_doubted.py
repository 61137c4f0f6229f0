"""Categories with which a case came to a department whose business it was not."""

from alembic import op

from shared.database.migrate import run_script

revision = "cases_0013"
down_revision = "cases_0012"


def upgrade() -> None:
    run_script(
        op.get_bind(),
        """
        ALTER TABLE cases ADD COLUMN category_doubted boolean NOT NULL DEFAULT false;
        UPDATE cases SET category_doubted = true WHERE transferred > 0;
        """,
    )
